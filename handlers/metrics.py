# SPDX-License-Identifier: Apache-2.0
"""GET /metrics for Prometheus, on a port of its own that speaks of nothing else. What is counted: `telemetry.metrics`.

Nobody is asked who they are: whoever reaches the port may read it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from socket import socket
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler

from handlers.shared import Services
from telemetry import metrics

MAX_BYTES = 16 * 1024
"""Of a scrape's head; it has no body."""


class MetricsHandler(RequestHandler):
    """Every path of the metrics port."""

    def initialize(self, services: Services, connections: Callable[[], int]) -> None:
        self._services = services
        self._open_connections = connections

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", metrics.CONTENT_TYPE)

    def prepare(self) -> None:
        if self.request.path != "/metrics":
            raise HTTPError(404)

    async def get(self) -> None:
        self.finish(await measured(self._services, self._open_connections))

    async def head(self) -> None:
        await self.get()

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's name
        self.finish(f"{status_code}\n")


async def measured(services: Services, connections: Callable[[], int]) -> bytes:
    """All metrics as they are now, in Prometheus's text format."""
    await services.gauges.measure()
    metrics.HTTP_CONNECTIONS.set(connections())
    metrics.HTTP_RUNNING.set(services.activity.running)
    return await asyncio.to_thread(metrics.exposition)


@asynccontextmanager
async def scraped(sockets: Sequence[socket], services: Services, connections: Callable[[], int]) -> AsyncIterator[None]:
    """Answer scrapes on these listening sockets for the length of a block, if there are any.

    `connections` tells how many this process has on the public port.
    """
    if not sockets:
        yield
        return
    every_path = {"services": services, "connections": connections}
    server = HTTPServer(
        Application(default_handler_class=MetricsHandler, default_handler_args=every_path),
        max_header_size=MAX_BYTES,
        max_body_size=MAX_BYTES,
    )
    server.add_sockets(sockets)
    watching = asyncio.create_task(metrics.watch_event_loop())
    try:
        yield
    finally:
        watching.cancel()
        server.stop()
        await server.close_all_connections()
