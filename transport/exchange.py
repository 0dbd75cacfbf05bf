# SPDX-License-Identifier: Apache-2.0
"""One request and its reply: what Tornado's handlers know as `request.connection`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http.client import responses
from typing import Protocol

from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine
from tornado.iostream import StreamClosedError

from transport.head import Head

BODILESS = (204, 304)
Line = RequestStartLine | ResponseStartLine


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as Tornado's requests look it up."""

    remote_ip: str
    protocol: str


class Switched(Protocol):
    """What a connection is given to once it speaks no HTTP any more. It closes the connection when that has `ended`."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def writable(self) -> None: ...

    def stop(self) -> None: ...

    def lost(self) -> None: ...


class Carrier(Protocol):
    """What an exchange asks of its connection."""

    peer: Peer

    @property
    def gone(self) -> bool: ...

    @property
    def lets_go(self) -> bool: ...

    def send(self, data: bytes) -> None: ...

    def taken(self) -> asyncio.Future[None]: ...

    def replied(self) -> None: ...

    def switch(self, to: "Switched") -> None: ...

    def abort(self) -> None: ...

    def set_body_timeout(self, seconds: float) -> None: ...

    def pace(self) -> None: ...

    def descriptor(self) -> int: ...

    @property
    def sends_files(self) -> bool: ...

    def send_before_file(self, data: bytes) -> None: ...

    def send_file(self, file: int, offset: int, count: int) -> int: ...


class Exchange(HTTPConnection):
    """Frames the reply: by its Content-Length, in chunks (HTTP/1.1), or by the connection's end (HTTP/1.0).

    What is written after the connection was lost is dropped; futures then raise StreamClosedError. `file_follows`: what
    is written next may wait for the bytes of a file.
    """

    def __init__(self, carrier: Carrier, head: Head) -> None:
        self.carrier = carrier
        self.head = head
        self.context = carrier.peer
        self.started = False
        self.finished = False
        self.lost = False
        self.ends_connection = not head.persistent
        self.switches_to: Switched | None = None
        self.file_follows = False
        self.on_loss: Callable[[], None] | None = None
        self._left: int | None = 0
        self._chunked = False

    # -- what Tornado calls --

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """What to call when the client has gone before the reply was finished."""
        self.on_loss = callback

    def write_headers(self, start_line: Line, headers: HTTPHeaders, chunk: bytes | None = None) -> asyncio.Future[None]:
        assert isinstance(start_line, ResponseStartLine)
        self.started = True
        self._choose_framing(start_line.code, headers)
        reason = start_line.reason or responses.get(start_line.code, "Unknown")
        lines = [f"HTTP/1.1 {start_line.code} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers.get_all()]
        text = "\r\n".join(lines)
        if text.count("\n") >= len(lines) or text.count("\r") >= len(lines):
            raise ValueError("a header field with a line's end in it")
        return self._send(text.encode("latin-1") + b"\r\n\r\n" + self._framed(chunk or b""))

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        return self._send(self._framed(chunk))

    def finish(self) -> None:
        """The reply is whole. Where it is shorter than was said, the connection is cut, that the client can tell."""
        if self.finished:
            return
        self.finished = True
        if self.lost:
            return
        if self._left:
            self.carrier.abort()
            return
        if self._chunked:
            self.carrier.send(b"0\r\n\r\n")
        if self.switches_to:
            self.carrier.switch(self.switches_to)
        else:
            self.carrier.replied()

    # -- what our handlers call besides --

    @property
    def closed(self) -> bool:
        return self.lost or self.carrier.gone

    def pace(self) -> None:
        """For a reply without measure: what waits for its client is not to wait in the kernel."""
        self.carrier.pace()

    @property
    def sends_files(self) -> bool:
        """Whether the kernel can copy from a file to this connection."""
        return self.carrier.sends_files and not self._chunked

    def send_file(self, file: int, offset: int, count: int) -> int:
        """Write so many bytes of a file, as many as the kernel takes at once; how many.

        0 where it takes none now, or cannot read the file: `write` the next piece then, and go on when that is taken.
        Call it when all that was written is taken, and the pages are in memory. Raises StreamClosedError, ValueError.
        """
        if self.lost:
            raise StreamClosedError
        if self._left is not None and count > self._left:
            raise ValueError("more content than the Content-Length says")
        sent = self.carrier.send_file(file, offset, count)
        if self._left is not None:
            self._left -= sent
        return sent

    def inform(self, line: str, fields: dict[str, str]) -> None:
        """An interim response (RFC 9110, 15.2), such as `104 Upload Resumption Supported`, before the reply. HTTP/1.0
        knows none.
        """
        if not self.started and not self.lost and self.head.version != "HTTP/1.0":
            lines = [f"HTTP/1.1 {line}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
            self.carrier.send("\r\n".join(lines).encode("latin-1"))

    def taken(self) -> asyncio.Future[None]:
        """Done when all that was written is with the kernel. Raises StreamClosedError."""
        return closed_future() if self.lost else self.carrier.taken()

    def lose(self) -> None:
        """There is nobody to reply to any more. The handler is told in the event loop's next turn: if its request was
        whole, its method has begun by then.
        """
        self.lost = True
        asyncio.get_running_loop().call_soon(self._tell_loss)

    def _tell_loss(self) -> None:
        callback, self.on_loss = self.on_loss, None
        if callback and not self.finished:
            callback()

    def descriptor(self) -> int:
        """The socket's; -1 where it is closed."""
        return self.carrier.descriptor()

    def close(self) -> None:
        """Cut the connection off."""
        self.carrier.abort()

    def set_body_timeout(self, seconds: float) -> None:
        """How long the rest of the body may take, from now on."""
        self.carrier.set_body_timeout(seconds)

    # -- framing --

    def _send(self, data: bytes) -> asyncio.Future[None]:
        if self.lost:
            return closed_future()
        if self.file_follows:
            self.file_follows = False
            self.carrier.send_before_file(data)
        else:
            self.carrier.send(data)
        return self.carrier.taken()

    def _choose_framing(self, code: int, headers: HTTPHeaders) -> None:
        if self.carrier.lets_go or headers.get("Connection", "").lower() == "close":
            self.ends_connection = True
        bodiless = code in BODILESS or code < 200 or self.head.method == "HEAD"
        if bodiless:
            self._left = 0
        elif "Content-Length" in headers:
            self._left = int(headers["Content-Length"])
        else:
            self._left = None
            if self.head.version == "HTTP/1.1":
                self._chunked = True
                headers["Transfer-Encoding"] = "chunked"
            else:
                self.ends_connection = True
        if code >= 200:
            if self.ends_connection:
                headers["Connection"] = "close"
            elif self.head.version == "HTTP/1.0":
                headers["Connection"] = "keep-alive"

    def _framed(self, chunk: bytes) -> bytes:
        if self._left is not None:
            if len(chunk) > self._left:
                raise ValueError("more content than the Content-Length says")
            self._left -= len(chunk)
            return chunk
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked and chunk else chunk


def closed_future() -> asyncio.Future[None]:
    """What a write to a lost connection is answered with; it need not be looked at."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(StreamClosedError())
    future.exception()
    return future
