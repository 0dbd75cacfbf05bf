# SPDX-License-Identifier: Apache-2.0
"""Measures what an image to a group of 256 costs, beside the same image to one person on the same server.

`python -m bench.group_image` prints one line for each: how long the sender waits, the server's processor time for each
image, pushes left out and included, and the files and rows that there are for it afterwards. Loopback only.
"""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import click
import httpx

from bench import load
from bench.load import Load, Request
from bench.requests import send, send_to_group
from bench.targets import Target, glimpse_settings, python_module
from services.membership import MAX_MEMBERS
from tests.process.invariants import pushes_due, rows
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg

IMAGE_BYTES = 350_000
LONGEST_WAIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Cost:
    """What images to one addressee have cost. Times are in milliseconds and of one image."""

    name: str
    images: int
    p50: float
    p99: float
    cpu: float
    files: int
    deliveries: int

    def __str__(self) -> str:
        times = f"p50 {self.p50:6.1f} ms  p99 {self.p99:6.1f} ms  CPU {self.cpu:6.2f} ms"
        rows_each = f"files {self.files / self.images:.0f}  deliveries {self.deliveries / self.images:.0f}"
        return f"{self.name:28} {self.images:5} images  {times}  {rows_each}"


class Bench:
    """One server, and the process that loads it."""

    def __init__(self, server: Server, pool: ProcessPoolExecutor, count: int) -> None:
        assert server.process
        self.server = server
        self.target = Target(server.process.pid, server.port)
        self._pool = pool
        self._count = count

    def measure(self, name: str, request: Request) -> Cost:
        """So many images, one after the other, and all that follows from them."""
        deliveries, cpu = self._deliveries(), self.target.cpu_seconds
        files = len(self.server.stored_files())
        done = self._load(request)
        wait_until(lambda: pushes_due(self.server.data_dir) == 0, LONGEST_WAIT_SECONDS, "the last push", pause=0.2)
        used = self.target.cpu_seconds - cpu
        cuts = quantiles(done.passes_ms, n=100)
        return Cost(
            name,
            len(done.names),
            cuts[49],
            cuts[98],
            1000 * used / len(done.names),
            len(self.server.stored_files()) - files,
            self._deliveries() - deliveries,
        )

    def _load(self, request: Request) -> Load:
        names = [str(number) for number in range(self._count)]
        return self._pool.submit(load.run, self.target.port, [request], connections=1, names=names).result()

    def _deliveries(self) -> int:
        [(count,)] = rows(self.server.data_dir, "SELECT count(*) FROM deliveries")
        return int(count)


def new_group(owner: Person, others: list[Person]) -> int:
    return owner.begin_group(*others)


@click.command()
@click.option("--images", default=200, show_default=True, help="sent to each addressee")
def main(images: int) -> None:
    """Measure, and print one line for each addressee."""
    picture = jpeg(IMAGE_BYTES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        emulator = stack.enter_context(python_module("emulators", "getui"))
        server = stack.enter_context(running(folder, glimpse_settings(emulator)))
        bench = Bench(server, pool, images)
        ann = server.register()
        silent = [server.register() for _ in range(MAX_MEMBERS - 1)]
        reached = [server.register(cid=f"{number:032d}") for number in range(MAX_MEMBERS - 1)]
        bench.measure("warming up", send(ann, ann, picture))
        for name, request in {
            "one person": send(ann, silent[0], picture),
            "256 members": send_to_group(ann, new_group(ann, silent), picture),
            "one person, one device": send(ann, reached[0], picture),
            "256 members, 255 devices": send_to_group(ann, new_group(ann, reached), picture),
        }.items():
            click.echo(bench.measure(name, request))
        taken = sum(_taken(emulator, f"{number:032d}") for number in range(MAX_MEMBERS - 1))
        click.echo(f"pushes taken by the emulator: {taken}, expected {images * MAX_MEMBERS}")


def _taken(emulator: Target, cid: str) -> int:
    return len(httpx.get(f"http://127.0.0.1:{emulator.port}/__inbox", params={"cid": cid}).json())


if __name__ == "__main__":
    main()
