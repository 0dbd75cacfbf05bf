# SPDX-License-Identifier: Apache-2.0
"""Measures the life of an image in the real server, beside nginx and Tornado on the same disk in the same run.

`python -m bench.speed` writes the figures of docs/speed.md and, with matplotlib, its plots beside it. Loopback only;
everything it starts ends with it.
"""

import multiprocessing
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import uvloop

from bench import engines, listeners, load, memory, others, relay, report, round_trips
from bench.load import Load, Request
from bench.messages import text
from bench.others import Other
from bench.report import JUDGED_AT, Numbers, Run
from bench.requests import acknowledge, fetch, get, inbox, put, send
from bench.targets import (
    ROOT,
    Target,
    busy_cores,
    glimpse_settings,
    nginx,
    nginx_path,
    python_module,
    syncing_nginx,
)
from storage.keys import path_of
from tests.support.harness import Server, running, wait_until
from tests.support.pictures import jpeg

IMAGE_BYTES = 350_000
CONCURRENCIES = (1, 16, 64)
LONGEST_WAIT_SECONDS = 120
EVENT_ROUNDS = 10
TOUCHED_SHARE = 4
MOST_TOUCHED_BYTES = 4 << 30
MOST_FILES = 100_000
MOST_OF_OTHERS = 10_000
PUSHES = 5000
WORKERS = (1, 2, 4)
SHORT_SECONDS = 0.4


class Bench:
    """The servers of one run, the process that loads them, and what was measured so far."""

    def __init__(self, server: Server, others: dict[str, Target], pool: ProcessPoolExecutor, seconds: float) -> None:
        assert server.process
        self.server = server
        self.glimpse = Target(server.process.pid, server.port)
        self.others = others
        self.picture = jpeg(IMAGE_BYTES)
        self.run = Run()
        self._pool = pool
        self._seconds = seconds
        self._put = 0

    def load(self, target: Target, *script: Request, **how: Any) -> Load:
        """One load on one target, not measured."""
        return self._pool.submit(load.run, target.port, script, **{"seconds": self._seconds, **how}).result()

    def measure(
        self,
        name: str,
        target: Target,
        *script: Request,
        finish: Callable[[Load], float] | None = None,
        **how: Any,
    ) -> Load:
        """One load on one target, noted under `name`; `finish` waits for what it has left to do, and says how long."""
        cpu = target.cpu_seconds
        done = self.load(target, *script, **how)
        if finish is not None:
            done.seconds += finish(done)
        used = target.cpu_seconds - cpu
        self.run.numbers[name, how["connections"]] = Numbers.of(done, used)
        return done

    def warm_up(self) -> None:
        """The first requests of a process pay for what all later ones share."""
        eve = self.server.register()
        sent = self.load(self.glimpse, send(eve, eve, self.picture), connections=4, seconds=1)
        self.load(self.glimpse, fetch(eve), connections=4, names=sent.names)
        self._wait_for_removal(sent.names)
        self.glimpse.forget_peak()

    def measure_glimpse(self, connections: int) -> None:
        """Send, look at without consuming, fetch and consume, whole lives, inbox."""
        ann, ben, cat = (self.server.register() for _ in range(3))
        sent = self.measure("send", self.glimpse, send(ann, ben, self.picture), connections=connections)
        how: dict[str, Any] = {"connections": connections, "names": sent.names}
        self.measure("look", self.glimpse, fetch(ben, "?ack=manual"), again=True, **how)
        self.measure("fetch", self.glimpse, fetch(ben), seconds=float("inf"), **how)
        self._wait_for_removal(sent.names)
        self._measure_lives(connections)
        waiting = ann.send(cat, self.picture).headers["Message-Key"]
        self.measure("inbox", self.glimpse, inbox(cat), connections=connections)
        self.measure("text", self.glimpse, text(ann, ben), connections=connections)
        cat.request("DELETE", f"/v1/images/{waiting}")
        self._wait_for_removal([waiting])

    def _measure_lives(self, connections: int) -> None:
        cid = f"{connections:032d}"
        ann, dan = self.server.register(), self.server.register(cid=cid)

        def finish(done: Load) -> float:
            began = perf_counter()
            self._wait_for_removal(done.names)
            wait_until(lambda: not self._unsettled(), LONGEST_WAIT_SECONDS, "the last push")
            return perf_counter() - began

        script = (
            send(ann, dan, self.picture),
            fetch(dan, "?ack=manual"),
            acknowledge(dan),
        )
        self.measure("life", self.glimpse, *script, finish=finish, connections=connections)

    def _unsettled(self) -> int:
        """Pushes that are still to be sent, or to be dropped because their image was fetched before."""
        [(count,)] = self.server.database.rows("SELECT COUNT(*) FROM outbox WHERE state = 'due'")
        return int(count)

    def measure_nginx(self, folder: Path, connections: int) -> None:
        """PUT of new files, with and without a sync, then GET of the same."""
        for name in ("synced", "put"):
            names = [f"{connections}-{number}.jpg" for number in range(MOST_FILES)]
            target = self.others[name]
            finish = partial(self._wait_for_syncs, folder / name / "names.done") if name == "synced" else None
            how: dict[str, Any] = {"connections": connections, "names": names, "finish": finish}
            sent = self.measure(name, target, put(self.picture), **how)
            if name == "put":
                self.measure("get", target, get(), connections=connections, names=sent.names, again=True)
            for each in sent.names:
                (folder / name / "files" / each).unlink()
            os.sync()

    def measure_others(self, others: Sequence[Other]) -> None:
        """What other people's servers do with the same file."""
        for other in others:
            how: dict[str, Any] = {"connections": JUDGED_AT, "names": other.names(MOST_OF_OTHERS)}
            self.measure(f"{other.name} in", other.target, other.upload, **how)
            self.measure(f"{other.name} out", other.target, other.download, connections=JUDGED_AT)

    def _wait_for_syncs(self, progress: Path, done: Load) -> float:
        began = perf_counter()
        self._put += len(done.names)
        wait_until(lambda: int(progress.read_text()) >= self._put, LONGEST_WAIT_SECONDS, "the last sync")
        return perf_counter() - began

    def measure_events(self) -> None:
        """An image to a group of 255 people, each with four WebSockets."""
        sender, *members = [self.server.register() for _ in range(listeners.GROUP)]
        group_id = sender.begin_group(*members)
        cpu = self.glimpse.cpu_seconds
        took = uvloop.run(listeners.fan_out(self.server, sender, members, group_id, EVENT_ROUNDS))
        opened = self.glimpse.cpu_seconds
        uvloop.run(listeners.fan_out(self.server, sender, members, group_id, 0))
        rounds = 2 * opened - cpu - self.glimpse.cpu_seconds
        self.run.event_ms = 1000 * rounds / EVENT_ROUNDS
        self.run.event_readers = len(took[0])

    def _wait_for_removal(self, keys: list[str]) -> None:
        """Nothing of one measurement may be left to do in the next."""
        images = self.server.data_dir / "images"

        def gone() -> bool:
            while keys and not (images / path_of(keys[-1])).exists():
                keys.pop()
            return not keys

        wait_until(gone, LONGEST_WAIT_SECONDS, "the removal")
        os.sync()


def touch_memory() -> None:
    """Have the machine's host give the memory that the page cache will grow into: its first touch costs more than a
    store.
    """
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert found
    bytearray(min(MOST_TOUCHED_BYTES, int(found[1]) * 1024 // TOUCHED_SHARE))


def one_run(folder: Path, seconds: float) -> Run:
    """Everything once, in servers of this run's own."""
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        beside = {
            "emulator": stack.enter_context(python_module("emulators", "getui")),
            "hello": stack.enter_context(python_module("bench.hello")),
            "own": stack.enter_context(python_module("bench.hello", "own")),
        }
        if nginx_path():
            beside["put"] = stack.enter_context(nginx(folder / "put"))
            beside["synced"] = stack.enter_context(syncing_nginx(folder / "synced"))
        (folder / "glimpse").mkdir()
        settings = glimpse_settings(beside["emulator"]) | {"server": {"max_connections": 4096}}
        server = stack.enter_context(running(folder / "glimpse", settings | {"events": {"max_readers": 4096}}))
        bench = Bench(server, beside, pool, seconds)
        bench.warm_up()
        for connections in CONCURRENCIES:
            bench.measure_glimpse(connections)
            if "put" in beside:
                bench.measure_nginx(folder, connections)
            for name in ("hello", "own"):
                bench.measure(name, beside[name], get(), connections=connections)
        bench.run.peak_mb = bench.glimpse.peak_mb
        bench.measure_events()
        with others.all_that_are_there(folder, bench.picture) as there:
            bench.measure_others(there)
    return bench.run


def plotted(runs: list[Run], page: Path) -> str:
    """Draw the plots into a folder beside the page; its name, empty without matplotlib."""
    if find_spec("matplotlib") is None:
        click.echo("matplotlib is not installed: writing the page without plots")
        return ""
    from bench import plots  # noqa: PLC0415 - it cannot be imported without matplotlib

    plots.draw(runs, page.with_suffix(""))
    return page.stem


def has_mariadb() -> bool:
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


def missing() -> list[str]:
    """What is measured where it is installed, and is not."""
    return [*others.missing(), *([] if has_mariadb() else ["MariaDB"])]


def beside_speed(runs: int, seconds: float, pushes: int, folder: Path | None) -> report.Beside:
    """What is measured once for all runs: both engines, every vendor's emulator, round trips."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        trips = dict(uvloop.run(round_trips.run(Path(name))))
    return report.Beside(
        engines=engines.measured(runs, seconds, WORKERS if has_mariadb() else (), folder),
        pushes={route: relay.measure(route, pushes, None) for route in relay.ROUTES},
        pushes_each=pushes,
        trips=trips,
        missing=missing(),
    )


@click.command()
@click.option("--runs", default=2, show_default=True)
@click.option("--seconds", default=1.5, show_default=True, help="how long each measurement takes")
@click.option("--short", is_flag=True, help="one run, too short to say much: whether all of it works")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="on the disk to measure; default: the system's for temporary files",
)
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "docs" / "speed.md")
def main(*, runs: int, seconds: float, short: bool, folder: Path | None, output: Path) -> None:
    """Measure an image's life so many times, and write the medians into the page."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if short:
        runs, seconds = 1, SHORT_SECONDS
    if not nginx_path():
        click.echo("nginx is not installed: measuring without the comparison")
    for name in missing():
        click.echo(f"{name} is not installed: measuring without it")
    results = []
    for number in range(1, runs + 1):
        touch_memory()
        busy = busy_cores()
        with tempfile.TemporaryDirectory(dir=folder) as name:
            run = one_run(Path(name), seconds)
        run.busy_cores = busy
        with tempfile.TemporaryDirectory(dir=folder) as name:
            run.growth_mb = memory.growth_mb(Path(name))
        results.append(run)
        click.echo(f"run {number} of {runs}: {report.one_line(run)}")
    beside = beside_speed(runs, seconds, PUSHES // 5 if short else PUSHES, folder)
    page = output.read_text()
    output.write_text(report.rewritten(page, results, seconds, plotted(results, output), beside))


if __name__ == "__main__":
    main()
