# SPDX-License-Identifier: Apache-2.0
"""Connections that go to the very address that was judged, so that no later answer of the name's server counts.

TLS still asks for the name and checks the certificate against it.
"""

import asyncio
import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any

import httpcore
import httpx

from push.endpoints import Endpoints, NotAllowed

MAX_TRIES = 4


class AddressNotAllowed(Exception):
    """The host has an address that devices may not name; nothing was connected."""


class PinnedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport, whose pool opens its connections through `endpoints`."""

    def __init__(self, endpoints: Endpoints, *, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=tls, trust_env=False, limits=limits)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_JudgingBackend(endpoints),
        )


class _JudgingBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up once, judge all that it has, and connect to the first of these addresses that answers."""
        try:
            async with asyncio.timeout(timeout):
                addresses = (await self._endpoints.addresses(host, port))[:MAX_TRIES]
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except NotAllowed as error:
            raise AddressNotAllowed from error
        except OSError as error:
            raise httpcore.ConnectError from error
        connect = partial(
            self._inner.connect_tcp,
            port=port,
            timeout=timeout and timeout / max(len(addresses), 1),
            local_address=local_address,
            socket_options=socket_options,
        )
        failure: Exception = httpcore.ConnectError()
        for address in addresses:
            try:
                return await connect(address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
