# SPDX-License-Identifier: Apache-2.0
"""With whom somebody talks, what they have not read yet, and that the others learn of what they have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from models.db.database import Database, Transaction
from models.db.tables import blocks, conversations, events, groups, users
from models.db.tables.conversations import Listed
from models.errors import InvalidField, NotFound
from models.group import GroupId
from models.ids import MAX_ID
from models.paging import IdRange, Page, fitting
from models.user import NOBODY, UserId
from services.fields import raise_if_any, unknown
from services.history import Conversation, History

PAGE_BYTES = 128 * 1024
"""A page ends where the last messages of its conversations say so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Everybody's list of conversations, and their marks in it. `clock` gives milliseconds."""

    db: Database
    history: History
    clock: Callable[[], int]

    async def list(self, uid: UserId, wanted: IdRange) -> Page[dict[str, Any]]:
        """The conversations of this range by what was said last, the newest first."""
        one_more = IdRange(wanted.after, wanted.before, wanted.limit + 1)
        found = await conversations.list_of_person(self.db, me=uid, wanted=one_more)
        shown = fitting(found[: wanted.limit], PAGE_BYTES, attrgetter("size"))
        lasts = await self.history.entries(uid, [each.last_message_id for each in shown])
        by_id = {entry["message_id"]: entry for entry in lasts}
        items = [await self._item(uid, each, by_id.get(each.last_message_id)) for each in shown]
        return Page(items, shown[-1].last_message_id if len(found) > len(shown) else None)

    async def mark_read(self, uid: UserId, conversation: Conversation, up_to: int) -> None:
        """Everything up to this message is read; a mark never goes back. Those who said what is newly read learn of it,
        unless the reader does not want that, or they block the reader.

        Raises NotFound for somebody with whom there is no conversation, and for a group that the caller is not in.
        """
        if conversation.group_id is None:
            await self._mark_with(uid, UserId(conversation.with_uid or 0), up_to)
        else:
            await self._mark_in_group(uid, GroupId(conversation.group_id), up_to)

    async def _mark_with(self, uid: UserId, peer: UserId, up_to: int) -> None:
        mark = await conversations.find_with(self.db, me=uid, peer=peer)
        if mark is None:
            raise NotFound
        reached = min(up_to, mark.last_message_id)
        newly = await conversations.count_from(self.db, me=uid, peer=peer, after=mark.read_up_to, up_to=reached)

        async def unit(tx: Transaction) -> None:
            # Whoever is told is locked before the conversation, as by those who send.
            await events.lock_counters(tx, [peer])
            told = NOBODY if await blocks.is_blocked(tx, uid=peer, blocked_uid=uid) else peer
            if await conversations.mark_read_with(tx, me=uid, peer=peer, up_to=reached) and newly:
                await self._tell(tx, uid, [told], {"uid": uid, "up_to": reached})

        await self.db.write(unit)

    async def _mark_in_group(self, uid: UserId, group_id: GroupId, up_to: int) -> None:
        mark = await conversations.find_in_group(self.db, me=uid, group_id=group_id)
        if mark is None:
            raise NotFound
        reached = min(up_to, mark.last_message_id)
        senders = await conversations.list_senders(
            self.db, me=uid, group_id=group_id, after=mark.read_up_to, up_to=reached
        )

        async def unit(tx: Transaction) -> None:
            await groups.lock(tx, group_id)
            await events.lock_counters(tx, senders)
            if await conversations.mark_read_in_group(tx, me=uid, group_id=group_id, up_to=reached):
                await self._tell(tx, uid, senders, {"uid": uid, "up_to": reached, "group_id": group_id})

        await self.db.write(unit)

    async def _tell(self, tx: Transaction, uid: UserId, people: Sequence[UserId], data: Mapping[str, object]) -> None:
        if people and (await users.get(tx, uid)).read_receipts:
            await events.append_for_all(tx, uids=people, kind="conversation_read", at=self.clock(), data=data)

    async def _item(self, uid: UserId, listed: Listed, last: dict[str, Any] | None) -> dict[str, Any]:
        """One conversation as it is shown. Where its last message is gone, `last` is the newest that is left."""
        if last is None:
            last = await self._newest_left(uid, listed)
        who = {"peer_uid": listed.peer_uid, "nickname": listed.name}
        where = {"group_id": listed.group_id, "name": listed.name}
        return {
            **(who if listed.group_id is None else where),
            "last": last,
            "unread": await self._count_unread(uid, listed),
            "read_up_to": listed.read_up_to,
        }

    async def _newest_left(self, uid: UserId, listed: Listed) -> dict[str, Any] | None:
        conversation = Conversation(listed.peer_uid, listed.group_id)
        left = await self.history.find(uid, conversation, IdRange(0, listed.last_message_id, 1))
        entries = await self.history.entries(uid, [each.message_id for each in left])
        return entries[0] if entries else None

    async def _count_unread(self, uid: UserId, listed: Listed) -> int:
        after, up_to = max(listed.read_up_to, listed.start), listed.last_message_id
        if after >= up_to:
            return 0
        if listed.group_id is not None:
            return await conversations.count_in_group(
                self.db, me=uid, group_id=listed.group_id, after=after, up_to=up_to
            )
        assert listed.peer_uid is not None
        return await conversations.count_from(self.db, me=uid, peer=listed.peer_uid, after=after, up_to=up_to)


def read_mark(fields: Mapping[str, Any]) -> int:
    """How far somebody has read. Raises InvalidField."""
    raise_if_any(unknown(fields, ("up_to",)))
    up_to = fields.get("up_to")
    if type(up_to) is not int or not 1 <= up_to <= MAX_ID:
        raise InvalidField(fields=[("up_to", "a positive integer")])
    return up_to
