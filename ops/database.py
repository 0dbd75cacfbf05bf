# SPDX-License-Identifier: Apache-2.0
"""`python -m ops database`: moves a server from its SQLite file to a database server."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from models.db.engine import bring_up_to_date, inspect, open_database
from models.db.mysql import table_sets
from models.db.mysql.connection import MysqlLocation
from ops.opening import CannotRun, as_json, explained, of_a_server, operator, print_json, progress, settings
from services.audit import record
from services.maintenance.database_copy import NOT_EMPTY, check_empty, copy_database
from storage.ownership import owned


@click.group()
def database() -> None:
    """Move the database to a server of its own."""


@database.command()
@of_a_server
@click.option(
    "--from", "source", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The SQLite file."
)
@as_json
def copy(file: Path | None, data_dir: Path | None, *, source: Path, as_json: bool) -> None:
    """Copy all of a SQLite file into the empty database that database.url names now.

    The server must be stopped. The file stays as it is. Exit status 0, or 2 when it could not run.
    """
    config = settings(file, data_dir)
    if not source.is_file():
        raise CannotRun(f"there is no database at {source}")
    with explained(), owned(config.data_dir), progress("Copying") as say:
        copied = asyncio.run(_copy(config, source, say))
    if as_json:
        print_json({"rows": copied})
    else:
        click.echo(f"{sum(copied.values())} rows of {len(copied)} tables copied from {source}")


async def _copy(config: Config, file: Path, say: Callable[[str], None]) -> dict[str, int]:
    location = config.database_location
    if not isinstance(location, MysqlLocation):
        raise CannotRun("database.url names no MySQL or MariaDB")
    if (await inspect(file)).pending:
        raise CannotRun(f"{file} has an older schema than this program: start the server with it once")
    found = await inspect(location)
    if found.version and found.pending:  # somebody's: it is not for us to migrate
        raise CannotRun(NOT_EMPTY)
    await bring_up_to_date(location)
    source, target = open_database(file), open_database(location)
    try:
        await check_empty(target)
        async with table_sets.unfinished(location):
            copied = await copy_database(source, target, say)
            await table_sets.skip_ids(location)  # some that are gone from the file are still on phones
            about = f"{sum(copied.values())} rows"
            await record(target, operator=operator(), act="database copy", about=about, now=now_ms())
    finally:
        await source.close()
        await target.close()
    return copied
