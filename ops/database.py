# SPDX-License-Identifier: Apache-2.0
"""`python -m ops database`: moves a server from its SQLite file to a database server, and back."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from models import private_files
from models.clock import now_ms
from models.db.database import Database
from models.db.engine import Location, bring_up_to_date, inspect, open_database, parse_url
from models.db.mysql import table_sets
from models.db.mysql.connection import MysqlLocation
from models.db.sqlite import copy as sqlite_files
from ops.opening import CannotRun, as_json, explained, of_a_server, operator, print_json, progress, settings
from services.audit import record
from services.maintenance.database_copy import NOT_EMPTY, check_empty, copy_database
from storage.ownership import owned

Say = Callable[[str], None]


@click.group()
def database() -> None:
    """Move the database to a server of its own, or back into a file."""


@database.command()
@of_a_server
@click.option("--from", "source", required=True, metavar="FILE|URL", help="The SQLite file, or mysql://…")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The password for that URL.",
)
@as_json
def copy(file: Path | None, data_dir: Path | None, *, source: str, password_file: Path | None, as_json: bool) -> None:
    """Copy all of another database into the empty one that database.url names now.

    The server must be stopped. What is copied stays as it is. Exit status 0, or 2 when it could not run.
    """
    config = settings(file, data_dir)
    origin = _origin(source, password_file)
    with explained(), owned(config.data_dir), progress("Copying") as say:
        copied = asyncio.run(_copy(config.database_location, origin, say))
    if as_json:
        print_json({"rows": copied})
    else:
        click.echo(f"{sum(copied.values())} rows of {len(copied)} tables copied from {origin}")


def _origin(text: str, password_file: Path | None) -> Location:
    if "://" not in text:
        if not Path(text).is_file():
            raise CannotRun(f"there is no database at {text}")
        return Path(text)
    try:
        location = parse_url(text)
    except ValueError as error:
        raise CannotRun(f"--from {error}") from None
    if password_file and isinstance(location, MysqlLocation):
        return replace(location, password=password_file.read_text(encoding="utf-8").strip())
    return location


async def _copy(target: Location, origin: Location, say: Say) -> dict[str, int]:
    if (await inspect(origin)).pending:
        raise CannotRun(f"{origin} has an older schema than this program: start the server with it once")
    if isinstance(origin, MysqlLocation) and (others := await table_sets.list_others(origin)):
        raise CannotRun(f"{origin} is in use from {', '.join(sorted(set(others)))}: stop every server first")
    source = open_database(origin)
    try:
        if isinstance(target, MysqlLocation):
            return await _into_server(source, target, say)
        return await _into_file(source, target, say)
    finally:
        await source.close()


async def _into_server(source: Database, location: MysqlLocation, say: Say) -> dict[str, int]:
    found = await inspect(location)
    if found.version and found.pending:  # somebody's: it is not for us to migrate
        raise CannotRun(NOT_EMPTY)
    await bring_up_to_date(location)
    target = open_database(location)
    try:
        await check_empty(target)
        async with table_sets.unfinished(location):
            copied = await _rows(source, target, say)
            await table_sets.skip_ids(location)  # some that are gone from the source are still on phones
    finally:
        await target.close()
    return copied


async def _into_file(source: Database, path: Path, say: Say) -> dict[str, int]:
    """No server takes what was cut off for its database: the file has its name when it is whole."""
    draft = _draft_of(path)
    await bring_up_to_date(draft)
    target = open_database(draft)
    try:
        copied = await _rows(source, target, say)
    finally:
        await target.close()
    for finish in (sqlite_files.skip_ids, sqlite_files.seal):
        await asyncio.to_thread(partial(finish, draft))
    os.rename(draft, path)
    private_files.sync_directory(path.parent)
    return copied


def _draft_of(path: Path) -> Path:
    """Where the file is written; what is left of a copy that was cut off is gone."""
    if path.exists():
        raise CannotRun(f"there is a database at {path} already: move it away")
    draft = path.with_name(f"{path.name}.unfinished")
    for ending in ("", "-wal", "-shm"):
        draft.with_name(draft.name + ending).unlink(missing_ok=True)
    return draft


async def _rows(source: Database, target: Database, say: Say) -> dict[str, int]:
    copied = await copy_database(source, target, say)
    about = f"{sum(copied.values())} rows"
    await record(target, operator=operator(), act="database copy", about=about, now=now_ms())
    return copied
