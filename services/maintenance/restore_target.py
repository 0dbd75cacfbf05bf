# SPDX-License-Identifier: Apache-2.0
"""Where a backup's database is restored to: loaded beside what is there, checked, then swapped in or removed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiofiles
import aiofiles.os

from models import fault, private_files
from models.db import engine
from models.db.engine import Location
from models.db.mysql import copy as mysql_copy
from models.db.mysql import table_sets as mysql_tables
from models.db.mysql.connection import MysqlLocation
from models.db.sqlite import copy as sqlite_copy
from services.maintenance.manifest import (
    DATABASE,
    DUMP,
    FileFacts,
    Manifest,
    Unusable,
    copy_file,
    facts,
)

SUFFIX = ".restoring"
LOG_ENDINGS = ("", "-wal", "-shm")

Say = Callable[[str], None]


class RestoreTarget(Protocol):
    """One way to restore a database. Two implementations: a file beside another, tables beside others."""

    @property
    def location(self) -> Location:
        """Where it can be opened once it is loaded."""

    async def check_free(self, *, force: bool) -> bool:
        """Whether the target is empty. Raises Unusable when it is in use."""

    async def load(self, folder: Path, manifest: Manifest, say: Say) -> None:
        """Load the database of the backup in this folder, and migrate it."""

    async def finish(self) -> None:
        """Skip the ids that clients may know from after the backup, and make it durable."""

    def set_aside(self) -> list[str]:
        """Rename what is there; returns the new names."""

    def take_place(self) -> None:
        """Stand where the server looks."""

    async def undo(self) -> None:
        """Remove what was loaded and bring back what was there."""


def restore_target(location: Location, mark: Path, now: int) -> RestoreTarget:
    """`mark` is the file that keeps servers from starting; `now` (milliseconds) becomes part of the names set aside."""
    return MysqlTarget(location, mark, now) if isinstance(location, MysqlLocation) else SqliteTarget(location, now)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SqliteTarget:
    """A SQLite file, loaded beside the one that it replaces."""

    place: Path
    now: int

    @property
    def location(self) -> Path:
        return restoring_path(self.place)

    async def check_free(self, *, force: bool) -> bool:  # noqa: ARG002 - who owns the directory has the file
        return not await aiofiles.os.path.exists(self.place)

    async def load(self, folder: Path, manifest: Manifest, say: Say) -> None:
        say("database")
        await self.undo()
        await asyncio.to_thread(copy_verified, folder / DATABASE, self.location, _facts(manifest, DATABASE))
        await engine.bring_up_to_date(self.location)

    async def finish(self) -> None:
        await asyncio.to_thread(sqlite_copy.skip_ids, self.location)
        await asyncio.to_thread(sqlite_copy.seal, self.location)

    def set_aside(self) -> list[str]:
        # SQLite would replay a log that is left beside another database.
        return [name for ending in LOG_ENDINGS for name in set_aside(self.place, self.now, ending)]

    def take_place(self) -> None:
        self.location.rename(self.place)

    async def undo(self) -> None:
        for ending in (*LOG_ENDINGS, "-journal"):
            with suppress(FileNotFoundError):
                await aiofiles.os.unlink(self.location.with_name(self.location.name + ending))


class MysqlTarget:
    """The tables of a MySQL database; those that were there are renamed while it is loaded.

    A server would see the half-loaded tables, so the mark exists from the first change on. It holds the moment that
    names the old tables.
    """

    def __init__(self, location: MysqlLocation, mark: Path, now: int) -> None:
        self.location = location
        self._mark = mark
        self._now = now
        self._was_marked = mark.exists()
        self._aside: list[str] = []

    async def check_free(self, *, force: bool) -> bool:
        others = await mysql_tables.list_others(self.location)
        if force and others:
            raise Unusable(
                f"{self.location} is in use by {len(others)} connections from {', '.join(sorted(set(others)))}:"
                " stop every server first"
            )
        return not await mysql_tables.list_tables(self.location)

    async def load(self, folder: Path, manifest: Manifest, say: Say) -> None:
        said = _facts(manifest, DUMP)
        if await asyncio.to_thread(facts, folder / DUMP) != said:
            raise Unusable(f"{folder / DUMP} is damaged: it is not what the manifest says")
        await self._put_back()
        await asyncio.to_thread(private_files.replace, self._mark, str(self._now))
        tables = await mysql_tables.list_tables(self.location)
        await mysql_tables.set_aside(self.location, tables, self._now)
        self._aside = [mysql_tables.aside_name(name, self._now) for name in tables]
        fault.point("set_aside")
        await asyncio.to_thread(
            mysql_copy.load, self.location, folder / DUMP, lambda done: say(f"database {done}/{said.bytes} bytes")
        )
        await engine.bring_up_to_date(self.location)

    async def finish(self) -> None:
        await mysql_tables.skip_ids(self.location)

    def set_aside(self) -> list[str]:
        return [f"table {name}" for name in self._aside]

    def take_place(self) -> None:
        """Nothing to do: they were loaded in place."""

    async def undo(self) -> None:
        await self._put_back()
        # After an earlier run that was cut off, the key ring may not fit the database: the mark stays.
        if not self._was_marked:
            with suppress(FileNotFoundError):
                await aiofiles.os.unlink(self._mark)

    async def _put_back(self) -> None:
        """Undo what this run, or an earlier one that was cut off, has changed."""
        with suppress(FileNotFoundError, ValueError):
            async with aiofiles.open(self._mark, encoding="ascii") as mark:
                moment = int(await mark.read())
            await mysql_tables.put_back(self.location, moment)


def restoring_path(path: Path) -> Path:
    """The temporary path beside a file that is restored."""
    return path.with_name(path.name + SUFFIX)


def copy_verified(source: Path, target: Path, said: FileFacts) -> None:
    """Copy one file of a backup. Raises Unusable when it is not what its manifest says."""
    if copy_file(source, target) != said:
        raise Unusable(f"{source} is damaged: it is not what the manifest says")


def set_aside(path: Path, now: int, ending: str = "") -> list[str]:
    """Rename the file with this ending if it exists; returns the new name, or nothing."""
    old = path.with_name(path.name + ending)
    if not old.exists():
        return []
    return [str(old.rename(path.with_name(f"{path.name}.before-{now}{ending}")))]


def _facts(manifest: Manifest, name: str) -> FileFacts:
    """Raises Unusable for a backup of another engine."""
    if name not in manifest.files:
        there, here = ("a SQLite file", "a server") if name == DUMP else ("a server", "a SQLite file")
        raise Unusable(f"the backup is of {there}, and database.url names {here}")
    return manifest.files[name]
