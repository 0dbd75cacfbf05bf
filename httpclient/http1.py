# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 to untrusted hosts: no redirects, no proxy from the environment, every answer bounded.

A connection goes to the very address that was judged, so that a second DNS answer changes nothing; TLS still sends
the host's name and checks the certificate against it. Failures are values: to a caller they all mean "try again".
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from time import time
from typing import Any, NamedTuple

import h11
import httpx

from httpclient.endpoints import DEFAULT_PORTS, HTTPS, Endpoints, NotAllowed
from httpclient.http1_connection import Broken, Http1Connection, Reply, TooLarge
from httpclient.trust import usual_trust

MAX_ANSWER_BYTES = 64 * 1024
"""Vendors answer with a few hundred bytes; a hostile endpoint must not fill the memory."""
CONNECT_SECONDS = 10.0
"""A TCP and TLS handshake across the world takes a second; lost packets are sent again after one and three."""
ANSWER_SECONDS = 10.0
"""A push that is not answered by then is tried again; its lease runs for longer."""
MAX_CONNECTIONS = 500
"""At once, of the files that a process may open."""
MAX_IDLE = 100
"""Kept for reuse, over all hosts: vendors are few, and endpoints of devices seldom the same twice."""
# Many hosts close a connection that was silent for longer, and a request sent at that moment would be lost.
IDLE_SECONDS = 5.0
MAX_ADDRESSES = 4
"""Of one name are tried: a host with a hundred of them must not hold a push for minutes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of any status. `body` is as received, without any decoding."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def is_temporary(self) -> bool:
        """Whether its status says that the same request may succeed later: Request Timeout (RFC 9110, 15.5.9), Too
        Early (RFC 8470), Too Many Requests (RFC 6585), or an error of the server.
        """
        return self.status >= 500 or self.status in (408, 425, 429)

    def retry_after(self) -> float | None:
        """Seconds asked for by `Retry-After` (RFC 9110, 10.2.3), given as number or date; None without a valid one."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit() and len(value) <= 9:
            return float(value)
        try:
            return max(parsedate_to_datetime(value).timestamp() - time(), 0.0)
        except (ValueError, OverflowError):
            return None

    def json_object(self) -> dict[str, Any]:
        """The JSON object that the body is; an empty one where it is anything else, or nested too deeply to read."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No usable answer. The host may have processed the request all the same."""

    reason: str


class _Host(NamedTuple):
    name: str
    port: int
    tls: bool


class HttpClient:
    """Up to 500 connections at once.

    `connect_seconds` covers waiting for a free connection and connecting, `answer_seconds` the rest up to the end of
    the answer. With `endpoints` every URL is judged before it is connected to. `tls` replaces the usual trust store.
    """

    def __init__(
        self,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        endpoints: Endpoints | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._endpoints = endpoints
        self._tls = tls or usual_trust("http/1.1")
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)  # when all are busy one waits, within the time for connecting
        # Least recently used first, among hosts as among each host's connections.
        self._idle: dict[_Host, list[Http1Connection]] = {}
        self._idle_count = 0

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer | NoAnswer:
        """Send one POST. Returns NoAnswer if the answer is larger than 64 KiB, late or malformed."""
        return await self.request("POST", url, content=content, headers=headers)

    async def request(
        self, method: str, url: str, *, content: bytes = b"", headers: Mapping[str, str]
    ) -> Answer | NoAnswer:
        """Send one request of any method; otherwise as `post`."""
        try:
            if self._endpoints:
                self._endpoints.check_form(url)
            host, named, target = _split(url)
            request = _request(method, named, target, headers, len(content))
            reply = await self._exchange(host, request, content)
        except NotAllowed:
            return NoAnswer("address not allowed")
        except TimeoutError:
            return NoAnswer("timed out")
        except TooLarge:
            return NoAnswer("answer too large")
        except (OSError, UnicodeError):  # UnicodeError: not a valid host name (IDNA)
            return NoAnswer("cannot connect")
        except (Broken, httpx.InvalidURL, h11.LocalProtocolError):
            return NoAnswer("connection broken")
        return Answer(*reply)

    async def close(self) -> None:
        """Close the idle connections; a connection in use closes with its request."""
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
        self._idle_count = 0

    async def _exchange(self, host: _Host, request: h11.Request, content: bytes) -> Reply:
        async with asyncio.timeout(self._connect_seconds) as limit, self._turns:
            connection = self._take_idle(host) or await self._open(host)
            limit.reschedule(asyncio.get_running_loop().time() + self._answer_seconds)
            try:
                return await connection.exchange(request, content, max_bytes=MAX_ANSWER_BYTES)
            finally:
                self._give_back(host, connection)

    def _take_idle(self, host: _Host) -> Http1Connection | None:
        """The most recently used idle connection to this host; closes those that are stale or lost."""
        idle = self._idle.get(host)
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.reusable and connection.idle_seconds < IDLE_SECONDS:
                return connection
            connection.abort()
        self._idle.pop(host, None)
        return None

    def _give_back(self, host: _Host, connection: Http1Connection) -> None:
        if not connection.reusable:
            connection.abort()
            return
        idle = self._idle[host] = self._idle.pop(host, [])
        idle.append(connection)
        self._idle_count += 1
        if self._idle_count > MAX_IDLE:
            longest, oldest = next(iter(self._idle.items()))
            oldest.pop(0).abort()
            self._idle_count -= 1
            if not oldest:
                del self._idle[longest]

    async def _open(self, host: _Host) -> Http1Connection:
        """Resolve the name once and connect to the first address that answers. Raises OSError, NotAllowed."""
        loop = asyncio.get_running_loop()
        find = self._endpoints.addresses if self._endpoints else _addresses
        # IPv4 first: a broken IPv6 route only shows by a timeout.
        addresses = sorted((await find(host.name, host.port))[:MAX_ADDRESSES], key=lambda address: ":" in address)
        tls, name = (self._tls, host.name) if host.tls else (None, None)
        failure: OSError = ConnectionError()
        for address in addresses:
            try:
                async with asyncio.timeout(self._connect_seconds / len(addresses)):
                    _, connection = await loop.create_connection(
                        Http1Connection, address, host.port, ssl=tls, server_hostname=name
                    )
                    return connection
            except OSError as error:
                failure = error
        raise failure


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@lru_cache(maxsize=4096)
def _split(url: str) -> tuple[_Host, bytes, bytes]:
    """Split a URL into host to connect to, `Host` header and request target. Raises httpx.InvalidURL."""
    parsed = httpx.URL(url)
    if parsed.scheme not in DEFAULT_PORTS or not parsed.raw_host:
        raise httpx.InvalidURL("no http or https address")
    port = parsed.port or DEFAULT_PORTS[parsed.scheme]
    host = _Host(parsed.raw_host.decode("ascii"), port, tls=parsed.scheme == HTTPS)
    return host, parsed.netloc, parsed.raw_path


def _request(method: str, host: bytes, target: bytes, headers: Mapping[str, str], length: int) -> h11.Request:
    """Raises h11.LocalProtocolError for an invalid header value."""
    own = {b"host": host, b"accept": b"*/*", b"accept-encoding": b"identity", b"user-agent": b"glimpse"}
    given = {name.lower().encode(): value.encode() for name, value in headers.items()}
    fields = {**own, **given, b"content-length": b"%d" % length}
    return h11.Request(method=method, target=target, headers=list(fields.items()))
