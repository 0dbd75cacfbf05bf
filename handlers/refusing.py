# SPDX-License-Identifier: Apache-2.0
"""How a request is refused while its body is on its way, so that the client can read the refusal.

Tornado ends a connection as soon as the answer is written. With unread data that is a reset, and a reset may
destroy the answer. Here the answer is flushed first, the rest of the body is read and thrown away within bounds,
and only then the connection ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, stream_request_body

from handlers import errors
from models.errors import AppError

MAX_DRAINING = 64
UNINVITED_SECONDS = 2


@dataclass(slots=True)
class Drain:
    """Bounds of reading what nobody wants: bytes and seconds per connection, and connections at once."""

    max_bytes: int
    seconds: float = 30
    connections: int = 0


@stream_request_body
class RefusingHandler(RequestHandler):
    """A handler that can refuse from `prepare` and from `data_received`."""

    request_id: str
    drain: Drain

    def initialize(self, drain: Drain) -> None:
        self.drain = drain
        self.body_bytes = 0
        self.refused: AppError | None = None
        self.draining: asyncio.TimerHandle | None = None
        self._drained = 0

    @property
    def content_length(self) -> int | None:
        text = self.request.headers.get("Content-Length", "").split(",")[0]
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    @property
    def connection(self) -> HTTP1Connection:
        assert isinstance(self.request.connection, HTTP1Connection)
        return self.request.connection

    def write_problem(self, error: AppError) -> None:
        self.set_status(errors.STATUS[error.kind])
        for name, value in errors.headers(error, browser="Sec-Fetch-Mode" in self.request.headers).items():
            self.set_header(name, value)
        body = errors.body(error, self.request_id)
        self.set_header("Content-Length", str(len(body)))
        self.write(body)

    async def refuse(self, error: AppError) -> None:
        """Answer an error before the request's body has ended."""
        self.release()
        self.refused = error
        try:
            if not self._has_body():
                self._replace_method(self._send_refusal)
                return
            self.set_header("Connection", "close")
            self.write_problem(error)
            if not self.well_framed():
                self.finish()
                return
            self._replace_method(self._end_drain)
            await self._start_drain(self._drain_seconds())
        except StreamClosedError:
            pass

    def release(self) -> None:
        """Give back what a request holds while its body is on its way. Called once or more; never raises."""

    def _has_body(self) -> bool:
        return "Transfer-Encoding" in self.request.headers or self.request.headers.get("Content-Length", "0") != "0"

    def _drain_seconds(self) -> float:
        """Short for a client that said it would wait to be invited: most then send nothing, but some send at once."""
        # Without the header Tornado does not invite the body, which nobody wants any more.
        invited = self.request.headers.pop("Expect", None) is None or self.body_bytes
        return self.drain.seconds if invited else UNINVITED_SECONDS

    def well_framed(self) -> bool:
        if "Transfer-Encoding" not in self.request.headers:
            return "Content-Length" not in self.request.headers or self.content_length is not None
        chunked = self.request.headers["Transfer-Encoding"].lower() == "chunked"
        return chunked and "Content-Length" not in self.request.headers

    def _replace_method(self, method: Callable[..., Awaitable[None]]) -> None:
        """What runs when the body has ended, in place of the handler's own method."""
        setattr(self, (self.request.method or "get").lower(), method)

    async def _send_refusal(self, *_: str, **__: str) -> None:
        if self.refused:
            self.write_problem(self.refused)
        self.finish()

    async def _start_drain(self, seconds: float) -> None:
        if self.drain.connections >= MAX_DRAINING:
            self.finish()
            return
        self.drain.connections += 1
        self.draining = asyncio.get_running_loop().call_later(seconds, self._end_early)
        await self.flush()

    def throw_away(self, count: int) -> None:
        """Count a piece of a body that nobody wants."""
        self._drained += count
        if self._drained > self.drain.max_bytes:
            self._end_early()

    def stop_draining(self) -> None:
        if self.draining:
            self.draining.cancel()
            self.draining = None
            self.drain.connections -= 1

    def _end_early(self) -> None:
        self.stop_draining()
        if not self._finished:
            self.finish()

    async def _end_drain(self, *_: str, **__: str) -> None:
        self.stop_draining()
        if not self._finished:
            await self.finish()
            self.connection.close()
