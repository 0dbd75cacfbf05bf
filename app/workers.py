# SPDX-License-Identifier: Apache-2.0
"""What several worker processes need around `serve`: what they share, and how each starts and stops.

`app.supervisor` keeps the processes alive and knows nothing of their work; here is what that work is.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import uvloop

from app.build import MigrationPending, prepare
from app.ending import LEAVE_SECONDS, Ending
from app.generation_link import GenerationLink
from app.greeting import print_greeting
from app.listen import METRICS, Sockets, open_shared_sockets
from app.supervisor import LEAVE, Order, Supervisor, WorkerHandle
from config.load import Config
from handlers.docs import page
from handlers.openapi import document_bytes
from models.db.database import Busy, DatabaseError, DatabaseFull
from models.db.migration_steps import SchemaTooNew
from models.keys import KeyRingError
from models.shared_counters import SharedCounters, map_shared_counters
from models.version import VERSION
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
    replaces: bool = False


Serve = Callable[[Config, ProcessContext, Ending], Awaitable[None]]
"""Serves until it is to end, then drains."""


def supervise(config: Config, serve: Serve, link: GenerationLink | None) -> int:
    """Run `serve` in several processes, forked from this one, which must have no thread and no event loop by then."""
    count = config.server.workers
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing runs yet that Ctrl-C must not interrupt
    replaces = bool(link and link.replaces)
    with locked(config, link) as lock:
        asyncio.run(prepare(config, migrates=not replaces))
        document_bytes(), page()  # made before the fork, so that every worker has them from the start
        sockets = open_shared_sockets(config, link)
        counters, worker_bus = map_shared_counters(count), connect_workers(count)

        def work(worker: WorkerHandle) -> int:
            number = worker.number
            context = ProcessContext(
                lambda: sockets[number],
                counters[number],
                worker_bus[number],
                lambda _: worker.say_serving(),
                replaces=replaces,
            )
            return report_failure(partial(_serve_as_worker, config, serve, context, worker), link)

        def stop_listening() -> None:
            """Close the supervisor's copies too, or a client would wait in a queue that no worker serves any more."""
            for each in sockets:
                each.close()

        return Supervisor(
            count,
            work,
            end_seconds=config.server.drain_seconds + KILL_AFTER_SECONDS,
            leave_seconds=LEAVE_SECONDS,
            orders=MainProcess(link) if link else None,
            on_serving=partial(say_serving, config, link, lock, sockets),
            on_death=lambda number: counters[number].forget(),
            on_end=stop_listening,
        ).run()


@dataclass(frozen=True, slots=True)
class MainProcess:
    """How the main process wants the workers to end (`app.supervisor.Orders`)."""

    link: GenerationLink

    def fileno(self) -> int:
        return self.link.fileno()

    def next_order(self) -> Order | None:
        words = set(self.link.words())
        return Order.STOP if "stop" in words else Order.LEAVE if "leave" in words else None


def _serve_as_worker(config: Config, serve: Serve, context: ProcessContext, worker: WorkerHandle) -> int:
    """Serve beside other workers, until SIGTERM or the supervisor's death."""

    async def run() -> None:
        ending, loop = Ending(config.server.drain_seconds), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, ending.stop)
        loop.add_signal_handler(LEAVE, ending.leave)

        def supervisor_died() -> None:
            loop.remove_reader(worker.lost)
            ending.stop()

        loop.add_reader(worker.lost, supervisor_died)
        living = asyncio.create_task(_say_alive(worker))
        await serve(config, context, ending)
        living.cancel()

    logs.configure(config.log.level, config.log.format, worker=worker.number)
    uvloop.run(run())
    return 0


async def _say_alive(worker: WorkerHandle) -> None:
    """Tell the supervisor again and again, until cancelled, that the event loop turns."""
    while True:
        worker.say_alive()
        await asyncio.sleep(ALIVE_SECONDS)


@contextmanager
def locked(config: Config, link: GenerationLink | None) -> Iterator[int]:
    """Hold the lock of the data directory: the main process's, where there is one. Raises NotYours, OSError."""
    held, pid = (link.lock, os.getppid()) if link else (None, None)
    with owned(config.data_dir, held=held, pid=pid) as lock:
        yield lock


def say_serving(config: Config, link: GenerationLink | None, lock: int, sockets: Sequence[Sockets]) -> None:
    """Tell the terminal and the main process that all serve."""
    if link is None or link.number == 1:
        print_greeting(config, sockets[0])
    if link is not None:
        named = [*sockets[0].named, *((METRICS, each) for others in sockets[1:] for each in others.metrics)]
        link.say_serving(
            lock,
            named,
            data_dir=str(config.data_dir.resolve()),
            version=VERSION,
            workers=config.server.workers,
            drain_seconds=config.server.drain_seconds,
            leave_seconds=LEAVE_SECONDS,
        )


def refuse(link: GenerationLink | None, *problems: str) -> None:
    """Say why this server cannot serve: on the terminal, and where another one serves to the main process alone."""
    if link is not None:
        link.say_failed("; ".join(problems))
    if link is None or not link.replaces:
        separator = "\n  " if len(problems) > 1 else " "
        print("Glimpse cannot start:", *problems, sep=separator, file=sys.stderr)


def report_failure(run: Callable[[], int], link: GenerationLink | None) -> int:
    """The exit code of `run`; or, after saying why it could not serve, 1 for what may pass by itself and else 2."""
    try:
        return run()
    except (SchemaTooNew, MigrationPending, KeyRingError, NotYours, DatabaseError, OSError) as error:
        reason, code = _explained(error)
        refuse(link, reason)
        return code


def _explained(error: Exception) -> tuple[str, int]:
    """The key of the setting with the reason, and the exit code."""
    passes = isinstance(error, Busy | DatabaseFull | NotYours)
    code = 1 if passes or isinstance(error, OSError) else 2
    match error:
        case DatabaseError():
            return f"database.url: {error.cause}", code
        case SchemaTooNew() | MigrationPending():
            return f"database.url: {error}", code
        case KeyRingError() | NotYours():
            return f"data_dir: {error}", code
        case OSError(filename=str() as file, strerror=str() as reason):
            return f"data_dir: {file}: {reason}", code
    return str(error), code
