# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1.1 connection over `h11`: one request after the other, each with its complete answer."""

import asyncio
from typing import NamedTuple, cast

import h11

MAX_HEAD_BYTES = 64 * 1024
"""Of a reply: cookies of some hosts take several kilobytes."""
# Per answer: a host that sends byte by byte would take the event loop's time from everybody else.
MAX_PIECES = 2000


class Reply(NamedTuple):
    """A complete answer. Header names are in lower case; the body is as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Broken(Exception):
    """The connection ended before the answer did, or the answer is not valid HTTP."""


class TooLarge(Exception):
    """The answer is larger than the caller allows, or comes in more than `MAX_PIECES` pieces."""


class Http1Connection(asyncio.Protocol):
    """Made by the event loop. Callers must `abort()` it unless `exchange` returned."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._transport: asyncio.Transport
        self._reply: asyncio.Future[Reply] | None = None
        self._max_bytes = 0
        self._received = self._pieces = 0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._idle_since = self._loop.time()
        self.reusable = True

    @property
    def idle_seconds(self) -> float:
        """How long ago the last answer ended, or the connection was made."""
        return self._loop.time() - self._idle_since

    async def exchange(self, request: h11.Request, content: bytes, *, max_bytes: int) -> Reply:
        """Send a request and wait for its answer. Raises Broken, TooLarge."""
        self.reusable = False
        if self._transport.is_closing():
            raise Broken
        self._reply, self._max_bytes = self._loop.create_future(), max_bytes
        self._headers, self._body = {}, bytearray()
        self._received = self._pieces = 0
        try:
            pieces = [self._h11.send(request), self._h11.send(h11.Data(content)), self._h11.send(h11.EndOfMessage())]
        except h11.LocalProtocolError:
            raise Broken from None
        self._transport.write(b"".join(piece for piece in pieces if piece))
        return await self._reply

    def abort(self) -> None:
        """Close without flushing: a host that does not read could keep a graceful close open for ever."""
        self.reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def connection_lost(self, _: Exception | None) -> None:
        self.reusable = False
        self._fail(Broken())

    def data_received(self, data: bytes) -> None:
        if self._reply is None or self._reply.done():
            self.abort()  # data without a request
            return
        # Every byte counts: interim answers and chunk extensions are not part of the body.
        most = self._max_bytes + MAX_HEAD_BYTES
        self._h11.receive_data(data[: most + 1 - self._received])
        self._received += len(data)
        self._read()
        if self._received > most:
            self._fail(TooLarge())

    def eof_received(self) -> None:
        """End of an answer without a length, or of the connection; the transport closes afterwards."""
        if self._reply is not None and not self._reply.done():
            self._h11.receive_data(b"")
            self._read()
        else:
            self.reusable = False

    def _read(self) -> None:
        try:
            while isinstance(event := self._h11.next_event(), h11.Event):
                self._pieces += 1
                if self._pieces > MAX_PIECES:
                    self._fail(TooLarge())
                    return
                if not self._take(event):
                    return
        except h11.RemoteProtocolError:
            self._fail(Broken())

    def _take(self, event: h11.Event) -> bool:
        """Take one event of h11; whether more of the answer is to come."""
        match event:
            case h11.Response():
                self._status = event.status_code
                self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            case h11.Data():
                self._body += event.data
                if len(self._body) > self._max_bytes:
                    self._fail(TooLarge())
                    return False
            case h11.EndOfMessage():
                self._end()
                return False
            case h11.ConnectionClosed():
                return False
        return True

    def _end(self) -> None:
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]:
            self._h11.start_next_cycle()
            self._idle_since = self._loop.time()
            self.reusable = not self._transport.is_closing()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Reply(self._status, self._headers, bytes(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
        self.abort()
