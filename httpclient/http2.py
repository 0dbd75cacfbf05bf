# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to one host, all requests on one connection, over `h2`.

Not httpx: its HTTP/2 takes three times the processor time, leaves the streams of cancelled requests open until the
host accepts no more, and fails all requests with the error of one. As in `httpclient.http1`, failures are values.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx
from hpack import NeverIndexedHeaderTuple

from httpclient.endpoints import DEFAULT_PORTS, HTTPS
from httpclient.http1 import ANSWER_SECONDS, CONNECT_SECONDS, Answer, NoAnswer
from httpclient.http2_connection import Header, Http2Connection, Unprocessed
from httpclient.trust import usual_trust

# Firewalls drop a silent connection without telling either end.
IDLE_SECONDS = 300.0
CLOSE_SECONDS = 1.0
"""For the peer to take the GOAWAY; nothing depends on it."""

# Its debug log contains every header: keys, and device tokens in paths.
logging.getLogger("hpack").setLevel(logging.WARNING)


class Http2Client:
    """One connection to the host of `base_url`, opened on demand; `connect_seconds` and `answer_seconds` bound each.

    `ca_file` replaces the usual trust store. Raises OSError if it cannot be read, and ValueError if `base_url` is
    not an http or https URL.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        ca_file: Path | str | None = None,
    ) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in DEFAULT_PORTS or not url.host:
            raise ValueError(f"not an http or https URL: {base_url}")
        self._host = url.host
        self._port = url.port or DEFAULT_PORTS[url.scheme]
        self._path = url.path.rstrip("/")
        self._head: list[Header] = [
            (b":method", b"POST"),
            (b":scheme", url.scheme.encode()),
            (b":authority", url.netloc),
        ]
        self._tls = _tls(ca_file) if url.scheme == HTTPS else None
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._opening = asyncio.Lock()  # all requests share one connection: who comes while it is opened waits for it
        self._connection: Http2Connection | None = None

    async def post(
        self, path: str, *, content: bytes, headers: Mapping[str, str], once: Mapping[str, str]
    ) -> Answer | NoAnswer:
        """Send one POST of up to 16 KiB. Returns NoAnswer if the answer is larger than 64 KiB, late or malformed.

        Headers in `once` are never indexed by header compression. A request that the host declares unprocessed is
        sent once more, on a new connection.
        """
        head = [*self._head, NeverIndexedHeaderTuple(b":path", f"{self._path}{path}".encode())]
        head += [(name.encode(), value.encode()) for name, value in headers.items()]
        head += [NeverIndexedHeaderTuple(name.encode(), value.encode()) for name, value in once.items()]
        head.append(NeverIndexedHeaderTuple(b"content-length", str(len(content)).encode()))
        for _ in range(2):
            try:
                async with asyncio.timeout(self._connect_seconds):
                    connection = await self._usable()
            except TimeoutError:
                return NoAnswer("timed out")
            except (OSError, UnicodeError):  # UnicodeError: not a valid host name (IDNA)
                return NoAnswer("cannot connect")
            try:
                return await connection.exchange(head, content, seconds=self._answer_seconds)
            except Unprocessed:
                continue
        return NoAnswer("connection going away")

    async def close(self) -> None:
        """Close the connection; requests under way fail."""
        if self._connection is not None:
            self._connection.close()
            await asyncio.wait([self._connection.lost], timeout=CLOSE_SECONDS)
            self._connection.abort()

    async def _usable(self) -> Http2Connection:
        async with self._opening:
            if self._connection is not None and self._connection.idle_seconds > IDLE_SECONDS:
                self._connection.retire()
            if self._connection is None or self._connection.retired:
                self._connection = await self._open()
            return self._connection

    async def _open(self) -> Http2Connection:
        """Connect, and wait for the host's settings. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Http2Connection, self._host, self._port, ssl=self._tls)
        try:
            if not await connection.ready:
                raise ConnectionError
        except BaseException:
            connection.abort()
            raise
        return connection


def _tls(ca_file: Path | str | None) -> ssl.SSLContext:
    if ca_file is None:
        return usual_trust("h2")
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    return context
