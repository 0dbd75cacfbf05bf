# SPDX-License-Identifier: Apache-2.0
"""Rooms: open groups, entered by who knows the `room_gid`.

Groups, messages and events are those of everybody else; here is only what a room adds to them.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

from models.addressee import ToGroup
from models.db.database import Database
from models.db.tables import group_members, groups, rooms
from models.db.tables.rooms import Said
from models.errors import NotFound
from models.group import GroupId, JoinPolicy
from models.keys import KeyRing
from models.message import MeasuredMessage, MessageKind
from models.paging import fitting
from models.user import UserId
from services.authentication import Caller
from services.events import CONFIRM_SECONDS, Events, Reader
from services.fields import Problems, check
from services.groups import Groups, NewGroup
from services.limits import Limits
from services.messaging import Body, Messaging, TextDraft, read_body

NAME = "Room"
MOST_SHOWN = 200
"""What a client is shown when it enters; the room's sample clients cannot page."""
BATCH = 100
BATCH_BYTES = 24 * 1024
"""Of both no more is read and sent at a time: what a slow reader holds in memory."""
NOBODY = UUID(int=0)
"""Whose account is gone."""


@dataclass(eq=False, slots=True)
class RoomReader:
    """One way in which a member follows a room, from its newest message on. End it with `close`."""

    rooms: "Rooms"
    events: Reader
    group_id: GroupId
    cursor: int

    @property
    def caller(self) -> Caller:
        """Who follows the room, and by which credential."""
        return self.events.caller

    async def next(self) -> list[dict[str, Any]]:
        """The next messages, as `Rooms.entries` has them; none when the reader has been closed.

        Raises Unauthenticated within seconds of the session's end, and NotFound when the person has left the room.
        """
        while True:
            self.events.woken.clear()
            found = await self.rooms.read(self)
            if found or self.events.closed:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await self.events.woken.wait()

    def close(self) -> None:
        """May be called again."""
        self.events.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What people do in rooms."""

    db: Database
    keys: KeyRing
    groups: Groups
    messaging: Messaging
    events: Events
    limits: Limits

    async def create(self, uid: UserId) -> str:
        """A room with the caller in it; its room_gid."""
        wanted = NewGroup(NAME, JoinPolicy.OPEN, frozenset())
        return (await self.groups.create(uid, wanted, shared_history=True)).room_gid

    async def say(self, caller: Caller, room_gid: str, body: Body) -> None:
        """Say a text, as `read_said` reads it, in a room.

        Raises Unauthenticated, NotFound, GroupTooLarge, RateLimited, Unavailable.
        """
        to = ToGroup(await self._enter(caller.uid, room_gid))
        draft = TextDraft(to, MessageKind.TEXT, body, needs_others=False)
        await self.messaging.send(caller, draft, None, "")  # no address: what a group is told meets nobody new

    async def history(self, uid: UserId, room_gid: str) -> list[MeasuredMessage]:
        """The newest messages of a room, the oldest of them first. Raises NotFound, GroupTooLarge, RateLimited."""
        group_id = await self._enter(uid, room_gid)
        after = await self._start(uid, group_id)
        return await rooms.list_newest(self.db, me=uid, group_id=group_id, after=after, limit=MOST_SHOWN)

    async def entries(self, found: Sequence[MeasuredMessage]) -> list[dict[str, Any]]:
        """Those of these messages that are still there, as rooms show them."""
        return [self._shown(each) for each in await rooms.list_said(self.db, found)]

    async def follow(self, caller: Caller, room_gid: str) -> RoomReader:
        """A reader of what is said from now on. Raises NotFound, GroupTooLarge, RateLimited, Unavailable."""
        group_id = await self._enter(caller.uid, room_gid)
        reader = await self.events.open(caller, None)
        try:
            return RoomReader(self, reader, group_id, await rooms.find_newest(self.db, group_id))
        except BaseException:
            reader.close()
            raise

    async def read(self, reader: RoomReader) -> list[dict[str, Any]]:
        """What comes next for this reader, whose cursor moves on. Raises Unauthenticated, NotFound."""
        await self.events.confirm(reader.caller)
        uid = reader.caller.uid
        after = max(reader.cursor, await self._start(uid, reader.group_id))
        while found := await rooms.list_next(self.db, me=uid, group_id=reader.group_id, after=after, limit=BATCH):
            some = fitting(found, BATCH_BYTES, attrgetter("size"))
            after = reader.cursor = some[-1].message_id
            if entries := await self.entries(some):  # what was taken back meanwhile is no reason to wait
                return entries
        return []

    async def _enter(self, uid: UserId, room_gid: str) -> GroupId:
        """The room's group, which the caller is in or comes into. Only who is not in it yet spends tries of the codes.

        Raises NotFound, GroupTooLarge, RateLimited.
        """
        group_id = await groups.find_by_room(self.db, room_gid)
        if group_id is not None and await group_members.find_role(self.db, group_id, uid) is not None:
            return group_id
        await self.limits.check("group", address=None, uid=uid)
        joined = await self.groups.join(uid, room_gid)
        return GroupId(joined["group_id"])

    async def _start(self, uid: UserId, group_id: GroupId) -> int:
        start = await rooms.find_start(self.db, me=uid, group_id=group_id)
        if start is None:
            raise NotFound
        return start

    def _shown(self, said: Said) -> dict[str, Any]:
        """A message as rooms show it; of a link its address."""
        body = json.loads(said.body)
        uuid = NOBODY if said.sender_uid is None else self.keys.public_id(said.sender_uid)
        return {
            "sender": {"uuid": str(uuid), "username": said.nickname or ""},
            "msg": {
                "msgId": said.message_id,
                "txt": body.get("text") or body["url"],
                "timestamp": said.send_time / 1000,
            },
        }


def read_said(msg: object) -> Body:
    """What somebody says in a room. Raises InvalidField."""
    problems: Problems = []
    body = read_body(MessageKind.TEXT, {"text": msg}, problems)
    check(problems)
    return body
