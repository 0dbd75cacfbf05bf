# SPDX-License-Identifier: Apache-2.0
"""One connection: bytes in, requests to Tornado's delegates, replies out, in turn and within bounds.

A machine of phases that runs as bytes come, replies end and readers take; it has no task of its own.

    HEAD      the next request's head is awaited, or on its way
    BODY      its body goes to the handler, piece by piece, no faster than the handler takes it
    REPLY     all of it has been read; the handler answers. A little of what follows is read, to see the client's end
    TAKING    the reply is whole, and the client has not taken all of it
    DISCARD   the reply was whole before the body: the rest is read and thrown away, that the client can read the reply
    LINGER    nothing more is answered; what the client still sends is thrown away for a moment, for the same reason
    SWITCHED  WebSocket
    GONE      nothing can be sent any more
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import Protocol, cast

from tornado.httputil import HTTPInputError, HTTPMessageDelegate, HTTPServerConnectionDelegate, RequestStartLine
from tornado.iostream import StreamClosedError

from models.errors import AppError, HeadersTooLarge, MalformedRequest
from transport.body import Body, ChunkedBody, FixedBody
from transport.exchange import Exchange, Peer, Switched, closed_future
from transport.first_step import begin
from transport.head import Head, parse
from transport.limits import Limits
from transport.tls import TlsTransport
from transport.unsent import UnsentBudget

RECEIVE_BYTES = 128 * 1024
READ_AHEAD_BYTES = 64 * 1024
"""Of what cannot be handled yet: then reading pauses."""
PACED_BYTES = 64 * 1024
MAX_BLANK_LINES = 8
"""Empty lines before a request, which some clients send after a body (RFC 9112, 2.2)."""
LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024
HALF_CLOSED_PROBE_SECONDS = 15
"""A client that has ended its side is asked so often whether it is there: nothing else tells that it has gone."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

_received = memoryview(bytearray(RECEIVE_BYTES))
"""Of all connections: what is received is used or copied before anything else runs."""
_received_little = _received[:16384]

log = logging.getLogger("glimpse.http")


class Phase(Enum):
    HEAD = auto()
    BODY = auto()
    REPLY = auto()
    TAKING = auto()
    DISCARD = auto()
    LINGER = auto()
    SWITCHED = auto()
    GONE = auto()


class House(Protocol):
    """What a connection asks of its server."""

    app: HTTPServerConnectionDelegate
    limits: Limits
    discarding: int
    unsent: UnsentBudget
    lets_go: bool

    def refusal(self, error: AppError) -> bytes: ...

    def may_begin(self, connection: "Connection") -> bool: ...

    def busy(self, connection: "Connection", forwarded_for: str | None) -> None: ...

    def idle(self, connection: "Connection") -> None: ...

    def forget(self, connection: "Connection") -> None: ...


class Connection(asyncio.BufferedProtocol):
    """Made for each accepted socket. `deadline` is of the loop's clock; the server's sweep calls `expire` after it.

    `source` is whom it is counted with, empty for nobody; a `shared` one is so with each of its requests anew.
    """

    transport: asyncio.Transport | TlsTransport | None = None
    sock: socket.socket
    """The transport's own; to be used only while that is not closing."""

    def __init__(self, house: House, peer: Peer, *, shared: bool) -> None:
        self.house = house
        self.peer = peer
        self.shared = shared
        self.source = ""
        self.served = 0
        self.phase = Phase.HEAD
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + house.limits.idle_seconds
        self._unread = bytearray()
        self._searched = 0
        self._blank_lines = 0
        self._head: Head | None = None
        self._exchange: Exchange | None = None
        self._delegate: HTTPMessageDelegate | None = None
        self._body: Body | None = None
        self._switched: Switched | None = None
        self._waiting = False
        self._advancing = False
        self._again = False
        self._scheduled = False
        self._eof = False
        self._reading_paused = False
        self._writing_paused = False
        self._takers: list[asyncio.Future[None]] = []
        self._discarded = 0

    # -- what the transport calls --

    def connection_made(self, transport: asyncio.BaseTransport | TlsTransport) -> None:
        if not isinstance(transport, TlsTransport):
            transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
            transport.set_write_buffer_limits(high=0)
        self.transport = transport
        if self.phase is Phase.GONE:
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        return _received if self.phase is Phase.BODY and not self._waiting else _received_little

    def buffer_updated(self, nbytes: int) -> None:
        phase = self.phase
        if phase is Phase.SWITCHED:
            assert self._switched
            self._switched.received(bytes(_received[:nbytes]))
            return
        if phase is Phase.LINGER:
            self._discard(nbytes)
            return
        if phase is Phase.GONE:
            return
        received = _received[:nbytes]
        if phase is Phase.BODY and not self._unread and not self._waiting and self._passes_by(nbytes):
            self._deliver(bytes(received))
            return
        self._unread += received
        self.advance()

    def eof_received(self) -> bool:
        """True: the connection stays, for the answers to what has been asked."""
        self._eof = True
        if self._switched:
            self._switched.ended()
            return True
        if self.phase is Phase.LINGER:
            self._close()
            return False
        self.advance()
        if self.phase is Phase.GONE:
            return False
        self._probe()
        return True

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.house.unsent.hold(self)

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.house.unsent.let_go(self)
        if self._is_broken():
            return
        takers, self._takers = self._takers, []
        for future in takers:
            if not future.done():
                future.set_result(None)
        if self._switched:
            self._switched.writable()
        elif self.phase is Phase.TAKING:
            self._next()
            self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._lose()
        self.house.forget(self)

    # -- what exchanges and handlers call --

    @property
    def gone(self) -> bool:
        return self.phase is Phase.GONE

    def send(self, data: bytes) -> None:
        if data and self.phase is not Phase.GONE:
            assert self.transport
            self.transport.write(data)
            if self._writing_paused:
                self.house.unsent.hold(self)

    def taken(self) -> asyncio.Future[None]:
        if self.phase is Phase.GONE or self._is_broken():
            return closed_future()
        future: asyncio.Future[None] = self._loop.create_future()
        if self._writing_paused:
            self._takers.append(future)
        else:
            future.set_result(None)
        return future

    def _is_broken(self) -> bool:
        """Whether a write has failed: the transport drops what it had, and tells so in the event loop's next turn."""
        return self.transport is None or self.transport.is_closing()

    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self.transport.get_write_buffer_size() if self.transport else 0

    def pace(self) -> None:
        """Have the kernel take little that is not on its way yet: it would keep megabytes of a long reply for a client
        that takes nothing (tcp(7), TCP_NOTSENT_LOWAT).
        """
        sock = self.transport.get_extra_info("socket") if self.transport else None
        if sock is not None and self.phase is not Phase.GONE:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PACED_BYTES)

    def descriptor(self) -> int:
        """The socket's file descriptor; -1 where it is closed."""
        sock = self.transport.get_extra_info("socket") if self.transport else None
        found: int = sock.fileno() if sock is not None and self.phase is not Phase.GONE else -1
        return found

    @property
    def sends_files(self) -> bool:
        return not isinstance(self.transport, TlsTransport)

    def send_before_file(self, data: bytes) -> None:
        """As `send`, but the kernel waits a moment for what follows before it sends a segment that is not full."""
        if not self._writing_paused and not self._is_broken():
            try:
                data = data[self.sock.send(data, socket.MSG_MORE) :]
            except OSError:
                pass  # what has broken, or is full, is met by the write
        self.send(data)

    def send_file(self, file: int, offset: int, count: int) -> int:
        if self._writing_paused or self._is_broken():
            return 0
        try:
            return os.sendfile(self.sock.fileno(), file, offset, count)
        except OSError:
            # What has broken is met by the write that follows: the connection's end, or the file's in a read.
            return 0

    def set_body_timeout(self, seconds: float) -> None:
        if self.phase is Phase.BODY:
            self.deadline = self._loop.time() + seconds

    @property
    def lets_go(self) -> bool:
        return self.house.lets_go

    def abort(self) -> None:
        """Cut off at once. What waits for the client is told so when the event loop has its next turn."""
        if self.transport:
            self.transport.abort()
        if self._leave():
            self._lose_exchange()

    def switch(self, to: Switched) -> None:
        """Speak no HTTP any more: what comes from now on is `to`'s."""
        self.phase, self._switched, self.deadline = Phase.SWITCHED, to, inf
        self._exchange = self._delegate = None
        if self._unread:
            data, self._unread = bytes(self._unread), bytearray()
            to.received(data)
        if self._eof:
            to.ended()

    def hold_reading(self, *, held: bool) -> None:
        """For who it was switched to: take nothing more for now, or go on."""
        if self.transport and held is not self._reading_paused and self.phase is not Phase.GONE and not self._eof:
            self._reading_paused = held
            self.transport.pause_reading() if held else self.transport.resume_reading()

    def close(self) -> None:
        """Send what has been written, within the patience for a reply, and close."""
        self._close()

    def stop(self) -> None:
        """The server ends: close, after the farewell of what this was switched to."""
        if self._switched and self.phase is Phase.SWITCHED:
            self._switched.stop()
        else:
            self._close()

    def replied(self) -> None:
        """The exchange is finished."""
        if self.phase is Phase.GONE:
            return
        if self.phase is Phase.BODY and self._body and not self._body.ended:
            self._start_discarding()
        elif self._writing_paused:
            self.phase = Phase.TAKING
            self._set_taking_deadline()
        else:
            self._next()
        if self._unread or self._eof:
            self._schedule()

    # -- the machine --

    def advance(self) -> None:
        """Go on as far as the bytes that are there, the handler and the client let it."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while not self._waiting and self._step():
                pass
        except AppError as error:
            self._refuse(error)
        except Exception:
            log.exception("a connection failed")
            self.abort()
        finally:
            self._advancing = False
        self._regulate()
        if self._again:
            self._again = False
            self._schedule()

    def _schedule(self) -> None:
        """Advance in the event loop's next turn: never deeper in the stack, and others come between."""
        if not self._scheduled and not self._advancing:
            self._scheduled = True
            self._loop.call_soon(self._run_scheduled)

    def _run_scheduled(self) -> None:
        self._scheduled = False
        self.advance()

    def _step(self) -> bool:
        """One step; whether another may follow. Raises MalformedRequest, HeadersTooLarge."""
        if self.phase is Phase.HEAD:
            return self._read_head()
        if self.phase is Phase.BODY:
            return self._read_body()
        if self.phase is Phase.DISCARD:
            return self._discard_body()
        return False

    def _regulate(self) -> None:
        """Read on while what comes can be handled or is little."""
        if self.phase is not Phase.SWITCHED:
            self.hold_reading(held=len(self._unread) >= READ_AHEAD_BYTES)

    # -- heads --

    def _read_head(self) -> bool:
        if self._head is None:
            self._head = self._take_head()
        if self._head is None or not self.house.may_begin(self):
            return False
        head, self._head = self._head, None
        self._start(head)
        if self.phase is Phase.HEAD:
            self._again = bool(self._unread) or self._eof  # answered already: others have their turn before the next
            return False
        return True

    def _take_head(self) -> Head | None:
        """The next head, once all of it has come: then the client waits for us, be it in line."""
        unread = self._unread
        self._skip_blank_lines()
        if not unread or unread == b"\r":
            if self._eof:
                self._close()
            return None
        end = unread.find(b"\r\n\r\n", self._searched)
        most = self.house.limits.max_head_bytes
        if end < 0 or end > most:
            self._check_unfinished_head(most)
            return None
        self._searched = self._blank_lines = 0
        raw = bytes(unread[:end])
        del unread[: end + 4]
        self.deadline = inf
        head = parse(raw)
        self.house.busy(self, head.headers.get("X-Forwarded-For"))
        return head

    def _skip_blank_lines(self) -> None:
        while self._unread.startswith(b"\r\n"):
            del self._unread[:2]
            self._blank_lines += 1
            if self._blank_lines > MAX_BLANK_LINES:
                raise MalformedRequest("A request begins with its request line.")

    def _check_unfinished_head(self, most: int) -> None:
        """Raises as soon as it can be told that no head comes of it, or one that is too long."""
        unread = self._unread
        if unread[0] not in TOKEN_BYTES:
            raise MalformedRequest("A request begins with its method.")
        line_end = unread.find(b"\n", self._searched)
        while line_end >= 0:
            if unread[line_end - 1] != 13:
                raise MalformedRequest("A line ends with CRLF.")
            line_end = unread.find(b"\n", line_end + 1)
        if len(unread) > most:
            raise HeadersTooLarge(f"The request line and the header fields have at most {most} bytes.")
        self._searched = max(0, len(unread) - 3)
        if self._eof:
            self._close()

    def _start(self, head: Head) -> None:
        self.served += 1
        exchange = self._exchange = Exchange(self, head)
        if self._eof and not self._unread and head.length == 0:
            exchange.ends_connection = True
        self._body = ChunkedBody() if head.length is None else FixedBody(head.length)
        self.phase = Phase.REPLY if self._body.ended else Phase.BODY
        self.deadline = inf if self._body.ended else self._loop.time() + self.house.limits.body_seconds
        delegate = self._delegate = self.house.app.start_request(self, exchange)
        try:
            prepared = delegate.headers_received(RequestStartLine(head.method, head.target, head.version), head.headers)
        except HTTPInputError as error:
            raise MalformedRequest("The request target cannot be read.") from error
        self._wait(prepared, self._prepared)

    def _prepared(self) -> None:
        """The handler knows the head, and may have answered by it."""
        exchange = self._exchange
        if exchange is None or exchange.finished or self.phase is Phase.GONE:
            return
        if self.phase is Phase.REPLY:
            self._finish_request()
        elif exchange.head.waits_for_continue and not self._unread:
            self.send(CONTINUE)

    def _wait(self, awaited: object, then: Callable[[], None]) -> None:
        """Call `then` when the handler has done what it was asked, at once if it has."""
        pending = begin(awaited)
        if pending is None:
            then()
            return
        self._waiting = True

        def done(future: asyncio.Future[object]) -> None:
            self._waiting = False
            if not future.cancelled() and (error := future.exception()):
                log.error("a request's delegate failed", exc_info=error)
                self.abort()
            else:
                then()
            self.advance()

        pending.add_done_callback(done)

    # -- bodies --

    def _passes_by(self, count: int) -> bool:
        """Most of a large body needs no copy between here and the handler."""
        return isinstance(self._body, FixedBody) and self._body.pass_by(count)

    def _deliver(self, content: bytes) -> None:
        assert self._delegate
        try:
            self._wait(self._delegate.data_received(content), self._end_body)
        except Exception:
            log.exception("a body could not be taken")
            self.abort()

    def _read_body(self) -> bool:
        body = self._body
        assert body
        before = len(self._unread)
        content = body.take(self._unread) if before else b""
        if content:
            self._deliver(content)
        else:
            self._end_body()
        if self._eof and len(self._unread) == before and self.phase is Phase.BODY and not self._waiting:
            self.abort()
        return self._goes_on(body, before)

    def _goes_on(self, body: Body, before: int) -> bool:
        """Whether more of a body can be taken in this turn of the event loop, when it was so many bytes before."""
        rests = body.rests and bool(self._unread)
        self._again = self._again or rests
        return len(self._unread) < before and not rests

    def _end_body(self) -> None:
        """If it has ended, the request has."""
        if self.phase is Phase.BODY and self._body and self._body.ended:
            self.phase, self.deadline = Phase.REPLY, inf
            self._finish_request()

    def _finish_request(self) -> None:
        if self._delegate and self._exchange and not self._exchange.finished:
            self._delegate.finish()

    def _start_discarding(self) -> None:
        """The reply is whole, the body is not: read the rest within bounds, then close, or go on to the next."""
        assert self._exchange
        limits = self.house.limits
        if self.house.discarding >= limits.max_discarding:
            self._close()
            return
        self.house.discarding += 1
        self.phase = Phase.DISCARD
        uninvited = self._exchange.head.waits_for_continue and not self._unread
        self.deadline = self._loop.time() + (LINGER_SECONDS if uninvited else limits.discard_seconds)

    def _discard_body(self) -> bool:
        body = self._body
        assert body
        before = len(self._unread)
        if before:
            self._discarded += len(body.take(self._unread))
        if body.ended:
            self._stop_discarding()
            self.phase = Phase.TAKING
            if not self._writing_paused:
                self._next()
            else:
                self._set_taking_deadline()
        elif self._discarded > self.house.limits.max_discard_bytes or (self._eof and not self._unread):
            self._close()
        return self._goes_on(body, before)

    def _stop_discarding(self) -> None:
        if self.phase is Phase.DISCARD:
            self.house.discarding -= 1

    # -- ends --

    def _next(self) -> None:
        """The reply is with the kernel: close, or wait for the next request."""
        exchange = self._exchange
        self._exchange = self._delegate = self._body = None
        if exchange is None or exchange.ends_connection:
            self.linger()  # an empty line behind a body, or the next request of who did not know, may be on its way
            return
        self.phase = Phase.HEAD
        self._discarded = 0
        self.deadline = self._loop.time() + self.house.limits.idle_seconds
        if not self._unread:
            self.house.idle(self)

    def _set_taking_deadline(self) -> None:
        self.deadline = self._loop.time() + self.house.limits.seconds_to_take(self.unsent())

    def _refuse(self, error: AppError) -> None:
        """Answer what is no request, or a body that cannot be read, and close: nothing that follows can be told."""
        exchange = self._exchange
        if self.phase is Phase.DISCARD or (exchange and exchange.started):
            self.abort()
            return
        self._lose_exchange()
        self.send(self.house.refusal(error))
        self.linger()

    def linger(self) -> None:
        """Let the client read the refusal: closing with unread bytes would be a reset, which may destroy it."""
        if self.phase is Phase.GONE:
            return
        assert self.transport
        self._stop_discarding()
        self._discarded = 0
        self._unread.clear()
        if self._eof or self.house.discarding >= self.house.limits.max_discarding:
            self._close()
            return
        self.transport.write_eof()
        self.phase = Phase.LINGER
        self.deadline = self._loop.time() + LINGER_SECONDS

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self._close()

    def _close(self) -> None:
        """Close when what was written has been sent; who does not take it is cut off by the sweep."""
        if self._leave():
            self._lose_exchange()
            self._set_taking_deadline()
            if self.transport:
                self.transport.close()

    def drop(self) -> None:
        """Cut off a connection that has no request, to make room for another."""
        self.abort()
        self.house.forget(self)

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = inf
        if self.phase in (Phase.HEAD, Phase.DISCARD, Phase.LINGER) and self.transport and not self.unsent():
            self._close()
        else:
            self._lose()
            if self.transport:
                self.transport.abort()

    def _lose(self) -> None:
        self._leave()
        self._lose_exchange()
        if self._switched:
            switched, self._switched = self._switched, None
            switched.lost()

    def _lose_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange:
            exchange.lose()

    def _leave(self) -> bool:
        """To the last phase; False where that was reached before."""
        if self.phase is Phase.GONE:
            return False
        self._stop_discarding()
        self.phase = Phase.GONE
        self._fail_takers()
        return True

    def _fail_takers(self) -> None:
        takers, self._takers = self._takers, []
        for future in takers:
            if not future.done():
                future.set_exception(StreamClosedError())
                future.exception()

    def _probe(self) -> None:
        """Have the kernel ask whether a client that has ended its side is still there."""
        assert self.transport
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                sock.setsockopt(socket.IPPROTO_TCP, option, HALF_CLOSED_PROBE_SECONDS)
