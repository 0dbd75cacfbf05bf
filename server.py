# SPDX-License-Identifier: Apache-2.0
"""The program: from command line to configuration to parts (`app.build`); listen until a signal, then drain.

With `server.workers` above 1 this process serves nobody itself: it starts the workers and keeps them running
(`app.workers`).
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial

import uvloop

from app.build import DrainDeadline, build, database_ready
from app.greeting import print_greeting
from app.listen import looked_after, open_sockets, serve_http, serve_rooms
from app.preflight import checked
from app.workers import ProcessContext, report_failure, stop_event, supervise
from config.load import Config, ConfigError, from_command_line
from config.warnings import warnings
from handlers.metrics import scraped
from handlers.shared import Activity
from models.shared_counters import SharedCounters
from models.version import VERSION
from services.worker_bus import WorkerBus
from storage.ownership import owned
from telemetry import logs
from transport.server import Server

log = logging.getLogger("glimpse.server")


def main() -> int:
    """Run a server until SIGTERM or SIGINT. 0 after a clean end, 1 when it could not start, 2 for wrong settings."""
    os.umask(0o077)  # key ring, database and images are for the server's own user only
    try:
        config = checked(partial(from_command_line, sys.argv[1:]), ask_server=False)
    except ConfigError as error:
        separator = "\n  " if len(error.problems) > 1 else " "
        print("Glimpse cannot start:", *error.problems, sep=separator, file=sys.stderr)
        return 2
    logs.configure(config.log.level, config.log.format)
    for warning in warnings(config):
        log.warning("a setting may surprise", extra={"warning": warning})
    several = config.server.workers > 1
    return report_failure(partial(supervise, config, serve) if several else partial(serve_alone, config))


def serve_alone(config: Config) -> int:
    """Serve with this process."""
    context = ProcessContext(
        partial(open_sockets, config), SharedCounters(), WorkerBus(), partial(print_greeting, config)
    )

    async def run() -> None:
        await serve(config, context, stop_event(signal.SIGTERM, signal.SIGINT))

    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with owned(config.data_dir):
        uvloop.run(run())
    return 0


async def serve(config: Config, context: ProcessContext, stopping: asyncio.Event) -> None:
    """Everything between a checked configuration and the end of the last request."""
    if not await database_ready(config, stopping):
        return
    ending = DrainDeadline(config.server.drain_seconds)
    connections = context.counters.connections
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(build(config, ending, context.counters, context.worker_bus))
        sockets = context.open_sockets()
        listener = serve_http(config, services, sockets, connections)
        await stack.enter_async_context(scraped(sockets.metrics, services, lambda: connections.own))
        await stack.enter_async_context(looked_after(config, services, sockets, connections))
        await stack.enter_async_context(serve_rooms(config, services, sockets, listener, ending.left))
        context.on_serving(sockets)
        where = {"host": config.server.host, "port": sockets.port, "pid": os.getpid()}
        log.info("the server has started", extra={"version": VERSION, **where})
        gc.freeze()  # what is there now stays: the collector need not look through it again and again
        await stopping.wait()
        ending.begin()
        services.events.stop()
        log.info("ending: running requests may finish", extra={"running": services.activity.running})
        await drain(listener, services.activity, ending.left())
    log.info("the server has ended")


async def drain(listener: Server, activity: Activity, seconds: float) -> None:
    """Take no more connections or requests; let running ones end, up to `seconds`."""
    listener.stop()
    activity.stopping = True
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await activity.idle()
    await listener.close_all_connections()
    logs.flush()


if __name__ == "__main__":
    sys.exit(main())
