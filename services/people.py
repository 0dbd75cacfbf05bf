# SPDX-License-Identifier: Apache-2.0
"""Friends and blocks: who stands how with whom.

A block changes no answer that the blocked side can get. That side keeps its own row of the friendship, is judged by it
and changes it like anybody; what the other would see of that, nobody sees, by the same statements.
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
from models.user import NOBODY, FriendState, UserId
from services import expiry

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
            if mine is INCOMING or theirs is OUTGOING:
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
            # What somebody whom the caller blocks still sees ends with the block.
            blocked = await blocks.is_blocked(tx, uid=uid, blocked_uid=other)
            await friendships.delete(tx, uid=uid, other_uid=other)
            await friendships.delete(tx, uid=NOBODY if blocked else other, other_uid=uid)

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
        """Take nothing from this person any more, and nothing that waits from them. The caller has no friendship with
        them and no request any more; what the other sees of either stays.

        Raises NotFound for nobody, InvalidField for oneself.
        """
        _check_other(uid, other)

        async def unit(tx: Transaction) -> None:
            now = self.clock()
            await users.lock(tx, uid, other)
            await blocks.insert_block(tx, uid=uid, blocked_uid=other, now=now)
            await friendships.delete(tx, uid=uid, other_uid=other)
            await expiry.keep_back(tx, uid=uid, sender_uid=other, now=now)

        await write_retrying(self.db, unit)

    async def unblock(self, uid: UserId, other: int) -> None:
        """What was withheld stays so, and a request that was made meanwhile unseen until it is made again.

        Nobody is friends alone: the other is no friend any more, and was not asked, as when the caller parts.
        """

        async def unit(tx: Transaction) -> None:
            with suppress(NotFound):
                await users.lock(tx, uid, other)
            if await blocks.delete_block(tx, uid=uid, blocked_uid=other):
                theirs = await friendships.find_state(tx, uid=other, other_uid=uid)
                if theirs is not OUTGOING:
                    await friendships.delete(tx, uid=other, other_uid=uid)

        await write_retrying(self.db, unit)

    async def list_blocked(self, uid: UserId, wanted: IdRange) -> Page[Blocked]:
        """Whom the caller blocks, by ascending uid."""
        found = await blocks.list_some(
            self.db, uid=uid, after=wanted.after, before=wanted.before, limit=wanted.limit + 1
        )
        return page_of(found, wanted.limit, attrgetter("uid"))

    async def _make_friends(self, tx: Transaction, uid: UserId, asker: int) -> FriendState:
        now = self.clock()
        seen = not await blocks.is_blocked(tx, uid=asker, blocked_uid=uid)
        await friendships.put(tx, uid=uid, other_uid=asker, state=FRIENDS, now=now)
        await friendships.put(tx, uid=asker if seen else NOBODY, other_uid=uid, state=FRIENDS, now=now)
        await events.append(tx, uid=UserId(asker), seen=seen, kind="friend_accepted", at=now, data={"uid": uid})
        return FRIENDS

    async def _request(
        self, tx: Transaction, uid: UserId, other: int, mine: FriendState | None, theirs: FriendState | None
    ) -> FriendState:
        now = self.clock()
        blocked = await blocks.is_blocked(tx, uid=other, blocked_uid=uid)
        if mine is None:
            await friendships.put(tx, uid=uid, other_uid=other, state=OUTGOING, now=now)
        # After a block has ended, asking again shows the other what they could not see before.
        if mine is None or (theirs is None and not blocked):
            await friendships.put(tx, uid=NOBODY if blocked else other, other_uid=uid, state=INCOMING, now=now)
            told = UserId(other)
            await events.append(tx, uid=told, seen=not blocked, kind="friend_request", at=now, data={"uid": uid})
        return OUTGOING


def _check_other(uid: UserId, other: int) -> None:
    if other == uid:
        raise InvalidField(fields=[("uid", "is your own")])
