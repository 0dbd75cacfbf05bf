# SPDX-License-Identifier: Apache-2.0
"""Events by WebSocket (RFC 6455), as `operations/events.yaml` describes them."""

import asyncio
from time import monotonic

from tornado.iostream import StreamClosedError

from handlers.errors import STATUS
from handlers.events import HEARTBEAT_SECONDS, STALL_SECONDS, FollowingHandler, cursor, entry, first_frame
from handlers.route import FRAME, Route
from models.errors import AppError, Forbidden, Unauthenticated, Unavailable
from services.authentication import Caller
from transport.websocket import WebSocketClosed, WebSocketHandler

FIRST_FRAME_SECONDS = 10
"""Who does not say who they are holds a connection that others could use."""
MAX_FRAME_BYTES = 4096
"""Clients send a credential, a cursor and pings."""
FRAMES_PER_MINUTE = 60
"""Of any kind: a client has nothing to say but its token and its pongs."""
POLICY, TRY_LATER = 1008, 1013
REFUSED = 4000
"""And the HTTP status of the refusal: 4401 for a credential that has ended."""


class EventSocketHandler(FollowingHandler, WebSocketHandler):
    """GET /v1/events/ws. Who sends no Authorization header says in the first frame who they are."""

    max_message_bytes = MAX_FRAME_BYTES
    following: asyncio.Task[None] | None = None
    frames = 0
    counted_since = 0.0
    heard = True

    async def admit(self) -> None:
        self.check_request()
        if "Authorization" in self.request.headers:
            self.caller = await self.authenticate()
        await self.check_rate()
        self.accepted = self.handshake()

    async def get(self) -> None:
        origin = self.request.headers.get("Origin")  # browsers name the page's, others need not: RFC 6455, 10.2
        if origin is not None and not self.services.origins.is_welcome(origin, self.reached_as):
            raise Forbidden("Pages of this origin may not open sockets here.")
        self.after = cursor(self.query("after"))
        self.introduced: asyncio.Future[Caller] = asyncio.get_running_loop().create_future()
        if self.caller is not None:
            self.introduced.set_result(self.caller)
        self.following = asyncio.create_task(self._follow())
        self.connection.pace()
        self.accept_websocket(self.accepted, self)

    async def on_message(self, message: str | bytes) -> None:
        self._count_frame()
        if not self.introduced.done():
            await self._introduce(message)

    def on_ping(self, data: bytes) -> None:  # noqa: ARG002 - the transport answers it
        self._count_frame()

    def on_pong(self, data: bytes) -> None:  # noqa: ARG002 - that it came is all
        self.heard = True
        self._count_frame()

    def on_close(self) -> None:
        self.release()
        if self.following is not None:
            self.following.cancel()
            self.following = None  # its end remembers where it was, and so this: only the collector would part them

    def _close(self, code: int, reason: str) -> None:
        if self.websocket:
            self.websocket.close(code, reason)

    def _count_frame(self) -> None:
        now = monotonic()
        if now > self.counted_since + 60:
            self.frames, self.counted_since = 0, now
        self.frames += 1
        if self.frames > FRAMES_PER_MINUTE:
            self._close(POLICY, "too many frames")

    async def _introduce(self, message: str | bytes) -> None:
        try:
            caller = await self.services.authentication.bearer(first_frame(message))
        except AppError as error:
            # A server that cannot tell now must not make the client throw its token away.
            refusal = error if error.kind is Unavailable.kind else Unauthenticated()
            self._close(_close_code(refusal), refusal.code)
        else:
            if not self.introduced.done():
                self.introduced.set_result(caller)

    async def _follow(self) -> None:
        try:
            try:
                async with asyncio.timeout(FIRST_FRAME_SECONDS):
                    self.caller = await self.introduced
            except TimeoutError:
                raise Unauthenticated from None
            await self._send_events()
            if self.websocket:
                self.websocket.stop()
        except AppError as error:
            self._close(_close_code(error), error.code)
        except TimeoutError:
            self._close(TRY_LATER, "too slow")
        except (WebSocketClosed, StreamClosedError):
            pass

    async def _send_events(self) -> None:
        """Until the reader is closed. Raises TimeoutError for a client that takes nothing or does not answer."""
        reader = await self.follow(self.after)
        while not reader.closed:
            found = await reader.next(HEARTBEAT_SECONDS)
            for event in found:
                await self._send(entry(event))
                await reader.confirm()
            await self.after_some(found)
            if not found and not reader.closed:
                self._ping()

    async def _send(self, text: str) -> None:
        """Raises TimeoutError for a client that takes nothing, WebSocketClosed, StreamClosedError."""
        assert self.websocket
        sent = self.websocket.send(text)
        if not sent.done():
            async with asyncio.timeout(STALL_SECONDS):
                await asyncio.wait({sent})
        await sent

    def _ping(self) -> None:
        if not self.heard:
            raise TimeoutError
        self.heard = False
        assert self.websocket
        self.websocket.ping()


def _close_code(error: AppError) -> int:
    status = int(STATUS[error.kind])
    return TRY_LATER if status == 503 else REFUSED + status


ROUTES = (Route("GET", "/v1/events/ws", EventSocketHandler, FRAME, "default", "socketEvents"),)
