# SPDX-License-Identifier: Apache-2.0
"""Room chat over HTTP, as docs/samples.md describes it. Its event socket is in `handlers.samples.room_socket`."""

from operator import attrgetter
from typing import Any

from handlers.base import PIECE_BYTES
from handlers.route import ANYBODY, SESSION, Route
from handlers.samples.base import ShapedHandler, account_name
from models.errors import AppError
from models.paging import pieces
from services.accounts.session_ids import new_session_id
from services.groups import read_room_gid
from services.rooms import read_said


class RoomHandler(ShapedHandler):
    """A call of the sample's. Whoever has logged in says so in the header `user`."""

    def failure(self, error: AppError) -> dict[str, Any]:  # noqa: ARG002 - the status tells what there is to be told
        return {"ok": False}

    def credentials(self) -> dict[str, Any]:
        """The body's fields, its login under its native name. Raises MalformedRequest, InvalidField."""
        fields = self.fields()
        kind, text = account_name("login", fields.get("login"))
        return {kind.value: text, "password": fields.get("password"), "nickname": fields.get("username")}


class RoomRegisterHandler(RoomHandler):
    """POST /register."""

    async def post(self) -> None:
        least = self.services.settings.samples.min_password_bytes
        await self.services.passwords.sign_up(self.credentials(), self.address, min_password_bytes=least)
        self.reply(200, {"ok": True})


class RoomLoginHandler(RoomHandler):
    """POST /login."""

    async def post(self) -> None:
        uid, pair = await self.services.passwords.log_in(self.credentials(), self.address, new_session_id)
        me = await self.services.accounts.get_user(uid)
        self.reply(200, {"ok": True, "data": {"username": me["nickname"], "uuid": pair.refresh_token}})


class RoomMemberHandler(RoomHandler):
    """A call of somebody who has logged in."""

    async def admit(self) -> None:
        self.check_request()
        self.caller = await self.services.session_ids.caller(self.request.headers.get("user", ""))
        await self.check_rate()
        self.check_room()


class RoomCreateHandler(RoomMemberHandler):
    """POST /create-room."""

    async def post(self) -> None:
        self.fields()
        self.reply(200, {"ok": True, "data": {"room_gid": await self.services.rooms.create(self.uid)}})


class RoomMessageHandler(RoomMemberHandler):
    """POST /send-message."""

    async def post(self) -> None:
        assert self.caller
        fields = self.fields()
        body, room_gid = read_said(fields.get("msg")), read_room_gid({"room_gid": fields.get("room_gid")})
        await self.services.rooms.say(self.caller, room_gid, body)
        self.reply(200, {"ok": True})


class RoomHistoryHandler(RoomMemberHandler):
    """GET /get-room-history."""

    async def get(self) -> None:
        room_gid = read_room_gid(self.query("room_gid"))
        rooms = self.services.rooms
        found = pieces(await rooms.history(self.uid, room_gid), PIECE_BYTES, attrgetter("size"))
        await self.reply_in_pieces(found, rooms.entries, {"ok": True}, name="data")


ROUTES = (
    Route("POST", "/register", RoomRegisterHandler, ANYBODY, "register", "roomRegister", sample=True),
    Route("POST", "/login", RoomLoginHandler, ANYBODY, "login", "roomLogIn", sample=True, without_room=True),
    Route("POST", "/create-room", RoomCreateHandler, SESSION, "group", "createRoom", sample=True),
    Route("POST", "/send-message", RoomMessageHandler, SESSION, "default", "sendRoomMessage", sample=True),
    Route("GET", "/get-room-history", RoomHistoryHandler, SESSION, "default", "roomHistory", sample=True),
)
