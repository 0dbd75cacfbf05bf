# SPDX-License-Identifier: Apache-2.0
"""Which engine a `database.url` names, and the two things that are done to either: bring it up to date, open it."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from models.db.database import Database
from models.db.migration_steps import Progress
from models.db.mysql import migrate as mysql_migrate
from models.db.mysql import server_settings as mysql_server
from models.db.mysql.connection import Lost, MysqlLocation
from models.db.mysql.engine import MySqlDatabase
from models.db.sqlite import migrate
from models.db.sqlite.engine import SqliteDatabase

log = logging.getLogger("glimpse.database")

SQLITE = "sqlite:///"
MYSQL = "mysql"
MYSQL_PORT = 3306
START_SECONDS = 30.0
"""A database server that starts together with this one, as after a reboot, is up by then."""
START_PAUSE_SECONDS = 1.0
EXPECTED = f"must be {SQLITE} and a path, or {MYSQL}://user:password@host:port/name"
OPTIONS = {"ssl_ca", "ssl_cert", "ssl_key", "unix_socket", "pool_size"}
MOST_CONNECTIONS = 1000

Location = Path | MysqlLocation
"""A SQLite file, or a database on a MySQL-protocol server."""


def parse_url(url: str) -> Location:
    """What `sqlite:///path` or `mysql://user:password@host:port/name?ssl_ca=file` names.

    User, password and name may be percent-encoded. Raises ValueError, whose text holds nothing of the URL.
    """
    if url.startswith(SQLITE) and url != SQLITE:
        return Path(url.removeprefix(SQLITE))
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may hold the password
        raise ValueError(EXPECTED) from None
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme != MYSQL or not parts.hostname or not parts.username or not name or "/" in name:
        raise ValueError(EXPECTED)
    try:
        port = parts.port or MYSQL_PORT
    except ValueError:
        raise ValueError(EXPECTED) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - OPTIONS:
        raise ValueError(f"has an option that there is not: {', '.join(sorted(unknown))}")
    return MysqlLocation(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        name=name,
        pool_size=_pool_size(options.pop("pool_size", "10")),
        **options,
    )


def _pool_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_CONNECTIONS):
        raise ValueError(f"pool_size must be 1 to {MOST_CONNECTIONS}")
    return int(text)


async def bring_up_to_date(location: Location) -> Progress:
    """Run the migrations that the database lacks, in whatever process is first. Waits half a minute for a server.

    Raises SchemaTooNew before anything is changed, Busy, DatabaseFull, DatabaseError.
    """
    if isinstance(location, Path):
        return await asyncio.to_thread(partial(migrate.run, location))
    for warning in await _when_there(location):
        log.warning("the database server is not set up as it should be", extra={"warning": warning})
    return await mysql_migrate.run(location)


async def _when_there(location: MysqlLocation) -> list[str]:
    loop = asyncio.get_running_loop()
    until = loop.time() + START_SECONDS
    while True:
        try:
            return await mysql_server.check(location)
        except Lost as error:
            if loop.time() >= until:
                raise Lost(f"{location} cannot be reached: {error.cause}") from error
            log.warning("waiting for the database", extra={"database": str(location), "error": error.cause})
        await asyncio.sleep(START_PAUSE_SECONDS)


async def inspect(location: Location) -> Progress:
    """What `bring_up_to_date` would do; changes nothing. Raises SchemaTooNew, Busy, DatabaseError."""
    if isinstance(location, MysqlLocation):
        return await mysql_migrate.inspect(location)
    return await asyncio.to_thread(partial(migrate.inspect, location))


def open_database(location: Location, beside: Callable[[], bool] = lambda: False) -> Database:
    """The database, whose schema is up to date; a server is asked at the first statement. Raises DatabaseError.

    `beside` tells whether another process serves from the same file now.
    """
    if isinstance(location, MysqlLocation):
        return MySqlDatabase(location)
    return SqliteDatabase(location, beside=beside)
