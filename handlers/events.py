# SPDX-License-Identifier: Apache-2.0
"""Events by long poll and by Server-Sent Events, as `operations/events.yaml` describes them.

WebSocket is in `handlers.socket`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from handlers.base import BaseHandler
from handlers.paging import limit, number
from handlers.route import PERSON, Route
from models.errors import AppError, InvalidField
from models.event import Event
from models.ids import MAX_ID
from services.events import Reader

LONGEST_WAIT = 60
"""Seconds of a long poll: proxies cut connections that are silent for longer."""
HEARTBEAT_SECONDS = 15
"""A line without an event, so that neither side nor a proxy takes a quiet stream for dead."""
STALL_SECONDS = 10
"""A reader that takes nothing for so long while there is something is cut."""
RECONNECT_MS = 2000
"""What a browser waits before it opens a broken stream again."""


def cursor(query: Mapping[str, str]) -> int | None:
    """The event that the caller has; None when it names none. Raises InvalidField."""
    return number(query, "after", default=0, least=0, most=MAX_ID) if "after" in query else None


def entry(event: Event) -> str:
    """An event as JSON text."""
    return f'{{"id":{event.event_id},"type":"{event.type}","at":{event.at},"data":{event.data}}}'


class FollowingHandler(BaseHandler):
    """A handler that waits for events. What it waits with ends with the connection."""

    reader: Reader | None = None

    async def follow(self, after: int | None) -> Reader:
        assert self.caller
        self.reader = await self.services.events.open(self.caller, after)
        if self._closed:
            self.reader.close()
        return self.reader

    async def after_some(self, found: Sequence[Event]) -> None:
        """Who is catching up takes turns with others, who hears of what happens now does not wait."""
        if len(found) > 1:
            await self.services.turns.take()

    def release(self) -> None:
        if self.reader is not None:
            self.reader.close()


class EventsHandler(FollowingHandler):
    """GET /v1/events: what has been, or with `wait` what comes next."""

    async def get(self) -> None:
        query = self.query("after", "wait", "limit")
        wait = number(query, "wait", default=0, least=0, most=LONGEST_WAIT)
        most = limit(query)
        reader = await self.follow(cursor(query))
        found = await reader.next(wait, most)
        items = ",".join(map(entry, found))
        self.finish(f'{{"items":[{items}],"next":{reader.cursor}}}')


class EventStreamHandler(FollowingHandler):
    """GET /v1/events/stream: Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

    async def get(self) -> None:
        reader = await self.follow(self._after())
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        if self.request.method == "HEAD":  # the content would have no end, and no length is told
            await self.flush()
            self.finish()
            return
        self.connection.pace()
        await self._send(f"retry: {RECONNECT_MS}\n\n")
        try:
            while not reader.closed:
                found = await reader.next(HEARTBEAT_SECONDS)
                await self._send("".join(map(_message, found)) or ":\n\n")
                await self.after_some(found)
        except AppError as error:
            await self._send(f"event: end\ndata: {json.dumps({'code': error.code})}\n\n")
        self.finish()

    def _after(self) -> int | None:
        query = self.query("after")
        last = self.request.headers.get("Last-Event-ID")  # empty: none, as the HTML standard has it
        return cursor({"after": last} if last else query)

    async def _send(self, text: str) -> None:
        """Raises StreamClosedError for a reader that is gone or takes nothing."""
        self.write(text)
        await self.flush_within(STALL_SECONDS)


def _message(event: Event) -> str:
    return f"id: {event.event_id}\nevent: {event.type}\ndata: {entry(event)}\n\n"


def first_frame(message: str | bytes) -> str:
    """The access token of a WebSocket's first frame. Raises InvalidField."""
    try:
        said: Any = json.loads(message)
    except (ValueError, RecursionError):
        said = None
    token = said.get("access_token") if isinstance(said, dict) and len(said) == 1 else None
    if not isinstance(token, str):
        raise InvalidField(fields=[("access_token", "the first frame is to be an object with this alone")])
    return token


ROUTES = (
    Route("GET", "/v1/events", EventsHandler, PERSON, "default", "listEvents"),
    Route("GET", "/v1/events/stream", EventStreamHandler, PERSON, "default", "streamEvents"),
)
