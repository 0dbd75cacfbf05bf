# SPDX-License-Identifier: Apache-2.0
"""The sockets of a server, and how many connections they may have."""

import logging
import resource
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from app.open_files import FILES_PER_CONNECTION, connections_at_most, own_files
from app.services import MEGABYTE, sample_settings
from config.load import Config
from handlers.application import application
from handlers.samples import room_socket
from handlers.shared import Services
from models.shared_counters import SharedCounter

CHUNK_BYTES = 128 * 1024
MAX_HEADER_BYTES = 16 * 1024
LEAST_ROOM_SOCKETS = 16

log = logging.getLogger("glimpse.server")


class TakingTurns(socket.socket):
    """A listening socket of several workers: each takes one connection in a turn of its event loop.

    Tornado takes up to 128 at once, so that the first to wake would have all that wait.
    """

    _took = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises BlockingIOError, also where this turn's connection has been taken."""
        if self._took:
            self._took = False
            raise BlockingIOError
        accepted = super().accept()
        self._took = True
        return accepted


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a process listens on: the HTTP interface, the rooms of the samples, the metrics."""

    public: Sequence[socket.socket]
    rooms: Sequence[socket.socket]
    metrics: Sequence[socket.socket]

    @property
    def port(self) -> int:
        """Of the HTTP interface, also where any was asked for."""
        port: int = self.public[0].getsockname()[1]
        return port

    def close(self) -> None:
        for each in (*self.public, *self.rooms, *self.metrics):
            each.close()


class Listener(HTTPServer):
    """An HTTPServer with a bound on its connections: one too many is closed at once, and accepting goes on.

    `max_connections` of all processes that share `counter`, `max_own` of this one.
    """

    max_connections = 1024
    max_own = 1024
    counter = SharedCounter()

    def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:
        self.counter.add(1)
        if self.counter.total > self.max_connections or self.counter.own > self.max_own:
            self.counter.add(-1)
            stream.close()
        else:
            super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        super().on_close(server_conn)
        self.counter.add(-1)


def open_sockets(config: Config) -> Sockets:
    """Those of a process that is alone. Raises OSError, whose text says what cannot be had."""
    public = _bound(config.server.port, bare_host(config), "")
    return Sockets(public, _open_rooms(config), _open_metrics(config, 0))


def open_shared_sockets(config: Config) -> list[Sockets]:
    """Those of each worker: all but the metrics are the same for all. Raises OSError."""
    alone = open_sockets(config)
    public, rooms = ([TakingTurns(fileno=each.detach()) for each in some] for some in (alone.public, alone.rooms))
    metrics = [alone.metrics, *(_open_metrics(config, number) for number in range(1, config.server.workers))]
    return [Sockets(public, rooms, each) for each in metrics]


def _open_rooms(config: Config) -> list[socket.socket]:
    """None where the port cannot be had: rooms are a sample, and no reason not to serve."""
    port = config.samples.room_socket_port
    if not port or not sample_settings(config).enabled:
        return []
    try:
        return _bound(port, bare_host(config), " for rooms")
    except OSError as error:
        log.warning("no room socket", extra={"reason": str(error)})
        return []


def _open_metrics(config: Config, number: int) -> list[socket.socket]:
    metrics = config.metrics
    return _bound(metrics.port + number, without_brackets(metrics.host), " for metrics") if metrics.port else []


def _bound(port: int, host: str, purpose: str) -> list[socket.socket]:
    try:
        return bind_sockets(port, host)
    except OSError as error:
        raise OSError(f"cannot listen{purpose} on {host}, port {port}: {error.strerror}") from error


def serve_http(config: Config, services: Services, sockets: Sockets, connections: SharedCounter) -> Listener:
    """A listener on the public sockets, which counts its connections there."""
    server = config.server
    listener = Listener(
        application(services),
        ssl_options=tls(config),
        chunk_size=CHUNK_BYTES,
        max_header_size=MAX_HEADER_BYTES,
        max_buffer_size=MEGABYTE,
        max_body_size=1 << 62,  # handlers refuse by themselves, so that the client can read why
        idle_connection_timeout=server.idle_timeout_seconds,
        body_timeout=server.body_timeout_seconds,
    )
    listener.max_connections = server.max_connections
    listener.max_own = connections_at_most(server.max_connections, own_files(config))
    listener.counter = connections
    listener.add_sockets(sockets.public)
    return listener


def serve_rooms(
    config: Config, services: Services, sockets: Sockets, max_connections: int, left: Callable[[], float]
) -> AbstractAsyncContextManager[None]:
    """The event socket of room chat; it takes the files that so many connections leave."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    spare = allowed - own_files(config) - FILES_PER_CONNECTION * max_connections
    return room_socket.listening(
        services,
        sockets=sockets.rooms,
        tls=tls(config),
        max_connections=max(LEAST_ROOM_SOCKETS, min(room_socket.MAX_CONNECTIONS, spare)),
        left=left,
    )


def bare_host(config: Config) -> str:
    """The address to listen on, without the brackets that IPv6 has in a URL."""
    return without_brackets(config.server.host)


def without_brackets(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def tls(config: Config) -> ssl.SSLContext | None:
    if not config.server.tls.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.server.tls.cert, config.server.tls.key)
    return context
