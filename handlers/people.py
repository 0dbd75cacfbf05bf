# SPDX-License-Identifier: Apache-2.0
"""Friends, blocks, reports and discovery, as `operations/people.yaml` describes them, but for groups."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from handlers import paging
from handlers.base import BaseHandler
from handlers.receiving import ReceivingHandler
from handlers.route import PERSON, Route
from handlers.uploads import MAX_FIELD_BYTES
from models.errors import InvalidField, NotFound
from models.ids import parse_id, read_id
from models.paging import Page
from models.user import FriendState
from services.reports import SentPicture
from storage.base import DiskWriter

REPORT_FIELDS = {"uid": MAX_FIELD_BYTES, "message_id": MAX_FIELD_BYTES, "reason": 2 * MAX_FIELD_BYTES}
"""A reason of 2,000 characters takes up to 8,000 bytes."""


class ListsPeople(BaseHandler):
    """How a page of people is answered."""

    def reply_page(self, page: Page[Any]) -> None:
        self.reply(200, {"items": [asdict(item) for item in page.items], "next": page.next})


class FriendsHandler(ListsPeople):
    """POST and GET /v1/friends."""

    async def post(self) -> None:
        fields = self.fields()
        other = read_id(fields.get("uid"))
        if other is None or fields.keys() != {"uid"}:
            raise InvalidField(fields=[("uid", "a positive integer, and nothing else")])
        state = await self.services.people.befriend(self.uid, other)
        if state is FriendState.FRIENDS:
            self.reply(200, {"state": "friends"})
        else:
            self.reply(201, {"state": "requested"})

    async def get(self) -> None:
        query = self.query("state", "after", "before", "limit")
        wanted = paging.cursor(query)
        state = query.get("state", FriendState.FRIENDS)
        self.reply_page(await self.services.people.list_friends(self.uid, state, wanted))


class FriendAcceptHandler(BaseHandler):
    """POST /v1/friends/{uid}/accept."""

    async def post(self, uid: str) -> None:
        state = await self.services.people.accept(self.uid, _person(uid))
        self.reply(200, {"state": state})


class FriendHandler(BaseHandler):
    """DELETE /v1/friends/{uid}."""

    async def delete(self, uid: str) -> None:
        await self.services.people.part(self.uid, _person(uid))
        self.reply(204)


class BlocksHandler(ListsPeople):
    """GET /v1/blocks."""

    async def get(self) -> None:
        wanted = paging.cursor(self.query("after", "before", "limit"))
        self.reply_page(await self.services.people.list_blocked(self.uid, wanted))


class BlockHandler(BaseHandler):
    """PUT and DELETE /v1/blocks/{uid}."""

    async def put(self, uid: str) -> None:
        await self.services.people.block(self.uid, _person(uid))
        self.reply(204)

    async def delete(self, uid: str) -> None:
        await self.services.people.unblock(self.uid, _person(uid))
        self.reply(204)


class ReportsHandler(ReceivingHandler):
    """POST /v1/reports, as JSON, or as a form with the picture."""

    writer: DiskWriter | None = None

    async def admit(self) -> None:
        await super().admit()
        if self._is_form:
            self.services.reports.charge_bytes(self.uid, self.content_length or 0)
            self.reservation = self.services.reports.reserve(self.content_length or 0)
            self.writer = await self.services.reports.create(self.reservation)
            self.start_upload(self.boundary(), self.writer, REPORT_FIELDS)

    def check_length(self) -> None:
        if self._is_form:
            self.check_form_bytes(self.content_length or 0)
        else:
            super().check_length()

    async def take(self, chunk: bytes) -> None:
        if self.upload is None:
            await super().take(chunk)
        else:
            self.check_form_bytes(self.body_bytes)
            await self.upload.feed(chunk)

    async def post(self) -> None:
        report_id = await (self._report_by_form() if self._is_form else self._report(self.fields()))
        self.reply(201, {"report_id": report_id})

    async def _report_by_form(self) -> int:
        upload, reservation = self.take_over()
        assert self.writer
        try:
            rest = await upload.end()
            if self.content_length is None:
                self.services.reports.charge_bytes(self.uid, upload.image_bytes)
            picture = SentPicture(self.writer, rest, upload.header, upload.image_bytes, upload.remover)
            return await self._report(upload.fields, picture if upload.has_image else None)
        finally:
            await upload.abort()
            if reservation:
                reservation.release()

    async def _report(self, fields: Mapping[str, Any], picture: SentPicture | None = None) -> int:
        return await self.services.reports.report(self.uid, fields, picture)

    @property
    def _is_form(self) -> bool:
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "multipart/form-data"


class DiscoverHandler(BaseHandler):
    """POST /v1/contacts/discover."""

    async def post(self) -> None:
        assert self.caller
        matches = await self.services.discovery.discover(self.caller, self.fields(), self.address)
        self.reply(200, {"matches": matches})


def _person(text: str) -> int:
    """The uid in a path. Raises NotFound."""
    uid = parse_id(text)
    if uid is None:
        raise NotFound
    return uid


ROUTES = (
    Route("POST", "/v1/contacts/discover", DiscoverHandler, PERSON, "default", "discoverContacts"),
    Route("POST", "/v1/friends", FriendsHandler, PERSON, "befriend", "befriend"),
    Route("GET", "/v1/friends", FriendsHandler, PERSON, "default", "listFriends"),
    Route("POST", "/v1/friends/{uid}/accept", FriendAcceptHandler, PERSON, "default", "acceptFriend"),
    Route("DELETE", "/v1/friends/{uid}", FriendHandler, PERSON, "default", "deleteFriend"),
    Route("GET", "/v1/blocks", BlocksHandler, PERSON, "default", "listBlocks"),
    Route("PUT", "/v1/blocks/{uid}", BlockHandler, PERSON, "default", "blockPerson", without_room=True),
    Route("DELETE", "/v1/blocks/{uid}", BlockHandler, PERSON, "default", "unblockPerson"),
    Route("POST", "/v1/reports", ReportsHandler, PERSON, "report", "report"),
)
