# SPDX-License-Identifier: Apache-2.0
"""Measures what knowing the caller costs: the server's processor time per request, open, by ukey and by token.

`python -m bench.authentication`. All three are refused with a problem document before any table is asked for more than
the caller, so that the difference is what authentication costs.
"""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import click

from bench import load
from bench.load import Request
from bench.requests import call
from bench.targets import Target
from tests.support.harness import Server, running

CONNECTIONS = 16
AIM_MICROSECONDS = 60


def requests(server: Server) -> dict[str, Request]:
    """What is asked, by the name it is shown under; the first asks for no caller."""
    ann = server.register()
    line = "GET /v1/users/nobody"
    token = ann.request("POST", "/v1/tokens").json()["access_token"]
    return {
        "open": Request("POST /v1/activations/none/resend HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n", 410),
        "Basic": Request(call(ann, line), 404),
        "Bearer": Request(f"{line} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\n\r\n", 404),
    }


def measure(pool: ProcessPoolExecutor, target: Target, request: Request, seconds: float) -> float:
    """Microseconds of processor time per request."""
    before = target.cpu_seconds
    done = pool.submit(load.run, target.port, [request], connections=CONNECTIONS, seconds=seconds).result()
    return 1e6 * (target.cpu_seconds - before) / len(done.passes_ms)


@click.command()
@click.option("--seconds", default=1.0, show_default=True, help="How long each measurement takes.")
@click.option("--rounds", default=15, show_default=True, help="How often each is measured.")
def main(seconds: float, rounds: int) -> None:
    """Print the microseconds of processor time per request, and how much more than an open one they are."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        running(Path(folder), {"limits": {"enabled": False}}) as server,
    ):
        assert server.process
        target = Target(server.process.pid, server.port)
        asked = requests(server)
        for request in asked.values():
            measure(pool, target, request, 0.5)
        found: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, request in asked.items():
                found[name].append(measure(pool, target, request, seconds))
    for name, values in found.items():
        more = [value - other for value, other in zip(values, found["open"], strict=True)]
        aim = "" if name == "open" else f", {median(more):+.0f} over open (aim: under {AIM_MICROSECONDS})"
        click.echo(f"{name:7} {median(values):.0f} µs ({min(values):.0f}–{max(values):.0f}){aim}")


if __name__ == "__main__":
    main()
