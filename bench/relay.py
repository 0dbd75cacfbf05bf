# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.relay`: how fast one relay empties a backlog through each vendor's emulator, and what that costs.

The relay is one process, the emulator another; the figures are the relay's. A slow emulator holds back the rate, so
the processor time for one notification says more: its inverse is what one core could do.
"""

import asyncio
import cProfile
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time

import click
import uvloop

from app.providers import vapid_key
from bench.outbox import fill, path_of, relay_over
from config.load import Config, load
from models.db.sqlite.engine import SqliteDatabase
from models.db.tables import gauges
from tests.support.push_vendors import TITLES, PushVendor, emulated

DEVICES = 1000
ROUTES = ("getui batch", "getui single", "fcm", "apns", "webpush", "ntfy", "webhook")
UNBOUNDED = {"per_origin": {"at_once": 96, "per_second": 1_000_000}}
"""What is measured is the relay, and not what one host may get of it."""


@click.command()
@click.option("--pushes", default=20_000, show_default=True, help="in the backlog of each")
@click.option("--only", type=click.Choice(ROUTES), multiple=True, help="not all of them")
@click.option("--profile", type=click.Path(path_type=Path), help="file for cProfile's figures; slows all down")
def main(*, pushes: int, only: tuple[str, ...], profile: Path | None) -> None:
    """Measure the relay through each vendor's emulator."""
    click.echo("| through | notifications/s | CPU, µs each | one core could do, /s |")
    click.echo("|---|---|---|---|")
    for route in only or ROUTES:
        seconds, processor = measure(route, pushes, profile)
        micro = 1e6 * processor / pushes
        click.echo(f"| {route} | {pushes / seconds:,.0f} | {micro:,.0f} | {1e6 / micro:,.0f} |")


def measure(route: str, pushes: int, profile: Path | None) -> tuple[float, float]:
    """Seconds and processor seconds until all are delivered."""
    name, _, how = route.partition(" ")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor = stack.enter_context(emulated(folder, [name]))
        (folder / "own.yaml").write_text(json.dumps({"data_dir": str(folder), "push": {**vendor.push, **UNBOUNDED}}))
        config = load(folder / "own.yaml")
        tokens = device_tokens(vendor.each[name], config, DEVICES)
        uvloop.run(fill(folder, {(name, ""): tokens}, pushes // DEVICES))
        if profile is None:
            return uvloop.run(drain(config, batch_size=1 if how == "single" else None))
        profiler = cProfile.Profile()
        found = profiler.runcall(uvloop.run, drain(config, batch_size=1 if how == "single" else None))
        profiler.dump_stats(profile)
        return found


def device_tokens(vendor: PushVendor, config: Config, count: int) -> list[str]:
    """Tokens that the emulator takes."""
    key = vapid_key(config).public
    return [vendor.token(number, key) for number in range(count)]


async def drain(config: Config, *, batch_size: int | None) -> tuple[float, float]:
    """Run a relay until nothing is due; seconds and processor seconds."""
    watch = SqliteDatabase(path_of(config))
    async with relay_over(config, batch_size=batch_size) as relay:
        began, processor = perf_counter(), process_time()
        running = asyncio.create_task(relay.run())
        while await gauges.list_backlogs(watch):  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.05)
        took = perf_counter() - began, process_time() - processor
        await relay.stop()
        await running
    await watch.close()
    return took


if __name__ == "__main__":
    assert set(TITLES) == {route.partition(" ")[0] for route in ROUTES}
    main()
