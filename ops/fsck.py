# SPDX-License-Identifier: Apache-2.0
"""`python -m ops fsck`: does the database agree with the files?"""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from ops.opening import as_json, explained, of_a_server, opened, operator, print_json, progress, settings, steady_clock
from services.audit import record
from services.maintenance import fsck as checks
from services.maintenance.fsck import Fsck, Report

EXAMPLE_OF = {
    checks.DAMAGED: "the line",
    checks.MISSING: "message",
    checks.WRONG_SIZE: "message",
    checks.WRONG_CONTENT: "message",
    checks.UNREADABLE: "message",
    checks.ORPHAN: "file",
    checks.MISCOUNTED: "uid",
    checks.PUSH_OF_NOTHING: "outbox id",
}
"""What the examples of each kind of problem are."""


@click.command()
@of_a_server
@click.option("--repair", is_flag=True, help="Mend what is found.")
@as_json
def fsck(file: Path | None, data_dir: Path | None, *, repair: bool, as_json: bool) -> None:
    """Look for files without a row, rows without a file, wrong bytes, wrong counters and damage.

    With --repair, an image whose bytes are lost ends, a wrong file is moved to images/corrupt, and a file without a
    row is removed. Exit status 0 when all is well or was mended, 1 when problems are left, 2 when it could not run.
    """
    config = settings(file, data_dir)
    with explained():
        report = asyncio.run(_fsck(config, repair=repair))
    if as_json:
        print_json({"clean": report.clean, "left": report.left, **asdict(report)})
    else:
        _print(report)
    if report.left:
        raise SystemExit(1)


async def _fsck(config: Config, *, repair: bool) -> Report:
    async with opened(config) as (db, store):
        with progress("Checking") as say:
            report = await Fsck(
                db,
                store,
                clock=(await steady_clock(db)).ages,
                orphan_seconds=config.orphan_seconds,
                repair=repair,
                on_step=lambda step, done: say(f"{step} {done}"),
            ).run()
        if mended := sum(report.repaired.values()):
            await record(db, operator=operator(), act="fsck --repair", about=f"{mended} mended", now=now_ms())
        return report


def _print(report: Report) -> None:
    click.echo(f"{report.images} images, {report.bytes} bytes")
    for kind, count in report.problems.items():
        if count:
            shown = ", ".join(map(str, report.examples[kind]))
            mended = report.repaired.get(kind, 0)
            click.echo(f"{kind}: {count} found, {mended} mended; for example {EXAMPLE_OF[kind]} {shown}")
    click.echo(_verdict(report))


def _verdict(report: Report) -> str:
    if report.clean:
        return "All is well."
    return f"Problems left: {report.left}." if report.left else "All that was found is mended."
