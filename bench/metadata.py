# SPDX-License-Identifier: Apache-2.0
"""Measures what removing a picture's place costs: the server's processor time per image sent, beside `keep`.

`python -m bench.metadata`. Two servers, alike but for `images.metadata`, take the same picture in turns.
"""

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click

from bench import load
from bench.load import Request
from bench.requests import send
from bench.targets import Target, busy_cores
from tests.models.imagefile.forms import segment
from tests.models.metadata.parts import ASCII, GPS, tiff
from tests.support.harness import running
from tests.support.pictures import jpeg

SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {"max_pending": 10**6, "max_pending_bytes": 10**12},
    "storage": {"min_free_bytes": 1},
}
SCAN_BYTES = 340_000
AIM = 1.08


def picture() -> bytes:
    """As a phone makes it: with a place among a hundred fields of Exif, and stuffed bytes among its pixels."""
    fields = {start: [(start + each, ASCII, b"some text") for each in range(30)] for start in (0x0100, 0x9000, 0x9100)}
    exif = tiff(fields[0x0100], exif=fields[0x9000] + fields[0x9100], gps=GPS)
    whole = jpeg(2048)
    head, scan = whole[:2] + segment(0xE1, b"Exif\0\0" + exif) + whole[2:-2], os.urandom(SCAN_BYTES)
    return head + scan.replace(b"\xff", b"\xff\x00") + whole[-2:]


def measure(pool: ProcessPoolExecutor, target: Target, request: Request, connections: int, seconds: float) -> float:
    """Milliseconds of processor time per image."""
    before = target.cpu_seconds
    done = pool.submit(load.run, target.port, [request], connections=connections, seconds=seconds).result()
    return 1e3 * (target.cpu_seconds - before) / len(done.passes_ms)


@click.command()
@click.option("--seconds", default=1.5, show_default=True, help="How long each measurement takes.")
@click.option("--rounds", default=12, show_default=True, help="How often each is measured.")
@click.option("--connections", default=4, show_default=True, help="How many images are on their way at once.")
def main(seconds: float, rounds: int, connections: int) -> None:
    """Print the milliseconds of processor time per image for each setting, and the ratio of the two."""
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        asked: dict[str, tuple[Target, Request]] = {}
        for removal in ("keep", "location"):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(running(folder, {**SETTINGS, "images": {"metadata": removal}}))
            assert server.process
            asked[removal] = (
                Target(server.process.pid, server.port),
                send(server.register(), server.register(), picture()),
            )
        click.echo(f"{busy_cores():.1f} cores are busy with something else")
        for target, request in asked.values():
            measure(pool, target, request, connections, 0.5)
        found: dict[str, list[float]] = {removal: [] for removal in asked}
        for _ in range(rounds):
            for removal, (target, request) in asked.items():
                found[removal].append(measure(pool, target, request, connections, seconds))
    for removal, values in found.items():
        click.echo(f"{removal:8} {median(values):.2f} ms ({min(values):.2f}–{max(values):.2f})")
    ratios = [one / other for one, other in zip(found["location"], found["keep"], strict=True)]
    click.echo(f"location : keep {median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f}; aim: at most {AIM})")


if __name__ == "__main__":
    main()
