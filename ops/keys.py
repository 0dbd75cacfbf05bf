# SPDX-License-Identifier: Apache-2.0
"""`python -m ops keys`: new keys for what the server seals, finds and signs, beside the server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic

import click
from rich.console import Console
from rich.progress import Progress

from config.load import Config
from models.clock import SteadyClock, now_ms
from models.db.database import Database
from models.key_lock import RingInUse
from models.key_rotation import Kind
from models.private_files import KEY_RING
from ops.opening import as_json, explained, of_a_server, opened_database, operator, print_json, settings, steady_clock
from services.audit import record
from services.leader import LEASE_SECONDS, Lease
from services.maintenance.key_rotation import Planned, Rotated, Rotation, Say
from storage.ownership import is_owned

LINE_SECONDS = 10.0
"""How often a step that goes on says how far it is."""


@click.group()
def keys() -> None:
    """Look after the key ring, keys.json."""


@keys.command()
@of_a_server
@click.option("--phones", is_flag=True, help="What phone numbers are sealed with: all are sealed anew.")
@click.option("--tokens", is_flag=True, help="What access tokens are signed with.")
@click.option("--pepper", is_flag=True, help="What phone numbers are found by.")
@click.option("--at-once", is_flag=True, help="End tokens signed with the old key now: clients refresh them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and change nothing.")
@as_json
def rotate(
    file: Path | None,
    data_dir: Path | None,
    *,
    phones: bool,
    tokens: bool,
    pepper: bool,
    at_once: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put new keys in place of those in use, of all three kinds or of those named.

    People notice nothing. The last step waits 15 minutes, until no access token of the old key is good any more. A
    run that was cut off is gone on with by the next one, which then begins nothing new. Exit status 0, or 2 when it
    could not go on: all keys that are needed are still there, and another run goes on.
    """
    chosen = {Kind.PHONES: phones, Kind.PEPPER: pepper, Kind.TOKENS: tokens}
    wanted = [kind for kind in Kind if chosen[kind]] or list(Kind)
    config = settings(file, data_dir)
    with explained():
        planned = asyncio.run(_dry_run(config, wanted))
        if dry_run:
            _report(planned, as_json=as_json, dry_run=True)
            return
        if not yes:
            click.confirm(f"{_plan(planned)}. Go on?", abort=True, err=True)
        with _bar() as say:
            rotated = asyncio.run(_rotate(config, wanted, say, at_once=at_once))
    _report(rotated, as_json=as_json, dry_run=False)


async def _dry_run(config: Config, wanted: Collection[Kind]) -> Planned:
    async with opened_database(config) as db:
        return await _rotation(config, db, await steady_clock(db), lambda _step, _done, _total: None).dry_run(wanted)


async def _rotate(config: Config, wanted: Collection[Kind], say: Say, *, at_once: bool) -> Rotated:
    async with opened_database(config) as db, _alone(db):
        about = ", ".join(kind.value for kind in wanted) + (", at once" if at_once else "")
        await record(db, operator=operator(), act="keys rotate", about=about, now=now_ms())
        return await _rotation(config, db, await steady_clock(db), say, at_once=at_once).run(wanted)


@asynccontextmanager
async def _alone(db: Database) -> AsyncIterator[None]:
    """Be the only one of all machines that rotates. Raises RingInUse when another goes on with it, DatabaseError."""
    if not db.shared:
        yield  # who has the file alone has the database alone
        return
    lease, until = Lease(db, "keys", seconds=LEASE_SECONDS), monotonic() + 2 * LEASE_SECONDS
    while not await lease.renew():
        if monotonic() > until:
            raise RingInUse("keys are being rotated on another machine: wait for its end")
        await asyncio.sleep(1)
    keeping = asyncio.create_task(lease.run(lambda: None))
    try:
        yield
    finally:
        keeping.cancel()
        await lease.release()


def _rotation(config: Config, db: Database, clock: SteadyClock, say: Say, *, at_once: bool = False) -> Rotation:
    return Rotation(
        db=db,
        path=(config.data_dir / KEY_RING).resolve(),  # several machines may have links to one file
        server_runs=lambda: is_owned(config.data_dir),
        clock=clock.ages,
        say=say,
        at_once=at_once,
    )


class Lines:
    """Tells of each step as it begins, and of one that takes long every `LINE_SECONDS`. `monotonic` is in seconds."""

    def __init__(self, tell: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._tell = tell
        self._monotonic = monotonic
        self._step = ""
        self._told_at = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        now = self._monotonic()
        if step != self._step or now - self._told_at >= LINE_SECONDS:
            self._step, self._told_at = step, now
            self._tell(f"{step}: {done} of {total}" if total else step)


@contextmanager
def _bar() -> Iterator[Say]:
    """On stderr the step that is under way: a bar if that is a terminal, else lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(partial(click.echo, err=True), monotonic)
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Rotating", total=None)
        yield lambda step, done, total: bar.update(task, description=step, completed=done, total=total or None)


def _plan(planned: Planned) -> str:
    verb = "Go on with the rotation of" if planned.resumed else "Rotate"
    return f"{verb} {', '.join(planned.kinds)}; {planned.numbers} phone numbers are gone through"


def _report(said: Planned | Rotated, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, **asdict(said)})
    elif isinstance(said, Planned):
        click.echo(f"{_plan(said)}.")
    else:
        click.echo(
            f"{', '.join(said.kinds)}: rotated; {said.numbers} numbers and {said.activations} activations turned,"
            f" {said.dropped_digests} old digests dropped"
        )
        if said.resumed:
            click.echo("This finished a rotation that was begun before; run it again to begin another.")
