# SPDX-License-Identifier: Apache-2.0
"""How a command comes by what a server keeps: its settings, its database, its images; and how it says why not."""

import json
import os
import pwd
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from config.load import Config, ConfigError, load
from models.clock import SteadyClock
from models.db import migration_steps
from models.db.database import Database, DatabaseError
from models.db.engine import inspect, open_database
from models.db.tables import clock_sightings
from models.errors import AppError, StorageError
from models.ids import MAX_ID
from models.keys import KeyRingError
from ops.config import config_file
from services.maintenance.manifest import Unusable
from storage.base import BlobStore
from storage.bucket import Bucket
from storage.ownership import NotYours
from storage.places import ImagePlace, open_store

Command = TypeVar("Command", bound=Callable[..., Any])

_data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where everything is kept (data_dir)."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
limit = click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")


class CannotRun(click.ClickException):
    """The command could not begin or go on; the exit status is 2."""

    exit_code = 2


def of_a_server(command: Command) -> Command:
    """Give a command the options that say which server it looks after: `file` and `data_dir`."""
    return config_file(_data_dir(command))


def before(those: str) -> Callable[[Command], Command]:
    """What gives a command the option by which a list goes on, `before`: an id."""
    return click.option("--before", type=click.IntRange(1, MAX_ID), default=MAX_ID, help=f"Only {those}.")


def settings(file: Path | None, data_dir: Path | None) -> Config:
    """The configuration, as the server would read it. Raises CannotRun."""
    try:
        return load(file, data_dir=data_dir)
    except ConfigError as error:
        raise CannotRun("; ".join(error.problems)) from None


@contextmanager
def explained() -> Iterator[None]:
    """Say in one line why a command cannot run: no traceback for what an operator can mend."""
    try:
        yield
    except DatabaseError as error:
        raise CannotRun(f"the database: {error.cause or error}") from None
    except StorageError as error:
        raise CannotRun(f"the images: {error.__cause__ or error}") from None
    except (migration_steps.SchemaTooNew, KeyRingError, NotYours, Unusable, AppError) as error:
        raise CannotRun(str(error)) from None
    except OSError as error:
        raise CannotRun(f"{error.filename or 'the disk'}: {error.strerror}") from None


@asynccontextmanager
async def opened_database(config: Config) -> AsyncIterator[Database]:
    """The database of a server that may be running. Raises CannotRun, DatabaseError, SchemaTooNew."""
    location = config.database_location
    if isinstance(location, Path) and not location.is_file():
        raise CannotRun(f"there is no database at {location}")
    if (await inspect(location)).pending:
        raise CannotRun(f"{location} has an older schema than this program; run: python -m ops migrate")
    db = open_database(location)
    try:
        yield db
    finally:
        await db.close()


async def steady_clock(db: Database) -> SteadyClock:
    """The time as the server takes it: a clock that has jumped is not believed. Raises DatabaseError."""
    clock, last = SteadyClock(), await clock_sightings.find(db)
    if last is not None:
        clock.begin(last)
    return clock


def operator() -> str:
    """Who types this command, for the record: the user of the system, or the one who became root by sudo."""
    try:
        return f"ops, {os.environ.get('SUDO_USER') or pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"ops, user {os.getuid()}"


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Database, BlobStore]]:
    """The database and the images of a server that may be running. Raises as `opened_database` does."""
    async with opened_database(config) as db, opened_images(config.image_place) as store:
        yield db, store


@asynccontextmanager
async def opened_images(place: ImagePlace) -> AsyncIterator[BlobStore]:
    """The images of a server that may be running. Raises CannotRun, StorageError."""
    # An empty directory is what is left where a disk is not mounted, and every image would seem lost.
    if place.bucket is None and (not place.directory.is_dir() or not any(place.directory.iterdir())):
        raise CannotRun(f"there are no images at {place.directory}: is its disk mounted?")
    if place.bucket is not None and not await Bucket(place.bucket).is_used():
        raise CannotRun("no server has used this bucket: is it the right one, with the right storage.s3.prefix?")
    store = open_store(place)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def progress(task: str) -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is being done, if that is a terminal; the text after `task` can be changed."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status(task) as status:
        yield lambda text: status.update(f"{task}: {text}")


def print_json(document: Mapping[str, object]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def when(milliseconds: int | None) -> str:
    """A moment as an operator reads it, in UTC; "-" for none."""
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
