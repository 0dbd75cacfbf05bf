# SPDX-License-Identifier: Apache-2.0
"""Text and link messages and their history: section 8 of the HTTP contract."""

from collections.abc import Mapping

from handlers.base import BaseHandler
from handlers.paging import DEFAULT_LIMIT, MAX_LIMIT, cursor, number
from models.errors import InvalidField, NotFound
from models.ids import MAX_ID, IdRange, parse_id
from services.history import Conversation

MAX_PAGE = 1_000_000
PAGED = {"page", "per_page"}
BY_CURSOR = {"after", "before", "limit"}


class MessagesHandler(BaseHandler):
    """POST and GET /v1/messages."""

    async def post(self) -> None:
        key = self.idempotency_key()
        sent = await self.services.messaging.send(self.uid, self.fields(), key)
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
        items = found[: wanted.limit]
        self.reply(200, {"items": items, "next": items[-1]["message_id"] if len(found) > wanted.limit else None})

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


def _conversation(query: Mapping[str, str]) -> Conversation:
    given = [name for name in ("with_uid", "group_id") if name in query]
    wanted = parse_id(query[given[0]]) if len(given) == 1 else None
    if wanted is None:
        raise InvalidField(fields=[("with_uid", "exactly one of with_uid, group_id, a positive integer")])
    return Conversation(wanted, None) if given == ["with_uid"] else Conversation(None, wanted)
