# SPDX-License-Identifier: Apache-2.0
"""A generation of the server: from command line to configuration to parts (`app.build`); it listens until it is told to
end, then drains.

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

from app import program
from app.build import build, database_ready
from app.ending import Ending
from app.generation_link import GenerationLink, generation_link
from app.listen import looked_after, open_sockets, serve_http, serve_rooms
from app.preflight import checked
from app.workers import ProcessContext, locked, refuse, report_failure, say_serving, supervise
from config.load import Config, ConfigError, from_command_line
from config.warnings import warnings
from handlers.metrics import scraped
from handlers.shared import Services
from models.shared_counters import SharedCounters
from models.version import VERSION
from services.worker_bus import WorkerBus
from telemetry import logs
from transport.server import Server

RETURN_SECONDS = 6.0
"""Within which readers of events are let go where another generation serves. All are to be back within ten: browsers
wait two before they come again (`RECONNECT_MS`), and the rest is for a machine that is busy.
"""

FULL_COLLECTION_AFTER = 50
"""Collections of the middle generation, some 400,000 objects that stay: 4,500 WebSockets. A full one is a turn of the
event loop, 40 milliseconds for 1,000 of them. Python would have one after each tenth, wherever a quarter has come anew:
a twelfth of what their arrival costs.
"""

log = logging.getLogger("glimpse.server")


def main() -> int:
    """Run a server until SIGTERM or SIGINT. 0 after a clean end, 1 when it could not start, 2 for wrong settings."""
    os.umask(0o077)  # key ring, database and images are for the server's own user only
    with generation_link() as link:
        return run(link)


def run(link: GenerationLink | None) -> int:
    """As `main`, with the way to the main process if there is one."""
    try:
        config = checked(partial(from_command_line, sys.argv[1:]), ask_server=False)
    except ConfigError as error:
        refuse(link, *error.problems)
        return 2
    logs.configure(config.log.level, config.log.format)
    for warning in warnings(config):
        log.warning("a setting may surprise", extra={"warning": warning})
    if link and link.death:
        log.error("the generation before has died", extra=link.death)
    several = config.server.workers > 1
    serving = partial(supervise, config, serve, link) if several else partial(serve_alone, config, link)
    return report_failure(serving, link)


def serve_alone(config: Config, link: GenerationLink | None) -> int:
    """Serve with this process."""
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(config, link) as lock:
        context = ProcessContext(
            partial(open_sockets, config, link),
            SharedCounters(),
            WorkerBus(),
            lambda sockets: say_serving(config, link, lock, [sockets]),
            replaces=bool(link and link.replaces),
        )

        async def run() -> None:
            ending, loop = Ending(config.server.drain_seconds), asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, ending.stop)
            if link is not None:
                loop.add_reader(link, _heed, link, ending)
            await serve(config, context, ending)

        uvloop.run(run())
    return 0


def _heed(link: GenerationLink, ending: Ending) -> None:
    """Do what the main process says."""
    for word in link.words():
        match word:
            case "leave":
                ending.leave()
            case "alone":
                ending.beside = False
            case "stop":
                asyncio.get_running_loop().remove_reader(link)
                ending.stop()


async def serve(config: Config, context: ProcessContext, ending: Ending) -> None:
    """Everything between a checked configuration and the end of the last request."""
    if not await database_ready(config, ending, migrates=not context.replaces):
        return
    connections = context.counters.connections
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(build(config, ending, context.counters, context.worker_bus))
        ending.beside = context.replaces
        sockets = context.open_sockets()
        listener = serve_http(config, services, sockets, connections)
        others = await stack.enter_async_context(AsyncExitStack())
        await others.enter_async_context(scraped(sockets.metrics, services, lambda: connections.own))
        await others.enter_async_context(looked_after(config, services, sockets, connections))
        await others.enter_async_context(serve_rooms(config, services, sockets, listener, ending.left))
        context.on_serving(sockets)
        where = {"host": config.server.host, "port": sockets.port, "pid": os.getpid()}
        log.info("the server has started", extra={"version": VERSION, **where})
        gc.freeze()  # what is there now stays: the collector need not look through it again and again
        gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTION_AFTER)
        await ending.wanted()
        listener.stop()
        if ending.leaves:
            await leave(listener, others, services, ending)
        services.events.stop()
        log.info("ending: running requests may finish", extra={"running": services.activity.running})
        await drain(listener, services, ending.left())
    log.info("the server has ended")


async def leave(listener: Server, others: AsyncExitStack, services: Services, ending: Ending) -> None:
    """Another generation accepts who comes: finish what was taken, until no connection is left or this has to end."""
    log.info("another generation serves: what was taken is finished", extra={"running": services.activity.running})
    listener.let_go()
    services.events.let_go(RETURN_SECONDS)
    await asyncio.gather(others.aclose(), *(give_up() for give_up in ending.on_leaving))
    deserted, over = asyncio.create_task(listener.deserted()), asyncio.create_task(ending.over())
    await asyncio.wait((deserted, over), return_when=asyncio.FIRST_COMPLETED)
    for waiting in (deserted, over):
        waiting.cancel()


async def drain(listener: Server, services: Services, seconds: float) -> None:
    """Take no more requests; let running ones end, up to `seconds`, and tell those who have asked that it is over."""
    services.activity.stopping = True
    listener.let_go()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await listener.all_begun()
            await services.activity.idle()
    await listener.close_all_connections()
    logs.flush()


if __name__ == "__main__":
    program.run(main)
