# SPDX-License-Identifier: Apache-2.0
"""TLS between a socket's transport and a connection, by the sans-IO object of `ssl`.

The event loop's own TLS keeps bytes that nobody can count, so that "all is with the kernel" could not be told; here
what is unsent is what the plain transport says.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Protocol, cast

RECEIVE_BYTES = 64 * 1024
RECORDS_AT_ONCE = 64
"""Then others have their turn: the smallest record costs what one of 16 KiB does."""
MOST_ANSWERED = 1024
"""Bytes that TLS itself answers at once after the handshake: to some forty renewals of keys, of which nobody needs more
than one in 2^24 records (RFC 8446, 5.5). Each costs far more than its 27 bytes say.
"""
_received = memoryview(bytearray(RECEIVE_BYTES))
"""Of all connections: what was received is fed to its own TLS object before anything else runs."""


class Secured(Protocol):
    """A connection under TLS."""

    transport: Any

    @property
    def source(self) -> str: ...

    @property
    def gone(self) -> bool: ...

    def connection_made(self, transport: "TlsTransport") -> None: ...

    def get_buffer(self, sizehint: int) -> memoryview: ...

    def buffer_updated(self, nbytes: int) -> None: ...

    def eof_received(self) -> bool: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...


class TlsTransport(asyncio.BufferedProtocol):
    """A protocol to the plain transport; a transport to `protocol`, whose `connection_made` follows the handshake.

    A step of the handshake costs as much as a request: `may_begin` says whether this turn of the event loop has room
    for it; else it has `advance` called in a later one.
    """

    def __init__(self, context: ssl.SSLContext, protocol: Secured, may_begin: Callable[["TlsTransport"], bool]) -> None:
        self._protocol = protocol
        self._may_begin = may_begin
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._plain: asyncio.Transport
        self._shaken = False
        self._paused = False
        self._eof = False

    # -- what the plain transport calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast(asyncio.Transport, transport)
        self._plain.set_write_buffer_limits(high=0)
        self._protocol.transport = self
        if self._protocol.gone:  # its place was given away before it had a transport
            self._plain.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        self._incoming.write(_received[:nbytes])
        self._advance()

    def eof_received(self) -> bool:
        """Without a farewell of TLS what came may be cut short: there is nobody to answer."""
        self._plain.abort()
        return False

    def pause_writing(self) -> None:
        if self._shaken:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._shaken:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    # -- what the connection calls --

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._send()

    def write_eof(self) -> None:
        """Say that nothing more comes; what the peer sends is still read."""
        self._farewell()

    def pause_reading(self) -> None:
        self._paused = True
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._plain.resume_reading()
        asyncio.get_running_loop().call_soon(self._advance)  # what is deciphered already is announced by no socket

    def get_write_buffer_size(self) -> int:
        return self._plain.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._plain.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._plain.is_closing()

    def close(self) -> None:
        if not self._plain.is_closing():
            self._farewell()
            self._plain.close()

    def abort(self) -> None:
        self._plain.abort()

    # -- what the server calls --

    @property
    def source(self) -> str:
        """Whom the connection is counted with."""
        return self._protocol.source

    def advance(self) -> None:
        """Go on with what has come."""
        if not self._plain.is_closing() and not self._paused:
            self._plain.resume_reading()
            self._advance()

    # -- between --

    def _advance(self) -> None:
        if self._plain.is_closing() or self._eof:
            return
        shaken = self._shaken
        try:
            if not self._shaken:
                if not self._may_begin(self):
                    self._plain.pause_reading()
                    return
                self._tls.do_handshake()
                self._shaken = True
                self._protocol.connection_made(self)
            self._decipher()
        except ssl.SSLWantReadError:
            if shaken and self._outgoing.pending > MOST_ANSWERED:
                self._plain.abort()
                return
            self._send()
            if self._shaken and self._plain.get_write_buffer_size():
                self._protocol.pause_writing()  # once more: it counts what waits
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError:
            self._send()  # the alert that says why
            self._plain.close()

    def _decipher(self) -> None:
        for _ in range(RECORDS_AT_ONCE):
            if self._paused or self._plain.is_closing():
                return
            buffer = cast(bytearray, self._protocol.get_buffer(-1))  # any writable buffer
            count = cast(int, self._tls.read(RECEIVE_BYTES, buffer))
            if not count:
                self._end()
                return
            self._protocol.buffer_updated(count)
        self._plain.pause_reading()
        asyncio.get_running_loop().call_soon(self.advance)

    def _end(self) -> None:
        self._eof = True
        if not self._protocol.eof_received():
            self.close()

    def _farewell(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()  # the peer's is not waited for
        self._send()

    def _send(self) -> None:
        if self._outgoing.pending and not self._plain.is_closing():
            self._plain.write(self._outgoing.read())
