# SPDX-License-Identifier: Apache-2.0
"""`python -m ops users`: what is known of a person, shutting one out, and ending an account."""

import asyncio
import re
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from models.db.database import Database
from models.db.tables import users as table
from models.keys import KeyRing, open_key_ring
from models.phone import is_phone_hash, phone_hash
from models.private_files import KEY_RING
from ops.opening import (
    CannotRun,
    as_json,
    explained,
    of_a_server,
    opened_database,
    print_json,
    progress,
    settings,
    when,
)
from services.accounts.account_deletion import AccountDeletion
from services.accounts.export import Export
from services.operating import About, describe, find_by_phone, set_disabled

UID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)

somebody = click.argument("who", metavar="UID|+NUMBER|PHONE_HASH")


@click.group()
def users() -> None:
    """Look at a person's account, write down what is kept of it, shut one out, or end it."""


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


async def _disable(config: Config, who: str, *, disabled: bool) -> tuple[int, bool]:
    async with opened_database(config) as db:
        uid = await _uid(config, db, who)
        return uid, await set_disabled(db, uid, disabled=disabled, now=now_ms())


async def _dry_run(config: Config, who: str) -> tuple[int, dict[str, int]]:
    """Who is meant, and what would go."""
    async with opened_database(config) as db:
        uid = await _uid(config, db, who)
        return uid, await _leaving(db, await _keys(config, db)).dry_run(uid)


async def _delete(config: Config, uid: int) -> None:
    async with opened_database(config) as db:
        await _leaving(db, await _keys(config, db)).leave(uid)


async def _export(config: Config, who: str) -> None:
    async with opened_database(config) as db:
        uid = await _uid(config, db, who)
        async for piece in Export(db=db, keys=await _keys(config, db), clock=now_ms).pieces(uid):
            click.echo(piece, nl=False)


def _leaving(db: Database, keys: KeyRing) -> AccountDeletion:
    # A server that runs looks for files every few seconds.
    return AccountDeletion(db=db, keys=keys, wake_retention=lambda: None, clock=now_ms)


async def _keys(config: Config, db: Database) -> KeyRing:
    return open_key_ring(config.data_dir / KEY_RING, sealed=await table.find_phone_cipher(db))


async def _uid(config: Config, db: Database, who: str) -> int:
    """Who is meant. Raises CannotRun, KeyRingError."""
    uid: int | None
    if UID.fullmatch(who):
        user = await table.find(db, int(who))
        uid = user.uid if user else None
    elif E164.fullmatch(who) or is_phone_hash(who):
        uid = await _uid_of_phone(config, db, phone_hash(who) if who.startswith("+") else who)
    else:
        raise CannotRun("name a person by uid, by number with its plus sign, or by the 64 hex digits of its hash")
    if uid is None:
        raise CannotRun("there is no such person")
    return uid


async def _uid_of_phone(config: Config, db: Database, hashed: str) -> int | None:
    sealed = await table.find_phone_cipher(db)
    if sealed is None:
        return None
    return await find_by_phone(db, open_key_ring(config.data_dir / KEY_RING, sealed=sealed), hashed)


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
