# SPDX-License-Identifier: Apache-2.0
"""What several worker processes need around `serve`: what they share, and how each starts and stops.

`app.supervisor` keeps the processes alive and knows nothing of their work; here is what that work is.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import uvloop

from app.build import prepare
from app.greeting import print_greeting
from app.listen import Sockets, open_shared_sockets
from app.supervisor import Supervisor, WorkerHandle
from config.load import Config
from handlers.docs import page
from handlers.openapi import document_bytes
from models.db.database import Busy, DatabaseError, DatabaseFull
from models.db.migration_steps import SchemaTooNew
from models.keys import KeyRingError
from models.shared_counters import SharedCounters, map_shared_counters
from services.worker_bus import WorkerBus, connect_workers
from storage.ownership import NotYours, owned
from telemetry import logs

ALIVE_SECONDS = 1.0
"""Between two words of a worker to its supervisor, which waits for thirty of them."""
KILL_AFTER_SECONDS = 3
"""A worker may take this much longer than `server.drain_seconds` before it is killed."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What a serving process is given from outside: its sockets, what it shares with the other workers, and what to
    call once it serves.
    """

    open_sockets: Callable[[], Sockets]
    counters: SharedCounters
    worker_bus: WorkerBus
    on_serving: Callable[[Sockets], None]


Serve = Callable[[Config, ProcessContext, asyncio.Event], Awaitable[None]]
"""Serves until the event is set, then drains."""


def supervise(config: Config, serve: Serve) -> int:
    """Run `serve` in several processes, forked from this one, which must have no thread and no event loop by then."""
    count = config.server.workers
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing runs yet that Ctrl-C must not interrupt
    with owned(config.data_dir):
        asyncio.run(prepare(config))
        document_bytes(), page()  # made before the fork, so that every worker has them from the start
        sockets, counters, worker_bus = open_shared_sockets(config), map_shared_counters(count), connect_workers(count)

        def work(worker: WorkerHandle) -> int:
            number = worker.number
            context = ProcessContext(
                lambda: sockets[number], counters[number], worker_bus[number], lambda _: worker.say_serving()
            )
            return report_failure(partial(_serve_as_worker, config, serve, context, worker))

        def stop_listening() -> None:
            """Close the supervisor's copies too, or a client would wait in a queue that no worker serves any more."""
            for each in sockets:
                each.close()

        return Supervisor(
            count,
            work,
            end_seconds=config.server.drain_seconds + KILL_AFTER_SECONDS,
            on_serving=partial(print_greeting, config, sockets[0]),
            on_death=lambda number: counters[number].forget(),
            on_end=stop_listening,
        ).run()


def _serve_as_worker(config: Config, serve: Serve, context: ProcessContext, worker: WorkerHandle) -> int:
    """Serve beside other workers, until SIGTERM or the supervisor's death."""

    async def run() -> None:
        stopping, loop = stop_event(signal.SIGTERM), asyncio.get_running_loop()

        def supervisor_died() -> None:
            loop.remove_reader(worker.lost)
            stopping.set()

        loop.add_reader(worker.lost, supervisor_died)
        living = asyncio.create_task(_say_alive(worker))
        await serve(config, context, stopping)
        living.cancel()

    logs.configure(config.log.level, config.log.format, worker=worker.number)
    uvloop.run(run())
    return 0


async def _say_alive(worker: WorkerHandle) -> None:
    """Tell the supervisor again and again, until cancelled, that the event loop turns."""
    while True:
        worker.say_alive()
        await asyncio.sleep(ALIVE_SECONDS)


def stop_event(*signals: signal.Signals) -> asyncio.Event:
    """An event that any of these signals sets, on the running event loop."""
    stopping = asyncio.Event()
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def report_failure(run: Callable[[], int]) -> int:
    """The exit code of `run`; or, after printing why it could not serve, 1 for what may pass by itself and else 2."""
    try:
        return run()
    except (SchemaTooNew, KeyRingError, NotYours, DatabaseError, OSError) as error:
        reason, code = _explained(error)
        print(f"Glimpse cannot start: {reason}", file=sys.stderr)
        return code


def _explained(error: Exception) -> tuple[str, int]:
    """The key of the setting with the reason, and the exit code."""
    passes = isinstance(error, Busy | DatabaseFull | NotYours)
    code = 1 if passes or isinstance(error, OSError) else 2
    match error:
        case DatabaseError():
            return f"database.url: {error.cause}", code
        case SchemaTooNew():
            return f"database.url: {error}", code
        case KeyRingError() | NotYours():
            return f"data_dir: {error}", code
        case OSError(filename=str() as file, strerror=str() as reason):
            return f"data_dir: {file}: {reason}", code
    return str(error), code
