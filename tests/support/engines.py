# SPDX-License-Identifier: Apache-2.0
"""The databases that tests run on: SQLite, and MariaDB where `mariadbd` is installed.

A test that asks for the fixture `engine`, or whose server is in a `new_folder` (root conftest), runs once on each;
any other runs on SQLite. Whoever needs the database of a server asks `database_of(data_dir)`: the same each time, on
the engine of the test under way.
"""

import asyncio
import atexit
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import apsw
import pytest
from pymysql.cursors import Cursor
from pymysql.err import OperationalError

from models.db.database import Database
from models.db.engine import bring_up_to_date, open_database, parse_url
from models.db.mysql.connection import MysqlLocation
from tests.support import mariadb
from tests.support.mariadb import MariaDB

NAMES = ["sqlite", "mariadb"] if mariadb.installed() else ["sqlite"]
BUSY_MILLISECONDS = 5000
DEADLOCK = 1213

ON_SQLITE = pytest.mark.only_on("sqlite")
ON_MARIADB = pytest.mark.only_on("mariadb")
NEEDS_MARIADBD = pytest.mark.skipif("mariadb" not in NAMES, reason="no mariadbd is installed (make test-deps)")
"""For tests of what one engine alone has, or of what is the same on each, whose fixtures follow the engine."""

NewFolder = Callable[[str], Path]
"""Makes a temporary folder whose name begins so."""


class Engine(Protocol):
    """One database of its own, on one engine."""

    name: str
    url: str
    """As `database.url` wants it."""

    def migrate(self) -> None:
        """Bring it to the schema of this version, if it has none."""

    async def open(self) -> Database:
        """Migrate it and open it as a server does; the caller closes it."""

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Every row of a statement in SQL that both engines know, on a connection of its own; parameters are `?`."""

    def execute(self, sql: str, *values: object) -> int:
        """Run and commit a statement without foreign keys in its way; how many rows it changed."""

    def damages(self) -> list[str]:
        """What the engine finds wrong in its own tables and indexes."""

    def files(self) -> list[Path]:
        """Where all that it was ever told may be found on the disk."""

    def sockets(self) -> set[str]:
        """The connections to its server on this machine, as `/proc/…/fd` calls them."""

    def copy_to(self, other: "Engine") -> None:
        """Make `other`, which is empty, hold what this one holds. Nobody may be writing."""

    def remove(self) -> None:
        """Drop it. Nobody may have it open in a transaction."""


class SqliteEngine:
    """A SQLite file."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def migrate(self) -> None:
        if not self.path.exists():
            self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
            copyfile(_sqlite_template(), self.path)
            self.path.chmod(0o600)

    async def open(self) -> Database:
        self.migrate()
        return open_database(parse_url(self.url))

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            return connection.execute(sql, values).fetchall()

    def execute(self, sql: str, *values: Any) -> int:
        with closing(apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            connection.execute(sql, values)
            return connection.changes()

    def damages(self) -> list[str]:
        return [found for (found,) in self.rows("PRAGMA integrity_check") if found != "ok"]

    def files(self) -> list[Path]:
        return list(self.path.parent.glob(f"{self.path.name}*"))

    def sockets(self) -> set[str]:
        return set()

    def copy_to(self, other: Engine) -> None:
        assert isinstance(other, SqliteEngine)
        copyfile(self.path, other.path)

    def remove(self) -> None:
        """It goes with its directory."""


class MariaEngine:
    """A database of a MariaDB server, asked as its own user."""

    name = "mariadb"

    def __init__(self, url: str) -> None:
        location = parse_url(url)
        assert isinstance(location, MysqlLocation)
        self.url, self.location = url, location

    @classmethod
    def new(cls, number: int) -> "MariaEngine":
        """An empty database of the server that the tests of this process share."""
        _administer(f"CREATE DATABASE glimpse_{number}")
        return cls(mariadb_server().url(f"glimpse_{number}"))

    def migrate(self) -> None:
        if not self._tables():
            self._run(_maria_template())

    async def open(self) -> Database:
        self.migrate()
        return open_database(self.location)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(_pyformat(sql), values)
            return list(cursor.fetchall())

    def execute(self, sql: str, *values: object) -> int:
        with self._cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            while True:
                try:
                    return int(cursor.execute(_pyformat(sql), values))
                except OperationalError as error:
                    if error.args[0] != DEADLOCK:  # with a server that writes meanwhile, and went first
                        raise

    def damages(self) -> list[str]:
        said = self.rows(f"CHECK TABLE {', '.join(self._tables())}")
        return [f"{table}: {text}" for table, _, kind, text in said if kind != "status"]

    def files(self) -> list[Path]:
        data, database = mariadb_server().directory / "data", self.location.name
        tables = ", ".join(f"{database}.{table}" for table in self._tables())
        _administer(f"FLUSH TABLES {tables} FOR EXPORT")
        return [*(data / database).glob("*.ibd"), *data.glob("ib_logfile*"), *data.glob("ibdata*")]

    def sockets(self) -> set[str]:
        connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {f"socket:[{found[9]}]" for found in connections if found[2].endswith(f":{self.location.port:04X}")}

    def copy_to(self, other: Engine) -> None:
        assert isinstance(other, MariaEngine)
        source, tables = self.location.name, self._tables()
        copies = [f"INSERT INTO {table} SELECT * FROM {source}.{table}" for table in tables]
        other._run(";".join([*self.schema(), *copies]))

    def remove(self) -> None:
        self._run(f"SET lock_wait_timeout = 20; DROP DATABASE {self.location.name}")

    def schema(self) -> list[str]:
        """What makes the same tables in another database."""
        made = [self.rows(f"SHOW CREATE TABLE {table}")[0][1] for table in self._tables()]
        return ["SET foreign_key_checks = 0", *made]

    def _tables(self) -> list[str]:
        return [f"`{table}`" for (table,) in self.rows("SHOW TABLES")]

    def _run(self, statements: str) -> None:
        with self._cursor() as cursor:
            mariadb.run(cursor, statements)

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        place = {name: getattr(self.location, name) for name in ("host", "port", "user", "password")}
        made = mariadb.connect(**place, database=self.location.name)
        with closing(made) as connection, connection.cursor() as cursor:
            yield cursor


@dataclass
class _UnderWay:
    """The engine of the test under way, the databases that there are by data directory, and how many were made."""

    name: str = "sqlite"
    databases: dict[Path, Engine] = field(default_factory=dict)
    made: int = 0


_now = _UnderWay()


def use(name: str) -> None:
    """From here on a test runs that is meant for this engine."""
    _now.name = name


def database_of(data_dir: Path) -> Engine:
    """The database of the server that has, or would have, this data directory. Without tables until `migrate`."""
    place = data_dir.absolute()
    if place not in _now.databases:
        _now.made += 1
        _now.databases[place] = (
            SqliteEngine(place / "glimpse.db") if _now.name == "sqlite" else MariaEngine.new(_now.made)
        )
    return _now.databases[place]


def engine_at(url: str) -> Engine:
    """The database that `Engine.url` named in another process."""
    return SqliteEngine(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:") else MariaEngine(url)


def settings_of(data_dir: Path) -> dict[str, Any]:
    """What the configuration of that server says about its database. Nothing for SQLite, where it is the default."""
    database = database_of(data_dir)
    assert database.name == _now.name, "a server that several tests share is in a `new_folder`"
    return {} if isinstance(database, SqliteEngine) else {"database": {"url": database.url}}


def environment_of(data_dir: Path) -> dict[str, str]:
    """As `settings_of`, for the environment."""
    settings = settings_of(data_dir)
    return {"GLIMPSE_DATABASE__URL": settings["database"]["url"]} if settings else {}


def release(folder: Path) -> None:
    """Drop the databases of all data directories in a folder."""
    for place in [place for place in _now.databases if place.is_relative_to(folder.absolute())]:
        _now.databases.pop(place).remove()


@cache
def mariadb_server() -> MariaDB:
    """The server that the tests of this process share. Its watcher removes it when this process ends."""
    return MariaDB()


@cache
def _sqlite_template() -> Path:
    folder = TemporaryDirectory(prefix="glimpse-template-")
    path = Path(folder.name) / "template.db"
    _wait(bring_up_to_date(parse_url(f"sqlite:///{path}")))
    atexit.register(folder.cleanup)
    return path


@cache
def _maria_template() -> str:
    """What makes a migrated database of an empty one in a few hundredths of a second."""
    template = MariaEngine.new(0)
    _wait(bring_up_to_date(parse_url(template.url)))
    rows = ", ".join(map(str, template.rows("SELECT step, statement FROM migrations")))
    return ";".join([*template.schema(), f"INSERT INTO migrations (step, statement) VALUES {rows}"])


def _administer(statements: str) -> None:
    with closing(mariadb_server().connect()) as connection, connection.cursor() as cursor:
        mariadb.run(cursor, statements)


def _pyformat(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _wait(work: Coroutine[Any, Any, object]) -> None:
    """Run it to its end, whether or not an event loop runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
