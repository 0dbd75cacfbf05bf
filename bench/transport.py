# SPDX-License-Identifier: Apache-2.0
"""What a request costs in processor time: Tornado's server and ours saying hello and receiving an image, then Glimpse's
own operations, beside nginx in the same run.

`python -m bench.transport` prints milliseconds a request, of every process of the server. Loopback only; everything it
starts ends with it.
"""

import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bench import load
from bench.load import Request
from bench.messages import text
from bench.requests import fetch, get, inbox, put, send
from bench.targets import Target, glimpse_settings, nginx, nginx_path, python_module
from tests.support.harness import Server, running
from tests.support.pictures import jpeg

IMAGE_BYTES = 350_000
CONNECTIONS = 16
MOST_FILES = 20_000

Costs = dict[str, list[float]]


class Meter:
    """Measures one load after the other, with the client in a process of its own."""

    def __init__(self, pool: ProcessPoolExecutor, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds
        self.costs: Costs = {}

    def measure(
        self, name: str, target: Target, *script: Request, names: Sequence[str] = (), again: bool = False
    ) -> list[str]:
        """Note the processor milliseconds of each pass; the names that the passes ended with."""
        how: dict[str, Any] = {"connections": CONNECTIONS, "seconds": self._seconds, "names": names, "again": again}
        before = target.cpu_seconds
        done = self._pool.submit(load.run, target.port, script, **how).result()
        used = 1000 * (target.cpu_seconds - before) / len(done.passes_ms)
        self.costs.setdefault(name, []).append(used)
        return done.names


def post(picture: bytes) -> Request:
    return Request(f"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: {len(picture)}\r\n\r\n", 200, picture)


def measure_glimpse(meter: Meter, server: Server, target: Target, picture: bytes) -> None:
    """Send, get, inbox and text, each between people of its own."""
    ann, ben, cat = (server.register() for _ in range(3))
    meter.measure("healthz", target, Request("GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n", 200))
    names = meter.measure("send", target, send(ann, ben, picture))
    meter.measure("get", target, fetch(ben, "?ack=manual"), names=names, again=True)
    ann.send(cat, picture)
    meter.measure("inbox", target, inbox(cat))
    meter.measure("text", target, text(ann, ben))


def one_run(meter: Meter, folder: Path) -> None:
    picture = jpeg(IMAGE_BYTES)
    with ExitStack() as stack:
        tornado = stack.enter_context(python_module("bench.hello", "tornado"))
        own = stack.enter_context(python_module("bench.hello", "own"))
        emulator = stack.enter_context(python_module("emulators", "getui"))
        (folder / "glimpse").mkdir()
        server = stack.enter_context(running(folder / "glimpse", glimpse_settings(emulator)))
        assert server.process
        glimpse = Target(server.process.pid, server.port)
        if nginx_path():
            beside = stack.enter_context(nginx(folder / "nginx"))
            names = meter.measure("nginx put", beside, put(picture), names=[f"{n}.jpg" for n in range(MOST_FILES)])
            meter.measure("nginx get", beside, get(), names=names, again=True)
        for whose, target in (("tornado", tornado), ("own", own)):
            meter.measure(f"hello, {whose}", target, Request("GET / HTTP/1.1\r\nHost: b\r\n\r\n", 200))
            meter.measure(f"receive 350 KB, {whose}", target, post(picture))
        measure_glimpse(meter, server, glimpse, picture)


@click.command()
@click.option("--runs", default=3, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="how long each measurement takes")
def main(runs: int, seconds: float) -> None:
    """Measure so many times and print the medians."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        meter = Meter(pool, seconds)
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as name:
                one_run(meter, Path(name))
    for name, costs in meter.costs.items():
        click.echo(f"{name:28} {statistics.median(costs):.3f} ms ({min(costs):.3f} to {max(costs):.3f})")


if __name__ == "__main__":
    main()
