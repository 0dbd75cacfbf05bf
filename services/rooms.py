# SPDX-License-Identifier: Apache-2.0
"""Rooms: open groups, entered by who knows the `room_gid`, as section 11 of the HTTP contract has them.

Groups, messages and events are those of everybody else; here is only what a room adds to them.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from models.db.database import Database
from models.db.tables import group_members, groups, rooms
from models.db.tables.rooms import Said
from models.errors import NotFound
from models.group import GroupId, JoinPolicy
from models.keys import KeyRing
from models.user import UserId
from services.authentication import Caller
from services.events import CONFIRM_SECONDS, Events, Reader
from services.groups import Groups
from services.limits import Limits
from services.messaging import Messaging, read_draft

NAME = "Room"
MOST_SHOWN = 200
BATCH = 100
NOBODY = UUID(int=0)
"""Whose account is gone."""


class RoomReader:
    """One way in which a member follows a room, from its newest message on. End it with `close`."""

    def __init__(self, owner: "Rooms", events: Reader, group_id: GroupId, cursor: int) -> None:
        self.group_id = group_id
        self.cursor = cursor
        self.caller = events.caller
        self._owner = owner
        self._events = events

    async def next(self) -> list[dict[str, Any]]:
        """The next messages, as `Rooms.history` has them; none when the reader has been closed.

        Raises Unauthenticated within seconds of the session's end, and NotFound when the person has left the room.
        """
        while True:
            self._events.woken.clear()
            found = await self._owner.read(self)
            if found or self._events.closed:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await self._events.woken.wait()

    def close(self) -> None:
        """May be called again."""
        self._events.close()


class Rooms:
    """What people do in rooms."""

    def __init__(
        self, *, db: Database, keys: KeyRing, groups: Groups, messaging: Messaging, events: Events, limits: Limits
    ) -> None:
        self._db = db
        self._keys = keys
        self._groups = groups
        self._messaging = messaging
        self._events = events
        self._limits = limits

    async def create(self, uid: UserId) -> str:
        """A room with the caller in it; its room_gid."""
        wanted = {"name": NAME, "join": JoinPolicy.OPEN.value}
        return (await self._groups.create(uid, wanted, shared_history=True)).room_gid

    async def say(self, caller: Caller, fields: Mapping[str, Any]) -> None:
        """Say `msg` in the room `room_gid`.

        Raises InvalidField, Unauthenticated, NotFound, GroupTooLarge, RateLimited, Unavailable.
        """
        said = {"kind": "text", "text": fields.get("msg")}
        read_draft({**said, "group_id": 1})  # nobody comes into a room by a message that is refused
        group_id = await self._enter(caller.uid, fields.get("room_gid"))
        await self._messaging.send(caller, {**said, "group_id": group_id}, None, needs_others=False)

    async def history(self, uid: UserId, room_gid: object) -> list[dict[str, Any]]:
        """The newest messages of a room, the oldest of them first. Raises InvalidField, NotFound, GroupTooLarge."""
        group_id = await self._enter(uid, room_gid)
        after = await self._start(uid, group_id)
        found = await rooms.list_newest(self._db, me=uid, group_id=group_id, after=after, limit=MOST_SHOWN)
        return [self._shown(each) for each in found]

    async def follow(self, caller: Caller, room_gid: object) -> RoomReader:
        """A reader of what is said from now on.

        Raises InvalidField, NotFound, GroupTooLarge, RateLimited, Unavailable.
        """
        group_id = await self._enter(caller.uid, room_gid)
        reader = await self._events.open(caller, None)
        try:
            return RoomReader(self, reader, group_id, await rooms.find_newest(self._db, group_id))
        except BaseException:
            reader.close()
            raise

    async def read(self, reader: RoomReader) -> list[dict[str, Any]]:
        """What comes next for this reader, whose cursor moves on. Raises Unauthenticated, NotFound."""
        await self._events.confirm(reader.caller)
        uid = reader.caller.uid
        after = max(reader.cursor, await self._start(uid, reader.group_id))
        found = await rooms.list_next(self._db, me=uid, group_id=reader.group_id, after=after, limit=BATCH)
        if found:
            reader.cursor = found[-1].message_id
        return [self._shown(each) for each in found]

    async def _enter(self, uid: UserId, room_gid: object) -> GroupId:
        """The room's group, which the caller is in or comes into. Only who is not in it yet spends tries of the codes.

        Raises InvalidField, NotFound, GroupTooLarge, RateLimited.
        """
        group_id = await groups.find_by_room(self._db, room_gid) if isinstance(room_gid, str) else None
        if group_id is not None and await group_members.find_role(self._db, group_id, uid) is not None:
            return group_id
        await self._limits.check("group", address=None, uid=uid)
        joined = await self._groups.join(uid, {"room_gid": room_gid})
        return GroupId(joined["group_id"])

    async def _start(self, uid: UserId, group_id: GroupId) -> int:
        start = await rooms.find_start(self._db, me=uid, group_id=group_id)
        if start is None:
            raise NotFound
        return start

    def _shown(self, said: Said) -> dict[str, Any]:
        """A message as rooms show it; of a link its address."""
        body = json.loads(said.body)
        uuid = NOBODY if said.sender_uid is None else self._keys.public_id(said.sender_uid)
        return {
            "sender": {"uuid": str(uuid), "username": said.nickname or ""},
            "msg": {
                "msgId": said.message_id,
                "txt": body.get("text") or body["url"],
                "timestamp": said.send_time / 1000,
            },
        }
