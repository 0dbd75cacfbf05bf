# SPDX-License-Identifier: Apache-2.0
"""`python -m ops users`: what is known of a person, shutting one out, and ending an account."""

import asyncio
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from models.db.database import Database
from models.db.tables import users as table
from models.keys import KeyRing, open_key_ring
from models.private_files import KEY_RING
from ops.opening import (
    CannotRun,
    as_json,
    before,
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
from services.accounts.account_deletion import AccountDeletion
from services.accounts.export import Export
from services.operating import (
    About,
    delete_person,
    describe,
    export_person,
    find_one,
    list_people,
    names_one,
    search,
    set_disabled,
)

somebody = click.argument("who", metavar="UID|+NUMBER|PHONE_HASH")


@click.group()
def users() -> None:
    """List, find and look at accounts, write down what is kept of one, shut a person out, or end an account."""


@users.command()
@somebody
@of_a_server
@as_json
def show(file: Path | None, data_dir: Path | None, *, who: str, as_json: bool) -> None:
    """Print what is known of a person, but for their number and keys. Exit status 0, or 2 when there is nobody."""
    config = settings(file, data_dir)
    with explained():
        about = asyncio.run(_show(config, who))
    if as_json:
        print_json(asdict(about))
    else:
        _print(about)


@users.command("list")
@of_a_server
@before("people with a lower uid")
@limit
@as_json
def list_(file: Path | None, data_dir: Path | None, *, before: int, limit: int, as_json: bool) -> None:
    """Print a line for each person, the newest account first, and how many there are."""
    config = settings(file, data_dir)
    with explained():
        people, count, disabled = asyncio.run(_list(config, before=before, limit=limit + 1))
    shown, more = people[:limit], len(people) > limit
    if as_json:
        rows = [asdict(about) for about in shown]
        print_json({"users": rows, "more": more, "accounts": count, "disabled": disabled})
        return
    _print_lines(shown, more=more)
    click.echo(f"{count} accounts, {disabled} of them disabled", err=True)


@users.command()
@click.argument("what", metavar="UID|+NUMBER|PHONE_HASH|NICKNAME")
@of_a_server
@before("people with a lower uid")
@limit
@as_json
def find(file: Path | None, data_dir: Path | None, *, what: str, before: int, limit: int, as_json: bool) -> None:
    """Print a line for each person with that uid or number, or whose nickname holds that text.

    Exit status 0, or 2 when there is nobody.
    """
    config = settings(file, data_dir)
    with explained(), progress("Looking"):
        people = asyncio.run(_find(config, what, before=before, limit=limit + 1))
    shown, more = people[:limit], len(people) > limit
    if as_json:
        print_json({"users": [asdict(about) for about in shown], "more": more})
    else:
        _print_lines(shown, more=more)


@users.command()
@somebody
@of_a_server
@click.option("--undo", is_flag=True, help="Let the person in again.")
@as_json
def disable(file: Path | None, data_dir: Path | None, *, who: str, undo: bool, as_json: bool) -> None:
    """Shut a person out at once: no credential of theirs is taken and no image to them is accepted.

    Nothing of theirs is removed. Exit status 0, or 2 when there is nobody.
    """
    config = settings(file, data_dir)
    with explained():
        uid, changed = asyncio.run(_disable(config, who, disabled=not undo))
    if as_json:
        print_json({"uid": uid, "disabled": not undo, "changed": changed})
    else:
        state = "enabled" if undo else "disabled"
        click.echo(f"{uid} is {state} now." if changed else f"{uid} was {state} already.")


@users.command()
@somebody
@of_a_server
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Count what would be erased and erase nothing.")
@as_json
def delete(file: Path | None, data_dir: Path | None, *, who: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """End a person's account and erase what is kept of it, as when they leave by themselves. There is no way back.

    The files of images that waited for them go when the server next looks, or with purge. Exit status 0, or 2 when
    there is nobody.
    """
    config = settings(file, data_dir)
    with explained():
        uid, found = asyncio.run(_dry_run(config, who))
        if not dry_run:
            if not yes:
                click.confirm(f"Erase the account {uid} for good?", abort=True, err=True)
            with progress("Erasing"):
                asyncio.run(_delete(config, uid))
    if as_json:
        print_json({"uid": uid, "dry_run": dry_run, "rows": found})
        return
    for name, count in found.items():
        if count:
            click.echo(f"{name}: {count}")
    click.echo(f"{uid} would be erased." if dry_run else f"{uid} is erased.")


@users.command()
@somebody
@of_a_server
def export(file: Path | None, data_dir: Path | None, *, who: str) -> None:
    """Print all that is kept about a person as one JSON document, their number in clear: mind where it goes.

    Exit status 0, or 2 when there is nobody.
    """
    config = settings(file, data_dir)
    with explained():
        asyncio.run(_export(config, who))


async def _show(config: Config, who: str) -> About:
    async with opened_database(config) as db:
        return await describe(db, await _uid(config, db, who))


async def _list(config: Config, *, before: int, limit: int) -> tuple[list[About], int, int]:
    async with opened_database(config) as db:
        return await list_people(db, before=before, limit=limit), *await table.count(db)


async def _find(config: Config, what: str, *, before: int, limit: int) -> list[About]:
    """Whoever has this uid or number, and then whoever has it in their nickname. Raises CannotRun, KeyRingError."""
    async with opened_database(config) as db:
        found = await search(db, what, keys=partial(_key_ring, config), before=before, limit=limit)
    if not found:
        raise CannotRun("there is no such person")
    return found


async def _disable(config: Config, who: str, *, disabled: bool) -> tuple[int, bool]:
    async with opened_database(config) as db:
        uid = await _uid(config, db, who)
        return uid, await set_disabled(db, uid, disabled=disabled, operator=operator(), now=now_ms())


async def _dry_run(config: Config, who: str) -> tuple[int, dict[str, int]]:
    """Who is meant, and what would go."""
    async with opened_database(config) as db:
        uid = await _uid(config, db, who)
        return uid, await _account_deletion(db, await _keys(config, db)).dry_run(uid)


async def _delete(config: Config, uid: int) -> None:
    async with opened_database(config) as db:
        account_deletion = _account_deletion(db, await _keys(config, db))
        await delete_person(db, account_deletion, uid, operator=operator(), now=now_ms())


async def _export(config: Config, who: str) -> None:
    async with opened_database(config) as db:
        uid = await _uid(config, db, who)
        export = Export(db=db, keys=await _keys(config, db), clock=now_ms)
        async for piece in export_person(db, export, uid, operator=operator(), now=now_ms()):
            click.echo(piece, nl=False)


def _account_deletion(db: Database, keys: KeyRing) -> AccountDeletion:
    # A server that runs looks for files every few seconds.
    return AccountDeletion(db=db, keys=keys, wake_retention=lambda: None, clock=now_ms)


async def _keys(config: Config, db: Database) -> KeyRing:
    return _key_ring(config, await table.find_phone_cipher(db))


def _key_ring(config: Config, sealed: bytes | None) -> KeyRing:
    """Raises KeyRingError."""
    return open_key_ring(config.data_dir / KEY_RING, sealed=sealed)


async def _uid(config: Config, db: Database, who: str) -> int:
    """Who is meant. Raises CannotRun, KeyRingError."""
    if not names_one(who):
        raise CannotRun("name a person by uid, by number with its plus sign, or by the 64 hex digits of its hash")
    uid = await find_one(db, who, keys=partial(_key_ring, config))
    if uid is None:
        raise CannotRun("there is no such person")
    return uid


def _print_lines(people: list[About], *, more: bool) -> None:
    for about in people:
        click.echo(_line(about))
    if more:
        click.echo(f"There are more: --before {people[-1].uid}.", err=True)


def _line(about: About) -> str:
    # A nickname is a stranger's text: what a terminal would act on is escaped.
    facts = [str(about.uid), repr(about.nickname), f"region {about.region_num or '-'}"]
    facts += [f"registered {when(about.reg_time)[:10]}", f"seen {when(about.seen_at)[:10]}"]
    facts += [f"devices {sum(about.devices.values())}", f"images waiting {about.pending_images}"]
    facts.append(f"pushes waiting {about.pending_pushes}")
    if about.disabled_at is not None:
        facts.append(f"disabled {when(about.disabled_at)[:10]}")
    return "  ".join(facts)


def _print(about: About) -> None:
    click.echo(f"uid: {about.uid}")
    # A nickname is a stranger's text: what a terminal would act on is escaped.
    click.echo(f"nickname: {about.nickname!r}")
    click.echo(f"region: {about.region_num or '-'}")
    click.echo(f"registered: {when(about.reg_time)}")
    click.echo(f"last seen: {when(about.seen_at)[:10]}")
    click.echo(f"disabled: {when(about.disabled_at)}")
    devices = ", ".join(f"{count} {provider}" for provider, count in about.devices.items())
    click.echo(f"devices: {devices or '-'}")
    click.echo(f"waiting: {about.pending_images} images, {about.pending_bytes} bytes, {about.pending_pushes} pushes")
