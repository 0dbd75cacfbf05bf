# SPDX-License-Identifier: Apache-2.0
"""Friends and blocks: who stands how with whom.

Whoever is blocked is not told: what they ask for is answered as if its receiver had not decided yet.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter

from models.db.database import Database, Transaction, write_retrying
from models.db.tables import blocks, events, friendships, users
from models.db.tables.blocks import Blocked
from models.db.tables.friendships import Friend
from models.errors import Conflict, InvalidField, NotFound
from models.paging import IdRange, Page, page_of
from models.user import FriendState, UserId

FRIENDS, INCOMING, OUTGOING = FriendState.FRIENDS, FriendState.INCOMING, FriendState.OUTGOING


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """What a person does about another. `clock` gives milliseconds."""

    db: Database
    clock: Callable[[], int]

    async def befriend(self, uid: UserId, other: int) -> FriendState:
        """Ask to be friends; FRIENDS when the other had asked, else OUTGOING, however often and whoever blocks whom.

        Raises NotFound for nobody, InvalidField for oneself, Conflict for somebody whom the caller blocks.
        """
        _check_other(uid, other)

        async def unit(tx: Transaction) -> FriendState:
            await users.lock(tx, uid, other)
            if await blocks.is_blocked(tx, uid=uid, blocked_uid=other):
                raise Conflict("You block this person.")
            mine = await friendships.find_state(tx, uid=uid, other_uid=other)
            if mine is FRIENDS:
                return FRIENDS
            theirs = await friendships.find_state(tx, uid=other, other_uid=uid)
            if theirs is OUTGOING:
                return await self._make_friends(tx, uid, other)
            return await self._request(tx, uid, other, mine, theirs)

        return await write_retrying(self.db, unit)

    async def accept(self, uid: UserId, other: int) -> FriendState:
        """Become friends with somebody who has asked; FRIENDS also when they are. Raises NotFound."""

        async def unit(tx: Transaction) -> FriendState:
            await users.lock(tx, uid, other)
            mine = await friendships.find_state(tx, uid=uid, other_uid=other)
            if mine is INCOMING:
                return await self._make_friends(tx, uid, other)
            if mine is not FRIENDS:
                raise NotFound
            return mine

        return await write_retrying(self.db, unit)

    async def part(self, uid: UserId, other: int) -> None:
        """Be friends no more; also withdraws and declines. Nobody is told."""

        async def unit(tx: Transaction) -> None:
            with suppress(NotFound):  # with somebody who is gone nobody makes friends meanwhile
                await users.lock(tx, uid, other)
            await friendships.delete_pair(tx, *sorted((uid, other)))

        await write_retrying(self.db, unit)

    async def list_friends(self, uid: UserId, state: str, wanted: IdRange) -> Page[Friend]:
        """Those who stand so with the caller, by ascending uid. Raises InvalidField."""
        if state not in set(FriendState):
            raise InvalidField(fields=[("state", "friends, incoming or outgoing")])
        found = await friendships.list_some(
            self.db,
            uid=uid,
            state=FriendState(state),
            after=wanted.after,
            before=wanted.before,
            limit=wanted.limit + 1,
        )
        return page_of(found, wanted.limit, attrgetter("uid"))

    async def block(self, uid: UserId, other: int) -> None:
        """Take nothing from this person any more: friendship and requests end, both ways, and nobody is told.

        Raises NotFound for nobody, InvalidField for oneself.
        """
        _check_other(uid, other)

        async def unit(tx: Transaction) -> None:
            await users.lock(tx, uid, other)
            await blocks.insert_block(tx, uid=uid, blocked_uid=other, now=self.clock())
            await friendships.delete_pair(tx, *sorted((uid, other)))

        await write_retrying(self.db, unit)

    async def unblock(self, uid: UserId, other: int) -> None:
        """A request that was made meanwhile stays unseen until it is made again."""

        async def unit(tx: Transaction) -> None:
            await blocks.delete_block(tx, uid=uid, blocked_uid=other)

        await write_retrying(self.db, unit)

    async def list_blocked(self, uid: UserId, wanted: IdRange) -> Page[Blocked]:
        """Whom the caller blocks, by ascending uid."""
        found = await blocks.list_some(
            self.db, uid=uid, after=wanted.after, before=wanted.before, limit=wanted.limit + 1
        )
        return page_of(found, wanted.limit, attrgetter("uid"))

    async def _make_friends(self, tx: Transaction, uid: UserId, asker: int) -> FriendState:
        now = self.clock()
        for one, two in sorted(((uid, asker), (asker, uid))):
            await friendships.put(tx, uid=one, other_uid=two, state=FRIENDS, now=now)
        await events.append(tx, uid=UserId(asker), kind="friend_accepted", at=now, data={"uid": uid})
        return FRIENDS

    async def _request(
        self, tx: Transaction, uid: UserId, other: int, mine: FriendState | None, theirs: FriendState | None
    ) -> FriendState:
        now = self.clock()
        if mine is None:
            await friendships.put(tx, uid=uid, other_uid=other, state=OUTGOING, now=now)
        # After a block has ended, asking again shows the other what they could not see before.
        if theirs is None and not await blocks.is_blocked(tx, uid=other, blocked_uid=uid):
            await friendships.put(tx, uid=other, other_uid=uid, state=INCOMING, now=now)
            await events.append(tx, uid=UserId(other), kind="friend_request", at=now, data={"uid": uid})
        return OUTGOING


def _check_other(uid: UserId, other: int) -> None:
    if other == uid:
        raise InvalidField(fields=[("uid", "is your own")])
