# SPDX-License-Identifier: Apache-2.0
"""Text and link messages and their history: section 8 of the HTTP contract."""

from collections.abc import Mapping
from typing import Any

from handlers.base import BaseHandler
from handlers.paging import DEFAULT_LIMIT, MAX_LIMIT, cursor, number
from models.errors import InvalidField, NotFound
from models.ids import MAX_ID, parse_id
from models.paging import IdRange
from services.history import Conversation
from services.messaging import read_draft

MAX_PAGE = 1_000_000
"""A page by number is an OFFSET: nobody reads this far, and its cost grows with it."""
PAGED = {"page", "per_page"}
PAGE_CHARACTERS = 128 * 1024
"""Of text, by cursor: the reply waits in memory until the client has taken it."""
BY_CURSOR = {"after", "before", "limit"}


class MessagesHandler(BaseHandler):
    """POST and GET /v1/messages."""

    confirmed_by_service = ("POST",)

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
        found = await self.services.history.read(self.uid, conversation, one_more)
        items = _fitting(found[: wanted.limit])
        self.reply(200, {"items": items, "next": items[-1]["message_id"] if len(found) > len(items) else None})

    async def _page(self, query: Mapping[str, str], conversation: Conversation) -> None:
        if BY_CURSOR & query.keys():
            raise InvalidField(fields=[("page", "either pages or a cursor")])
        page = number(query, "page", default=1, least=1, most=MAX_PAGE)
        per_page = number(query, "per_page", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        history = self.services.history
        total = await history.count(self.uid, conversation)
        first = (page - 1) * per_page
        items = await history.read(self.uid, conversation, IdRange(0, MAX_ID, per_page, first)) if first < total else []
        self.reply(200, {"items": items, "next": None, "page": page, "per_page": per_page, "total": total})


class MessageHandler(BaseHandler):
    """DELETE /v1/messages/{message_id}, by its sender."""

    async def delete(self, message_id: str) -> None:
        wanted = parse_id(message_id)
        if wanted is None:
            raise NotFound
        await self.services.messaging.delete(self.uid, wanted)
        self.reply(204)


def _fitting(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of these, all but where their texts are so long that the reply would be too large; at least one."""
    characters = 0
    for count, item in enumerate(items):
        characters += len(item.get("text", ""))
        if count and characters > PAGE_CHARACTERS:
            return items[:count]
    return items


def _conversation(query: Mapping[str, str]) -> Conversation:
    given = [name for name in ("with_uid", "group_id") if name in query]
    wanted = parse_id(query[given[0]]) if len(given) == 1 else None
    if wanted is None:
        raise InvalidField(fields=[("with_uid", "exactly one of with_uid, group_id, a positive integer")])
    return Conversation(wanted, None) if given == ["with_uid"] else Conversation(None, wanted)
