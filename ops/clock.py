# SPDX-License-Identifier: Apache-2.0
"""`python -m ops clock`: an operator's word that the clock is right."""

import asyncio
from functools import partial
from pathlib import Path

import click

from config.load import Config
from models.clock import SteadyClock
from models.db.tables import clock_sightings
from ops.opening import (
    as_json,
    explained,
    of_a_server,
    opened_database,
    operator,
    print_json,
    settings,
    steady_clock,
    when,
)
from services.audit import record


@click.group()
def clock() -> None:
    """Look after what the server takes for the time."""


@clock.command()
@of_a_server
@as_json
def accept(file: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Say that this machine's clock is right, after it has jumped by more than a day.

    Until then nothing ends by its age. A server that runs goes by it within seconds. Exit status 0, also when the
    clock was believed already.
    """
    config = settings(file, data_dir)
    with explained():
        now, jump = asyncio.run(_accept(config))
    if as_json:
        print_json({"time": now, "jump": jump})
    else:
        off = f"; it was {abs(jump) // 1000} s {'ahead' if jump > 0 else 'behind'}" if jump else ""
        click.echo(f"It is {when(now)}{off}.")


async def _accept(config: Config) -> tuple[int, int]:
    async with opened_database(config) as db:
        jump = (await steady_clock(db)).jump
        right = SteadyClock().sighting()
        about = f"off by {jump // 1000} s" if jump else ""
        await record(db, operator=operator(), act="clock accept", about=about, now=right.wall)
        await db.write(partial(clock_sightings.record, sighting=right))
    return right.wall, jump
