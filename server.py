# SPDX-License-Identifier: Apache-2.0
"""Run a server: arguments to configuration to parts (`app.build`), then listen until a signal, then drain.

With `server.workers` above 1 this process serves nobody: it makes what all share, and keeps the workers running.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial

import uvloop

from app.build import DrainDeadline, build, prepare
from app.listen import Listener, Sockets, bare_host, open_shared_sockets, open_sockets, serve_http, serve_rooms
from app.providers import outbox_log
from app.supervisor import Supervisor, WorkerHandle
from config.exposure import banner, guard
from config.load import Config, ConfigError, from_command_line
from handlers.docs import page
from handlers.metrics import scraped
from handlers.openapi import document_bytes
from handlers.shared import Activity
from models.db.database import DatabaseError
from models.db.engine import bring_up_to_date
from models.db.sqlite import migrate
from models.keys import KeyRingError
from models.shared_counters import SharedCounters, map_shared_counters
from services.worker_bus import WorkerBus, connect_workers
from storage.ownership import NotYours, owned
from telemetry import logs

log = logging.getLogger("glimpse.server")

KILL_AFTER_SECONDS = 3
"""A worker has so much longer than `server.drain_seconds`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process serves: what it listens on, what it shares with those beside it, whom it tells that it serves."""

    sockets: Callable[[], Sockets]
    counters: SharedCounters
    worker_bus: WorkerBus
    on_serving: Callable[[Sockets], None]


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
    return explaining(partial(supervise if config.server.workers > 1 else serve_alone, config))


def explaining(run: Callable[[], int]) -> int:
    """What `run` returns; or 1, and what keeps it from serving in words."""
    try:
        return run()
    except (migrate.SchemaTooNew, KeyRingError, NotYours, DatabaseError, OSError) as error:
        reason = error.cause if isinstance(error, DatabaseError) else error
        print(f"Glimpse cannot start: {reason}", file=sys.stderr)
        return 1


def serve_alone(config: Config) -> int:
    """Serve with this process."""
    place = Place(partial(open_sockets, config), SharedCounters(), WorkerBus(), partial(greet, config))

    async def run() -> None:
        await serve(config, place, stopped_by(signal.SIGTERM, signal.SIGINT))

    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with owned(config.data_dir):
        uvloop.run(run())
    return 0


def supervise(config: Config) -> int:
    """Serve with several processes: forks of this one, which has no thread and no event loop by then."""
    count = config.server.workers
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing yet that it must not cut off
    with owned(config.data_dir):
        asyncio.run(prepare(config))
        document_bytes(), page()  # which every worker then has, also one that takes a dead one's place
        sockets, counters, worker_bus = open_shared_sockets(config), map_shared_counters(count), connect_workers(count)

        def work(worker: WorkerHandle) -> int:
            number = worker.number
            here = Place(lambda: sockets[number], counters[number], worker_bus[number], lambda _: worker.say_serving())
            return explaining(partial(serve_as_worker, config, here, worker))

        def stop_listening() -> None:
            """Or a client would wait in a queue that no worker serves any more."""
            for each in sockets:
                each.close()

        return Supervisor(
            count,
            work,
            end_seconds=config.server.drain_seconds + KILL_AFTER_SECONDS,
            on_serving=partial(greet, config, sockets[0]),
            on_death=lambda number: counters[number].forget(),
            on_end=stop_listening,
        ).run()


def serve_as_worker(config: Config, place: Place, worker: WorkerHandle) -> int:
    """Serve beside others, until SIGTERM or the supervisor's death."""

    async def run() -> None:
        stopping, loop = stopped_by(signal.SIGTERM), asyncio.get_running_loop()

        def supervisor_died() -> None:
            loop.remove_reader(worker.lost)
            stopping.set()

        loop.add_reader(worker.lost, supervisor_died)
        await serve(config, place, stopping)

    logs.configure(config.log.level, config.log.format, worker=worker.number)
    uvloop.run(run())
    return 0


def stopped_by(*signals: signal.Signals) -> asyncio.Event:
    """What one of these signals sets, on the event loop that runs."""
    stopping = asyncio.Event()
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def serve(config: Config, place: Place, stopping: asyncio.Event) -> None:
    """Everything between a checked configuration and the end of the last request."""
    if not await has_database(config, stopping):
        return
    ending = DrainDeadline(config.server.drain_seconds)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(build(config, ending, place.counters, place.worker_bus))
        sockets = place.sockets()
        listener = serve_http(config, services, sockets, place.counters.connections)
        await stack.enter_async_context(scraped(sockets.metrics, services, lambda: place.counters.connections.own))
        await stack.enter_async_context(serve_rooms(config, services, sockets, listener.max_own, ending.left))
        place.on_serving(sockets)
        log.info("started", extra={"host": config.server.host, "port": sockets.port, "pid": os.getpid()})
        await stopping.wait()
        ending.begin()
        services.events.stop()
        log.info("draining", extra={"running": services.activity.running})
        await drain(listener, services.activity, ending.left())
    log.info("stopped")


async def has_database(config: Config, stopping: asyncio.Event) -> bool:
    """Whether the database is there and up to date; False when the process is to end and it is not. Raises as it does.

    What a signal cuts off is done at the next start.
    """
    coming = asyncio.create_task(bring_up_to_date(config.database_location))
    leaving = asyncio.create_task(stopping.wait())
    await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if coming.done():
        coming.result()
        return True
    coming.cancel()
    return False


def greet(config: Config, sockets: Sockets) -> None:
    print(greeting(config, sockets.port), flush=True)


def greeting(config: Config, port: int) -> str:
    """What a newcomer reads on the terminal."""
    scheme = "https" if config.server.tls.cert else "http"
    host = bare_host(config)
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    providers = {"pushes": config.push.default_provider, "SMS codes": config.sms.provider}
    logged = " and ".join(what for what, provider in providers.items() if provider == "log")
    lines = [
        banner(config),
        f"Glimpse listens on {url}",
        f"  data: {config.data_dir.resolve()}",
        f"  {logged}: {outbox_log(config).resolve()}" if logged else "",
        "  try:",
        f"    curl {url}/readyz",
        f"    curl {url}/v1/register -d region_num=86 -d phone_num=13812345678 -d nickname=Zoe -d cid=zoe",
        f"    tail -F {outbox_log(config)}" if logged else "",
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


if __name__ == "__main__":
    sys.exit(main())
