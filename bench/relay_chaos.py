# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.relay_chaos`: a relay that is killed every few seconds, to vendors of which half the calls fail.

Besides, each vendor says now and then that it has too many calls.
Every notification is committed before; at the end each must have arrived at its vendor's emulator, none that was not
committed, and what came twice must have come under the same id. Ends with exit status 1 where it did not.
"""

import json
import logging
import multiprocessing
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import click
import uvloop

from bench.outbox import Filled, fill, path_of, relay_over
from bench.relay import device_tokens
from config.load import Config, load
from models.db.sqlite.engine import SqliteDatabase
from models.db.tables import gauges
from tests.support.push_vendors import LIMITED, PushVendor, PushVendors, Received, emulated

FAULTS = {"fail": 30, "hang": 10, "reset": 10}
DEVICES = 500
LEASE_SECONDS = 10
HTTP_SECONDS = 1.0


@click.command()
@click.option("--pushes", default=100_000, show_default=True, help="in all, to all vendors alike")
@click.option("--minutes", default=15.0, show_default=True, help="of faults at most; then the vendors are well again")
@click.option("--kill-seconds", default=5.0, show_default=True, help="how long a relay lives")
def main(*, pushes: int, minutes: float, kill_seconds: float) -> None:
    """Relay under faults and kills, and count what became of each notification."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendors = stack.enter_context(emulated(folder))
        config = written(folder, vendors)
        tokens = {(name, ""): device_tokens(each, config, DEVICES) for name, each in vendors.each.items()}
        filled = uvloop.run(fill(folder, tokens, max(pushes // (DEVICES * len(tokens)), 1)))
        for each in vendors.each.values():
            each.tell("chances", **FAULTS)
        began = monotonic()
        kills = kill_and_start(config, vendors.each, until=began + 60 * minutes, every=kill_seconds)
        seconds, left = monotonic() - began, uvloop.run(due(config))
        for each in vendors.each.values():
            each.tell("chances")
        kills += kill_and_start(config, {}, until=monotonic() + 1200, every=60)
        wanted = [(row, vendors.each[row.lane[0]].target_of(tokens[row.lane][row.device])) for row in filled]
        click.echo(f"{len(filled)} notifications, {kills} kills, {FAULTS} percent of the calls")
        done = len(filled) - left
        click.echo(f"{done} in {seconds:.0f} s of faults, {done / seconds:.0f}/s; all in {monotonic() - began:.0f} s")
        raise SystemExit(not judged(wanted, vendors))


def written(folder: Path, vendors: PushVendors) -> Config:
    (folder / "own.yaml").write_text(json.dumps({"data_dir": str(folder), "push": vendors.push}))
    return load(folder / "own.yaml")


def kill_and_start(config: Config, limited: Mapping[str, PushVendor], *, until: float, every: float) -> int:
    """Let relays live and die until nothing is due or the time is over; how many died.

    In each life the vendors that are `limited` say a few times that they have too many calls.
    """
    kills = 0
    while monotonic() < until and uvloop.run(due(config)):
        for name, each in limited.items():
            each.tell("fault", kind=LIMITED[name], times=3, after=random.randint(0, 30))
        # A fork lives for as long as it should; a process that first imports all does not, on a busy machine.
        relay = multiprocessing.get_context("fork").Process(target=relay_until_killed, args=(config,))
        relay.start()
        # At a moment of its life that is never the same; one that is done before is not waited for.
        end = min(monotonic() + random.uniform(0.5, 1.5) * every, until + every)
        while monotonic() < end and uvloop.run(due(config)):
            sleep(0.5)
        relay.kill()
        relay.join()
        kills += 1
    return kills


async def due(config: Config) -> int:
    db = SqliteDatabase(path_of(config))
    try:
        return sum(lane.count for lane in await gauges.list_backlogs(db))
    finally:
        await db.close()


def relay_until_killed(config: Config) -> None:
    logging.disable()  # half of its calls fail

    async def run() -> None:
        async with relay_over(config, http_seconds=HTTP_SECONDS, lease_seconds=LEASE_SECONDS) as relay:
            await relay.run()

    uvloop.run(run())


def judged(wanted: list[tuple[Filled, str]], vendors: PushVendors) -> bool:
    """Say for each vendor what is missing, what nobody committed, and what came again; whether all is well."""
    well = True
    click.echo("| vendor | committed | arrived | missing | not committed | repeats | of them under another id |")
    click.echo("|---|---|---|---|---|---|---|")
    for name, each in vendors.each.items():
        committed = {(target, row.message_id) for row, target in wanted if row.lane[0] == name}
        received = each.received()
        arrived = {(push.target, push.message_id) for push in received}
        # GeTui and the webhook's receiver drop a repeat themselves, by its id.
        dropped = sum(each.ask("repeated").values()) if name in ("getui", "webhook") else 0
        repeats, renamed = len(received) - len(arrived) + dropped, count_renamed(received)
        missing, invented = len(committed - arrived), len(arrived - committed)
        well = well and not (missing or invented or renamed)
        facts = (name, len(committed), len(arrived), missing, invented, f"{repeats} ({repeats / len(committed):.1%})")
        click.echo("| " + " | ".join(map(str, (*facts, renamed))) + " |")
    return well


def count_renamed(received: list[Received]) -> int:
    """Notifications that came under more than one id."""
    ids = Counter((push.target, push.message_id) for push in set(received))
    return sum(count > 1 for count in ids.values())


if __name__ == "__main__":
    main()
