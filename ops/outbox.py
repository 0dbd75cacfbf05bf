# SPDX-License-Identifier: Apache-2.0
"""`python -m ops outbox`: the notifications that wait or were given up, and what becomes of them."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.clock import HOUR_MS, now_ms
from models.db.tables import outbox_summary
from models.db.tables.outbox import State
from models.db.tables.outbox_summary import OutboxRow, Wanted
from ops.opening import (
    Command,
    as_json,
    explained,
    limit,
    of_a_server,
    opened_database,
    operator,
    print_json,
    progress,
    settings,
    when,
)
from services.operating import drop_pushes, list_pushes, retry_pushes

those = click.argument("ids", metavar="ID...", nargs=-1, type=click.IntRange(min=1))


def of_some(command: Command) -> Command:
    """Give a command the options that say which notifications are meant: `provider`, `app` and `device`."""
    provider = click.option("--provider", metavar="P", help="Only those of this push provider.")
    app = click.option("--app", metavar="A", help="Only those of this app of --provider; '' is its plain one.")
    device = click.option("--device", type=click.IntRange(min=1), metavar="D", help="Only those of this device.")
    return provider(app(device(command)))


@click.group()
def outbox() -> None:
    """Look after the notifications that wait or were given up."""


@outbox.command("list")
@of_a_server
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only those in this state.")
@of_some
@limit
@as_json
def list_(
    file: Path | None,
    data_dir: Path | None,
    *,
    state: str | None,
    provider: str | None,
    app: str | None,
    device: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Print notifications, the newest first. What they are sent to is never shown."""
    wanted = _wanted(State(state) if state else None, provider, app, device)
    config = settings(file, data_dir)
    with explained():
        rows = asyncio.run(_list(config, wanted, limit + 1))
    shown, more = rows[:limit], len(rows) > limit
    if as_json:
        print_json({"notifications": [asdict(row) for row in shown], "more": more})
        return
    for row in shown:
        click.echo(_line(row))
    if more:
        click.echo("There are more: raise --limit.", err=True)


@outbox.command()
@those
@of_a_server
@click.option("--all-dead", is_flag=True, help="Every notification that was given up, or those of the options below.")
@of_some
@as_json
def retry(
    file: Path | None,
    data_dir: Path | None,
    *,
    ids: tuple[int, ...],
    all_dead: bool,
    provider: str | None,
    app: str | None,
    device: int | None,
    as_json: bool,
) -> None:
    """Send again what was given up. What nobody waits for any more is dropped by the server all the same.

    Exit status 0, 1 when one of the IDs is not given up, 2 when it could not run.
    """
    wanted = _wanted(State.DEAD, provider, app, device)
    if bool(ids) == all_dead or (ids and wanted != Wanted(State.DEAD)):
        raise click.UsageError("name IDs, or all with --all-dead")
    config = settings(file, data_dir)
    with explained(), progress("Retrying"):
        asked, done = asyncio.run(_retry(config, sorted(set(ids)), wanted))
    _tell(asked, done, "retried", as_json=as_json)


@outbox.command()
@those
@of_a_server
@click.option("--all-due", is_flag=True, help="Every notification that waits for --provider or --device.")
@of_some
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Count what would be dropped and drop nothing.")
@as_json
def drop(
    file: Path | None,
    data_dir: Path | None,
    *,
    ids: tuple[int, ...],
    all_due: bool,
    provider: str | None,
    app: str | None,
    device: int | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """End notifications that wait, unsent. The images stay: a phone finds them when its app is opened.

    Exit status 0, 1 when one of the IDs does not wait, 2 when it could not run.
    """
    wanted = _wanted(State.DUE, provider, app, device)
    if bool(ids) == all_due or all_due != (wanted != Wanted(State.DUE)):
        raise click.UsageError("name IDs, or all of one provider or device with --all-due --provider P, --device D")
    config = settings(file, data_dir)
    with explained():
        chosen = sorted(set(ids)) or asyncio.run(_due(config, wanted))
        if dry_run:
            _tell(len(chosen), len(chosen), "would be dropped", as_json=as_json)
            return
        if not yes:
            click.confirm(f"Drop {len(chosen)} notifications unsent?", abort=True, err=True)
        with progress("Dropping"):
            done = asyncio.run(_drop(config, chosen))
    # Of all that waited, what was sent meanwhile is no failure.
    _tell(len(chosen) if ids else done, done, "dropped", as_json=as_json)


def _wanted(state: State | None, provider: str | None, app: str | None, device: int | None) -> Wanted:
    if app is not None and provider is None:
        raise click.UsageError("--app needs --provider")
    return Wanted(state, provider, app, device)


async def _list(config: Config, wanted: Wanted, limit: int) -> list[OutboxRow]:
    async with opened_database(config) as db:
        return await outbox_summary.list_some(db, wanted, limit=limit)


async def _retry(config: Config, ids: list[int], wanted: Wanted) -> tuple[int, int]:
    """How many were meant, every one that is wanted for no ids, and how many are due again."""
    async with opened_database(config) as db:
        chosen = ids or await list_pushes(db, wanted)
        give_up_ms = config.push.give_up_hours * HOUR_MS
        done = await retry_pushes(db, chosen, operator=operator(), now=now_ms(), give_up_ms=give_up_ms)
        return (len(ids) or done), done


async def _due(config: Config, wanted: Wanted) -> list[int]:
    async with opened_database(config) as db:
        return await list_pushes(db, wanted)


async def _drop(config: Config, ids: list[int]) -> int:
    async with opened_database(config) as db:
        return await drop_pushes(db, ids, operator=operator(), now=now_ms())


def _tell(asked: int, done: int, verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"asked": asked, "done": done, "dry_run": verb == "would be dropped"})
    else:
        click.echo(f"{done} of {asked} {verb}")
    if done < asked:
        raise SystemExit(1)


def _line(row: OutboxRow) -> str:
    until = f"next {when(row.next_at)}" if row.state == State.DUE else f"ended {when(row.settled_at)}"
    place = f"{row.provider}/{row.app}" if row.app else row.provider
    facts = [row.outbox_id, row.state, place, row.kind, f"uid {row.uid}", f"device {row.device_id}"]
    facts += [f"{row.attempts} tries", f"since {when(row.created_at)}", until]
    # A reason may hold a vendor's text: what a terminal would act on is escaped.
    return "  ".join(map(str, [*facts, repr(row.reason)] if row.reason else facts))
