# SPDX-License-Identifier: Apache-2.0
"""An image on SQLite, and on MariaDB with one worker and with two, on the same disk in the same run.

`python -m bench.engines` prints rates, processor time and statements per operation, and ratios. Loopback only;
everything it starts ends with it.
"""

import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench import load
from bench.databases import DATABASE, Used, mariadb, used
from bench.load import Load, Request
from bench.requests import fetch, inbox, send
from bench.targets import busy_cores, glimpse_settings, python_module
from tests.support.harness import Server, running
from tests.support.mariadb import MariaDB
from tests.support.pictures import jpeg

IMAGE_BYTES = 350_000
CONNECTIONS = 16
OPERATIONS = ("send", "look", "fetch", "inbox")


@dataclass(frozen=True)
class Measured:
    """One operation at one place: how many a second, and what each used."""

    per_second: float
    server_ms: float
    database_ms: float
    statements: float

    @classmethod
    def of(cls, loads: Sequence[Load], spent: Used) -> "Measured":
        count = sum(len(load.passes_ms) for load in loads)
        return cls(
            count / max(load.seconds for load in loads),
            1000 * spent.server / count,
            1000 * spent.database / count,
            spent.statements / count,
        )


@dataclass
class Place:
    """A server with its database, under the name that the table has."""

    name: str
    server: Server
    maria: MariaDB | None

    def measure(self, pool: ProcessPoolExecutor, *loads: tuple[Request, Sequence[str]], **how: Any) -> "Result":
        assert self.server.process
        before = used(self.server.process.pid, self.maria)
        done = pool.submit(load.run_each, self.server.port, loads, **how).result()
        return [each.names for each in done], Measured.of(done, used(self.server.process.pid, self.maria).since(before))

    def round(self, pool: ProcessPoolExecutor, seconds: float) -> dict[str, Measured]:
        """Each operation once, by so many pairs of people. The receivers have no device: nothing is pushed."""
        pairs = [(self.server.register(), self.server.register()) for _ in range(CONNECTIONS)]
        picture, found = jpeg(IMAGE_BYTES), {}
        sent, found["send"] = self.measure(
            pool, *((send(ann, ben, picture), ()) for ann, ben in pairs), seconds=seconds
        )
        looks = [(fetch(ben, "?ack=manual"), keys) for (_, ben), keys in zip(pairs, sent, strict=True)]
        _, found["look"] = self.measure(pool, *looks, again=True, seconds=seconds)
        fetches = [(fetch(ben), keys) for (_, ben), keys in zip(pairs, sent, strict=True)]
        _, found["fetch"] = self.measure(pool, *fetches)
        for ann, ben in pairs:
            ann.send(ben, picture)
        _, found["inbox"] = self.measure(pool, *((inbox(ben), ()) for _, ben in pairs), seconds=seconds)
        return found


Result = tuple[list[list[str]], Measured]


@click.command()
@click.option("--runs", default=3, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="how long each measurement takes")
@click.option("--workers", default="1,2", show_default=True, help="numbers of workers on MariaDB")
@click.option("--folder", type=click.Path(path_type=Path), help="on the disk to measure; default: for temporary files")
def main(runs: int, seconds: float, workers: str, folder: Path | None) -> None:
    """Measure so many times, one place after the other in each run, and print the medians."""
    click.echo(f"other programs keep {busy_cores():.1f} cores busy")
    results = measured(runs, seconds, list(map(int, workers.split(","))), folder)
    for name in OPERATIONS:
        _print(name, results)


def measured(
    runs: int, seconds: float, workers: Sequence[int], folder: Path | None
) -> Sequence[dict[str, dict[str, Measured]]]:
    """What each run found, by place and operation; SQLite is the first place."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        emulator = stack.enter_context(python_module("emulators", "getui"))
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        plain = {**glimpse_settings(emulator), "samples": {"enabled": False}}
        places = [Place("SQLite", _started(stack, place / "sqlite", plain), None)]
        for count in workers:
            (place / f"maria{count}").mkdir()
            maria = stack.enter_context(mariadb(place / f"maria{count}"))
            settings = {**plain, "database": {"url": maria.url(DATABASE)}, "server": {"workers": count}}
            server = _started(stack, place / f"workers{count}", settings)
            places.append(Place(f"MariaDB, {count} worker{'s' * (count > 1)}", server, maria))
        for each in places:
            each.round(pool, 1)
        return [{each.name: each.round(pool, seconds) for each in places} for _ in range(runs)]


def _started(stack: ExitStack, folder: Path, settings: dict[str, Any]) -> Server:
    folder.mkdir()
    return stack.enter_context(running(folder, settings))


def _print(operation: str, results: Sequence[dict[str, dict[str, Measured]]]) -> None:
    first = next(iter(results[0]))
    click.echo(operation)
    for name in results[0]:
        found = [result[name][operation] for result in results]
        ratio = median(result[name][operation].per_second / result[first][operation].per_second for result in results)
        click.echo(
            f"  {name:20} {median(each.per_second for each in found):7.0f}/s ({ratio:.2f} of {first})"
            f"  server {median(each.server_ms for each in found):5.2f} ms"
            f"  database {median(each.database_ms for each in found):5.2f} ms"
            f"  {median(each.statements for each in found):4.1f} statements"
        )


if __name__ == "__main__":
    main()
