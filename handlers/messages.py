# SPDX-License-Identifier: Apache-2.0
"""Text and link messages and their history, as `operations/messages.yaml` describes them."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from handlers.base import PIECE_BYTES, BaseHandler
from handlers.paging import DEFAULT_LIMIT, MAX_LIMIT, cursor, number
from handlers.route import PERSON, Route
from models.errors import InvalidField, NotFound
from models.ids import MAX_ID, parse_id
from models.message import MeasuredMessage
from models.paging import IdRange, fitting, pieces
from services.conversations import read_mark
from services.history import Conversation
from services.messaging import read_draft

MAX_PAGE = 1_000_000
"""A page by number is an OFFSET: nobody reads this far, and its cost grows with it."""
PAGED = {"page", "per_page"}
PAGE_BYTES = 128 * 1024
"""A page by cursor ends where its messages say so much: at that rate a client goes on by itself."""
BY_CURSOR = {"after", "before", "limit"}


class MessagesHandler(BaseHandler):
    """POST and GET /v1/messages."""

    confirmed_by_service = recalls_caller = ("POST",)

    async def post(self) -> None:
        assert self.caller
        key = self.idempotency_key()
        sent = await self.services.messaging.send(self.caller, read_draft(self.fields()), key, self.address)
        self.reply(201, {"message_id": sent.message_id, "send_time": sent.send_time})

    async def get(self) -> None:
        query = self.query("with_uid", "group_id", *PAGED, *BY_CURSOR)
        conversation = _conversation(query)
        if PAGED & query.keys():
            await self._page(query, conversation)
        else:
            await self._from_cursor(query, conversation)

    async def _from_cursor(self, query: Mapping[str, str], conversation: Conversation) -> None:
        wanted = cursor(query)
        one_more = IdRange(wanted.after, wanted.before, wanted.limit + 1)
        found = await self.services.history.find(self.uid, conversation, one_more)
        shown = fitting(found[: wanted.limit], PAGE_BYTES, attrgetter("size"))
        await self._reply(shown, {"next": shown[-1].message_id if len(found) > len(shown) else None})

    async def _page(self, query: Mapping[str, str], conversation: Conversation) -> None:
        if BY_CURSOR & query.keys():
            raise InvalidField(fields=[("page", "either pages or a cursor")])
        page = number(query, "page", default=1, least=1, most=MAX_PAGE)
        per_page = number(query, "per_page", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        history = self.services.history
        total = await history.count(self.uid, conversation)
        first = (page - 1) * per_page
        found = await history.find(self.uid, conversation, IdRange(0, MAX_ID, per_page, first)) if first < total else []
        await self._reply(found, {"next": None, "page": page, "per_page": per_page, "total": total})

    async def _reply(self, found: Sequence[MeasuredMessage], rest: Mapping[str, Any]) -> None:
        async def read(piece: Sequence[MeasuredMessage]) -> list[dict[str, Any]]:
            return await self.services.history.entries(self.uid, [each.message_id for each in piece])

        await self.reply_in_pieces(pieces(found, PIECE_BYTES, attrgetter("size")), read, rest)


class MessageHandler(BaseHandler):
    """DELETE /v1/messages/{message_id}, by its sender."""

    async def delete(self, message_id: str) -> None:
        wanted = parse_id(message_id)
        if wanted is None:
            raise NotFound
        await self.services.messaging.delete(self.uid, wanted)
        self.reply(204)


class ConversationsHandler(BaseHandler):
    """GET /v1/conversations."""

    async def get(self) -> None:
        wanted = cursor(self.query(*BY_CURSOR))
        page = await self.services.conversations.list(self.uid, wanted)
        self.reply(200, {"items": page.items, "next": page.next})


class ReadMarkHandler(BaseHandler):
    """PUT /v1/conversations/{conversation}/read."""

    async def put(self, conversation: str) -> None:
        group = conversation.startswith("g")
        wanted = parse_id(conversation.removeprefix("g"))
        if wanted is None:
            raise NotFound
        marked = Conversation(None, wanted) if group else Conversation(wanted, None)
        await self.services.conversations.mark_read(self.uid, marked, read_mark(self.fields()))
        self.reply(204)


def _conversation(query: Mapping[str, str]) -> Conversation:
    given = [name for name in ("with_uid", "group_id") if name in query]
    wanted = parse_id(query[given[0]]) if len(given) == 1 else None
    if wanted is None:
        raise InvalidField(fields=[("with_uid", "exactly one of with_uid, group_id, a positive integer")])
    return Conversation(wanted, None) if given == ["with_uid"] else Conversation(None, wanted)


ROUTES = (
    Route("POST", "/v1/messages", MessagesHandler, PERSON, "default", "sendMessage"),
    Route("GET", "/v1/messages", MessagesHandler, PERSON, "default", "listMessages"),
    Route("DELETE", "/v1/messages/{message_id}", MessageHandler, PERSON, "default", "deleteMessage"),
    Route("GET", "/v1/conversations", ConversationsHandler, PERSON, "default", "listConversations"),
    Route("PUT", "/v1/conversations/{conversation}/read", ReadMarkHandler, PERSON, "message", "markRead"),
)
