# SPDX-License-Identifier: Apache-2.0
"""WebSocket (RFC 6455) for Tornado's handlers: frames by the sans-IO protocol of `websockets`, bytes by our connection.

Masks, opcodes, lengths, fragments and close codes are judged there; here are the bounds and the order of things: one
message at a time is handled, nothing is read while the client does not take what it is sent, the end has a deadline.
Compression is never agreed to.
"""

import asyncio
import logging
from collections import deque
from typing import Any, Protocol

from tornado.web import RequestHandler
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from models.errors import MalformedRequest
from transport.connection import Connection
from transport.exchange import Exchange
from transport.first_step import begin

VERSION = "13"
GOING_AWAY, INVALID_DATA, TOO_BIG = 1001, 1007, 1009
MAX_FRAGMENTS = 64
"""Of one message: each costs more than the bytes in it."""
MAX_WAITING = 16
"""Frames that came while a message is being handled; then nothing is read."""
PIECE_BYTES = 1024
"""Of frames that are read in one turn of the event loop: the smallest cost a thousand times what their bytes do."""
CLOSE_SECONDS = 5.0
"""For the client to answer a close, and to take it."""

log = logging.getLogger("glimpse.http")
_quiet = logging.getLogger("glimpse.websocket")
_quiet.setLevel(logging.ERROR)


class WebSocketClosed(Exception):
    """Nothing can be sent on this WebSocket any more."""


class Listener(Protocol):
    """What a WebSocket tells its handler."""

    async def on_message(self, message: str | bytes) -> None: ...

    def on_ping(self, data: bytes) -> None: ...

    def on_pong(self, data: bytes) -> None: ...

    def on_close(self) -> None: ...


class WebSocket:
    """One open WebSocket: what the connection gives its bytes to."""

    def __init__(self, connection: Connection, protocol: ServerProtocol, listener: Listener) -> None:
        self._connection = connection
        self._protocol = protocol
        self._listener = listener
        self._unread = bytearray()
        self._eof = False
        self._resting = False
        self._frames: deque[Frame] = deque()
        self._parts: list[bytes] = []
        self._is_text = True
        self._handling = False
        self._closed = False
        self._ending: asyncio.TimerHandle | None = None

    # -- what the handler calls --

    @property
    def closing(self) -> bool:
        return self._closed or self._protocol.state is not State.OPEN

    def send(self, text: str) -> asyncio.Future[None]:
        """Done when the kernel has it. Raises WebSocketClosed."""
        if self.closing:
            raise WebSocketClosed
        self._protocol.send_text(text.encode())
        self._flush()
        return self._connection.taken()

    def ping(self) -> None:
        """Raises WebSocketClosed."""
        if self.closing:
            raise WebSocketClosed
        self._protocol.send_ping(b"")
        self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the end; nothing if it has begun."""
        if not self.closing:
            self._protocol.send_close(code, reason)
            self._flush()
            self._await_end()

    # -- what the connection calls --

    def received(self, data: bytes) -> None:
        self._unread += data
        if not self._resting:
            self._read_piece()

    def ended(self) -> None:
        """The client has closed its side: a WebSocket ends with that, when what came before has been heard."""
        self._eof = True
        if not self._unread:
            self._end()

    def writable(self) -> None:
        self._regulate()

    def stop(self) -> None:
        self.close(GOING_AWAY, "the server is stopping")

    def lost(self) -> None:
        if not self._closed:
            self._closed = True
            if self._ending:
                self._ending.cancel()
            self._frames.clear()
            listener = self._listener
            del self._listener  # it holds this: two who hold each other would wait for the collector
            listener.on_close()

    # -- between --

    def _read_piece(self) -> None:
        self._resting = False
        piece = bytes(self._unread[:PIECE_BYTES])
        del self._unread[:PIECE_BYTES]
        if not self._closed:
            self._protocol.receive_data(piece)
            self._take_events()
        if self._eof and not self._unread:
            self._end()

    def _end(self) -> None:
        if not self._closed:
            self._protocol.receive_eof()
            self._take_events()
        self._connection.close()

    def _take_events(self) -> None:
        self._frames.extend(event for event in self._protocol.events_received() if isinstance(event, Frame))
        self._flush()
        self._handle()
        if self._protocol.state is not State.OPEN:
            self._await_end()
        self._regulate()

    def _handle(self) -> None:
        while self._frames and not self._handling and not self._closed:
            frame = self._frames.popleft()
            if frame.opcode is Opcode.PING:
                self._listener.on_ping(bytes(frame.data))
            elif frame.opcode is Opcode.PONG:
                self._listener.on_pong(bytes(frame.data))
            elif frame.opcode is not Opcode.CLOSE:
                self._gather(frame)

    def _gather(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if len(self._parts) > MAX_FRAGMENTS:
            self._fail(TOO_BIG, "too many fragments")
        elif frame.fin:
            parts, self._parts = self._parts, []
            self._deliver(b"".join(parts))

    def _deliver(self, content: bytes) -> None:
        try:
            message = content.decode() if self._is_text else content
        except UnicodeDecodeError:
            self._fail(INVALID_DATA, "a text is not UTF-8")
            return
        try:
            pending = begin(self._listener.on_message(message))
        except Exception as error:  # noqa: BLE001 - whatever the listener's first step raises
            self._failed(error)
            return
        if pending is not None:
            self._handling = True
            pending.add_done_callback(self._handled)

    def _handled(self, future: asyncio.Future[Any]) -> None:
        self._handling = False
        if not future.cancelled() and (error := future.exception()):
            self._failed(error)
        self._handle()
        self._regulate()

    def _failed(self, error: BaseException) -> None:
        """A listener that met the end with its answer has done nothing wrong: the end goes on."""
        if not isinstance(error, WebSocketClosed):
            log.error("a WebSocket's message failed", exc_info=error)
            self._frames.clear()
            self._connection.abort()

    def _fail(self, code: int, reason: str) -> None:
        self._frames.clear()
        if not self.closing:
            self._protocol.fail(code, reason)
            self._flush()
            self._await_end()

    def _flush(self) -> None:
        """Send what the protocol has to say; its last word closes the connection."""
        for data in self._protocol.data_to_send():
            if data:
                self._connection.send(data)
            else:
                self._connection.linger()

    def _await_end(self) -> None:
        if self._ending is None and not self._closed:
            self._ending = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._connection.abort)

    def _regulate(self) -> None:
        """Read on while what comes can be handled and the client takes what it is sent."""
        if self._closed:
            return
        held = len(self._frames) > MAX_WAITING or self._connection.unsent() > 0
        if self._unread and not held and not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._read_piece)
        self._connection.hold_reading(held=held or bool(self._unread))


class WebSocketHandler(RequestHandler):
    """A handler that speaks WebSocket once it has called `accept_websocket`."""

    max_message_bytes = 4096
    websocket: WebSocket | None = None

    def handshake(self) -> Response:
        """The reply that accepts the request (RFC 6455, 4.2). Raises MalformedRequest; that reply names the version."""
        headers = Headers(list(self.request.headers.get_all()))
        request = Request(self.request.path, headers, self.request.method or "", self.request.version)
        accepted = ServerProtocol(logger=_quiet).accept(request)
        if accepted.status_code != 101 or self.request.method != "GET":
            self.set_header("Sec-WebSocket-Version", VERSION)
            raise MalformedRequest(f"This address speaks WebSocket alone, version {VERSION}.")
        return accepted

    def accept_websocket(self, accepted: Response, listener: Listener) -> None:
        """Answer 101; from then on `listener` is told what comes."""
        exchange = self.request.connection
        assert isinstance(exchange, Exchange)
        assert isinstance(exchange.carrier, Connection)
        protocol = ServerProtocol(state=State.OPEN, max_size=self.max_message_bytes, logger=_quiet)
        self.websocket = exchange.switches_to = WebSocket(exchange.carrier, protocol, listener)
        self.set_status(101)
        for name, value in accepted.headers.raw_items():
            self.set_header(name, value)
        self.finish()
