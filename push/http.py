# SPDX-License-Identifier: Apache-2.0
"""HTTP towards providers, who are not trusted: no redirect, no proxy from the environment, every answer bounded.

What goes wrong on the way is a value, since for a push it only ever means: try again.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import cycle
from time import time

import httpx

from push.endpoints import Endpoints, NotAllowed
from push.pinning import AddressNotAllowed, PinnedTransport

MAX_ANSWER_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10.0
MAX_CONNECTIONS = 100

# Their request lines name device endpoints, which are secrets.
for noisy in ("httpx", "httpcore"):
    logging.getLogger(noisy).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, whatever its status. The body is as it came; none of it has been decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after(self) -> float | None:
        """The seconds that `Retry-After` asks for, as a number or as a date; None where it does not say."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit() and len(value) <= 9:
            return float(value)
        try:
            return max(parsedate_to_datetime(value).timestamp() - time(), 0.0)
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No usable answer. The request may have been carried out all the same."""

    reason: str


class _TooLarge(Exception):
    pass


class HttpClient:
    """A pool of connections. Times in seconds: to connect, to the answer's head, and from there to its end.

    With `endpoints` it takes URLs that devices named: one that they do not allow is never connected to. `tls` says
    whom to trust in place of the usual authorities. Many requests at once to one host want several `pools`: each
    looks at all of its connections for each request, and one pool of 32 takes three times the processor time of 16
    pools.
    """

    def __init__(
        self,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        endpoints: Endpoints | None = None,
        tls: ssl.SSLContext | None = None,
        pools: int = 1,
    ) -> None:
        self._head_seconds = connect_seconds + answer_seconds
        self._body_seconds = answer_seconds
        self._endpoints = endpoints
        tls = tls or httpx.create_ssl_context(trust_env=False)
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
        self._clients = [
            httpx.AsyncClient(
                follow_redirects=False,
                trust_env=False,
                verify=tls,
                limits=limits,
                transport=PinnedTransport(endpoints, tls=tls, limits=limits) if endpoints else None,
                timeout=httpx.Timeout(answer_seconds, connect=connect_seconds),
                headers={"Accept-Encoding": "identity", "User-Agent": "glimpse"},
            )
            for _ in range(pools)
        ]
        self._next = cycle(self._clients)

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer | NoAnswer:
        """Send one POST; an answer over 64 KiB, too slow or broken is none."""
        try:
            if self._endpoints:
                self._endpoints.check_form(url)
            client = next(self._next)
            return await self._exchange(client, client.build_request("POST", url, content=content, headers=headers))
        except (NotAllowed, AddressNotAllowed):
            return NoAnswer("address not allowed")
        except (TimeoutError, httpx.TimeoutException):
            return NoAnswer("timed out")
        except _TooLarge:
            return NoAnswer("answer too large")
        except httpx.ConnectError:
            return NoAnswer("cannot connect")
        except (httpx.HTTPError, httpx.InvalidURL):
            return NoAnswer("connection broken")

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        async with asyncio.timeout(self._head_seconds):
            response = await client.send(request, stream=True)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _read(response)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, body)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise _TooLarge
    return bytes(body)
