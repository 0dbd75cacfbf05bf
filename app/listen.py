# SPDX-License-Identifier: Apache-2.0
"""The sockets of a server, and how many connections they may have."""

import logging
import resource
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from tornado.netutil import bind_sockets

from app.generation_link import GenerationLink, HeldSockets
from app.open_files import FILES_PER_CONNECTION, connections_at_most, own_files
from app.providers import admin_token
from app.services import MEGABYTE, sample_settings
from config.load import Config
from handlers import operator_page
from handlers.address import Proxies
from handlers.application import application
from handlers.base import refused_unread
from handlers.samples import room_socket
from handlers.shared import Services
from models.shared_counters import SharedCounter
from services.limits import network
from transport.limits import Limits
from transport.server import Server

LEAST_ROOM_SOCKETS = 16
"""Also where the open files are few: enough to try the sample."""
BACKLOG = 1024
"""Connections that may wait to be accepted: a burst beyond it is told to come again a second later."""

PUBLIC, ROOMS, METRICS, ADMIN = "public", "rooms", "metrics", "admin"

log = logging.getLogger("glimpse.server")


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a process listens on: the HTTP interface, the rooms of the samples, the metrics, the operator's page."""

    public: Sequence[socket.socket]
    rooms: Sequence[socket.socket]
    metrics: Sequence[socket.socket]
    admin: Sequence[socket.socket]

    @property
    def port(self) -> int:
        """Of the HTTP interface, also where any was asked for."""
        port: int = self.public[0].getsockname()[1]
        return port

    @property
    def named(self) -> list[tuple[str, socket.socket]]:
        """Each, with the name by which the main process holds it."""
        named = {PUBLIC: self.public, ROOMS: self.rooms, METRICS: self.metrics, ADMIN: self.admin}
        return [(name, each) for name, sockets in named.items() for each in sockets]

    def close(self) -> None:
        for each in (*self.public, *self.rooms, *self.metrics, *self.admin):
            each.close()


def open_sockets(config: Config, link: GenerationLink | None) -> Sockets:
    """Those of a process that is alone. Raises OSError, whose text says what cannot be had."""
    return open_shared_sockets(config, link)[0]


def open_shared_sockets(config: Config, link: GenerationLink | None) -> list[Sockets]:
    """Those of each worker: the metrics are its own, the operator's page the first one's, all else is the same for all.

    What the main process holds is not opened again. Raises OSError.
    """
    held = link.held if link else HeldSockets()
    public = _bound(held, PUBLIC, config.server.port, bare_host(config), "server.host, server.port")
    rooms = _open_rooms(config, held)
    metrics = [_open_metrics(config, held, number) for number in range(config.server.workers)]
    admin = _open_admin(config, held)
    held.check_all_given_are_taken()
    held.close_rest()
    return [Sockets(public, rooms, each, [] if number else admin) for number, each in enumerate(metrics)]


def _open_rooms(config: Config, held: HeldSockets) -> list[socket.socket]:
    """None where the port cannot be had: rooms are a sample, and no reason not to serve."""
    port = config.samples.room_socket_port
    if not port or not sample_settings(config).enabled:
        return []
    try:
        return _bound(held, ROOMS, port, bare_host(config), "samples.room_socket_port")
    except OSError as error:
        log.warning("room chat has no socket", extra={"reason": str(error)})
        return []


def _open_metrics(config: Config, held: HeldSockets, number: int) -> list[socket.socket]:
    host, first = without_brackets(config.metrics.host), config.metrics.port
    return _bound(held, METRICS, first + number, host, "metrics.host, metrics.port") if first else []


def _open_admin(config: Config, held: HeldSockets) -> list[socket.socket]:
    return _bound(held, ADMIN, config.admin.port, "127.0.0.1", "admin.port") if config.admin.port else []


def _bound(held: HeldSockets, name: str, port: int, host: str, keys: str) -> list[socket.socket]:
    try:
        return held.take(name, host, port, BACKLOG) or bind_sockets(port, host, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"{keys}: cannot listen on {host}, port {port}: {error.strerror}") from error


def serve_http(config: Config, services: Services, sockets: Sockets, connections: SharedCounter) -> Server:
    """Listen on the public sockets; `connections` counts those of all processes."""
    wanted = config.server
    server = Server(
        application(services),
        Limits(
            idle_seconds=wanted.idle_timeout_seconds,
            body_seconds=wanted.body_timeout_seconds,
            stall_seconds=config.delivery.stall_seconds,
            min_bytes_per_second=config.uploads.min_bytes_per_second,
            max_discard_bytes=2 * config.images.max_bytes + MEGABYTE,  # who sends twice too much can still read so
            max_connections=wanted.max_connections,
            max_own=connections_at_most(wanted.max_connections, own_files(config)),
            max_unsent_bytes=wanted.max_unsent_bytes // wanted.workers,
        ),
        refusal=refused_unread,
        source=partial(_counted_with, services.proxies),
        tls=tls(config),
        counter=connections,
    )
    server.listen(sockets.public, shared=wanted.workers > 1)
    return server


def _counted_with(proxies: Proxies, peer: str, forwarded_for: str | None) -> str | None:
    """Whom a connection is counted with; None for a proxy's that names no client."""
    client = proxies.client(peer, forwarded_for)
    return None if proxies.trusts(client) else network(client)


def serve_rooms(
    config: Config, services: Services, sockets: Sockets, beside: Server, left: Callable[[], float]
) -> AbstractAsyncContextManager[None]:
    """The event socket of room chat, in one budget of unsent bytes with the other connections; it takes the files that
    they leave.
    """
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    spare = allowed - own_files(config) - FILES_PER_CONNECTION * beside.limits.max_own
    return room_socket.listening(
        services,
        sockets=sockets.rooms,
        tls=tls(config),
        max_connections=max(LEAST_ROOM_SOCKETS, min(room_socket.MAX_CONNECTIONS, spare)),
        unsent=beside.unsent,
        left=left,
    )


def looked_after(
    config: Config, services: Services, sockets: Sockets, connections: SharedCounter
) -> AbstractAsyncContextManager[None]:
    """The operator's page for the length of a block, where this process has its socket. Raises OSError."""
    token = admin_token(config) if sockets.admin else ""
    return operator_page.served(sockets.admin, services, token, lambda: connections.own)


def bare_host(config: Config) -> str:
    """The address to listen on, without the brackets that IPv6 has in a URL."""
    return without_brackets(config.server.host)


def without_brackets(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def tls(config: Config) -> ssl.SSLContext | None:
    """TLS of our own; None without a certificate. Raises OSError for a file that cannot be used."""
    if not config.server.tls.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(config.server.tls.cert, config.server.tls.key)
    return context
