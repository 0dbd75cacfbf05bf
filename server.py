# SPDX-License-Identifier: Apache-2.0
"""Run a server: arguments to configuration to parts (`composition`), then listen until a signal, then drain."""

import asyncio
import logging
import os
import resource
import signal
import ssl
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import uvloop
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from composition import Ending, build
from composition_push import outbox_log
from config import Config, ConfigError, from_command_line
from guard import banner, guard
from handlers.metrics import scraped
from handlers.routes import application
from handlers.samples import room_socket
from handlers.shared import Activity, Services
from models.db import migrate
from models.db.database import DatabaseError
from models.keys import KeyRingError
from storage.ownership import NotYours, owned
from telemetry import logs

log = logging.getLogger("glimpse.server")

CHUNK_BYTES = 128 * 1024
MAX_HEADER_BYTES = 16 * 1024
MEGABYTE = 1024 * 1024
ENOUGH_FILES = 65_536
OWN_FILES = 64
LEAST_ROOM_SOCKETS = 16
FILES_PER_CONNECTION = 3  # a download holds its socket, a duplicate of it, and the image


class Listener(HTTPServer):
    """An HTTPServer with a bound on its connections: one too many is closed at once, and accepting goes on."""

    max_connections = 1024

    def count_connections(self) -> int:
        return len(self._connections)

    def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:
        if self.count_connections() >= self.max_connections:
            stream.close()
        else:
            super().handle_stream(stream, address)


def main() -> int:
    """Run a server until SIGTERM or SIGINT. 0 after a clean end, 1 when it could not start, 2 for wrong settings."""
    os.umask(0o077)
    try:
        config = from_command_line(sys.argv[1:])
        refusals = guard(config)
        if refusals:
            raise ConfigError(refusals)
    except ConfigError as error:
        print("Glimpse cannot start:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    logs.configure(config.log.level, config.log.format)
    try:
        uvloop.run(serve(config))
    except (migrate.SchemaTooNew, KeyRingError, NotYours, DatabaseError, OSError) as error:
        reason = error.cause if isinstance(error, DatabaseError) else error
        print(f"Glimpse cannot start: {reason}", file=sys.stderr)
        return 1
    return 0


async def serve(config: Config) -> None:
    """Everything between a checked configuration and the end of the last request."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ending = Ending(config.server.drain_seconds)
    async with AsyncExitStack() as stack:
        stack.enter_context(owned(config.data_dir))
        services = await stack.enter_async_context(build(config, ending))
        listener, port = listen(config, services)
        metrics = config.metrics
        await stack.enter_async_context(scraped(metrics.host, metrics.port, services, listener.count_connections))
        await stack.enter_async_context(follow_rooms(config, services, listener, ending))
        print(greeting(config, port), flush=True)
        log.info("started", extra={"host": config.server.host, "port": port})
        await stopping.wait()
        ending.begin()
        services.events.stop()
        log.info("draining", extra={"running": services.activity.running})
        await drain(listener, services.activity, ending.left())
    log.info("stopped")


def listen(config: Config, services: Services) -> tuple[Listener, int]:
    """A listener on the configured address, and the port it has. Raises OSError."""
    server, host = config.server, bare_host(config)
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
    listener.max_connections = connections_at_most(server.max_connections)
    try:
        sockets = bind_sockets(server.port, host)
    except OSError as error:
        raise OSError(f"cannot listen on {host}, port {server.port}: {error.strerror}") from error
    listener.add_sockets(sockets)
    return listener, sockets[0].getsockname()[1]


def follow_rooms(
    config: Config, services: Services, listener: Listener, ending: Ending
) -> AbstractAsyncContextManager[None]:
    """The event socket of room chat, where the samples are on; it takes the files that `listener` leaves."""
    spare = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OWN_FILES - FILES_PER_CONNECTION * listener.max_connections
    return room_socket.listening(
        services,
        host=bare_host(config),
        port=config.samples.room_socket_port if services.settings.samples.enabled else 0,
        tls=tls(config),
        max_connections=max(LEAST_ROOM_SOCKETS, min(room_socket.MAX_CONNECTIONS, spare)),
        left=ending.left,
    )


def bare_host(config: Config) -> str:
    """The address to listen on, without the brackets that IPv6 has in a URL."""
    return config.server.host.removeprefix("[").removesuffix("]")


def tls(config: Config) -> ssl.SSLContext | None:
    if not config.server.tls.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.server.tls.cert, config.server.tls.key)
    return context


def greeting(config: Config, port: int) -> str:
    """What a newcomer reads on the terminal."""
    scheme = "https" if config.server.tls.cert else "http"
    host = bare_host(config)
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    lines = [
        banner(config),
        f"Glimpse listens on {url}",
        f"  data: {config.data_dir.resolve()}",
        f"  pushes and SMS codes: {outbox_log(config).resolve()}" if config.push.default_provider == "log" else "",
        "  try:",
        f"    curl {url}/readyz",
        f"    curl {url}/v1/register -d region_num=86 -d phone_num=13812345678 -d nickname=Zoe -d cid=zoe",
        f"    tail -F {outbox_log(config)}" if config.push.default_provider == "log" else "",
    ]
    return "\n".join(line for line in lines if line)


async def drain(listener: Listener, activity: Activity, seconds: float) -> None:
    """Take no more connections or requests; let running ones end, up to `seconds`."""
    listener.stop()
    activity.stopping = True
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await activity.idle()
    await listener.close_all_connections()


def connections_at_most(wanted: int) -> int:
    """As many connections as were asked for, or as the open files allow: without one to spare, accepting spins."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else max(soft, ENOUGH_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    possible = (limit - OWN_FILES) // FILES_PER_CONNECTION
    if possible < wanted:
        log.warning("few open files are allowed", extra={"limit": limit, "connections": possible})
    return max(1, min(wanted, possible))


if __name__ == "__main__":
    sys.exit(main())
