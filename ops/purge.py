# SPDX-License-Identifier: Apache-2.0
"""`python -m ops purge`: remove now what the server removes by and by."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from app.build import lifetimes
from config.load import Config
from ops.opening import as_json, explained, of_a_server, opened, operator, print_json, progress, settings, steady_clock
from services.audit import record
from services.maintenance.retention import Counts, Retention


@click.command()
@of_a_server
@click.option("--dry-run", is_flag=True, help="Count what would be removed and remove nothing.")
@as_json
def purge(file: Path | None, data_dir: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove images past their time, files nobody may fetch any more, and rows past their use.

    Files that no row keeps are left to the server, which watches them for hours, and to fsck --repair.
    Exit status 0, 1 when something could not be removed, 2 when it could not run.
    """
    config = settings(file, data_dir)
    with explained():
        counts = asyncio.run(_purge(config, dry_run=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, **asdict(counts)})
    else:
        _print(counts, dry_run=dry_run)
    if counts.failed:
        raise SystemExit(1)


async def _purge(config: Config, *, dry_run: bool) -> Counts:
    async with opened(config) as (db, store):
        clock = await steady_clock(db)
        if clock.jump:
            click.echo("The clock is not believed: what ends by its age waits (python -m ops doctor).", err=True)
        if not dry_run:
            await record(db, operator=operator(), act="purge", now=clock())
        retention = Retention(db, store, lifetimes=lifetimes(config), clock=clock.ages, is_off=lambda: clock.jump != 0)
        with progress("Counting" if dry_run else "Removing") as say:
            return await (retention.dry_run() if dry_run else retention.run_once(say))


def _print(counts: Counts, *, dry_run: bool) -> None:
    verb = "would go" if dry_run else "removed"
    for name, count in counts.removed.items():
        click.echo(f"{name}: {count} {verb}")
    for name in counts.failed:
        click.echo(f"{name}: failed", err=True)
