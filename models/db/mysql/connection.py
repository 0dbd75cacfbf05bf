# SPDX-License-Identifier: Apache-2.0
"""One connection to a MySQL-protocol server: how it is opened, and how a statement runs on it. No retry here."""

import asyncio
import json
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, CR, FIELD_TYPE
from pymysql.converters import decoders
from pymysql.err import MySQLError, OperationalError

from models.db.database import (
    Busy,
    Changed,
    Compiled,
    DatabaseError,
    DatabaseFull,
    Row,
    Statement,
    UniqueViolation,
    Value,
)

CONNECT_SECONDS = 5.0
"""As long as a request waits for the database at all."""
STATEMENT_SECONDS = 10.0
"""What the server lets a statement of a request run: all of them use an index."""
# The client gives up only after the server should have: a statement that nobody waits for runs on there.
MARGIN_SECONDS = 2.0
LOCK_WAIT_SECONDS = 3
"""Less than the patience of a write: it has time to be run again after it."""
SQL_MODE = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
# Sums come as DECIMAL, and every column that is summed holds integers.
DECODERS = decoders | {FIELD_TYPE.DECIMAL: int, FIELD_TYPE.NEWDECIMAL: int}

# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
DUPLICATE = 1062
UNKNOWN_VARIABLE = 1193
# The transaction has ended without a trace: deadlock or certification failure, a lock waited for too long, a row
# changed since it was read, a statement interrupted or killed with its session.
ROLLED_BACK = {1213, 1205, 1020, 1317, 1927}
# The server is going, not there yet, full of connections, or a cluster's node that has no part in it just now.
AWAY = {1040, 1047, 1053, 1203, 1226, CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR}
AWAY |= {CR.CR_SERVER_LOST, 2055, 4031}
TOO_SLOW = {1969, 3024}
FULL = {1021, 1114}
WRITE_FAILURES = {3, 1026, 1030}
"""Of the disk; the text says which, and 28 is ENOSPC."""


class Lost(Busy):
    """The transaction or the connection has ended before a commit was asked for: whoever asks again may have it."""


@dataclass(frozen=True, slots=True)
class MysqlLocation:
    """Where a database is, and who asks. With `ssl_ca` (a file, or "system") the server must prove its name by TLS.

    `pool_size` is how many connections one process may have for reads, and how many for writes.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    unix_socket: str = ""
    ssl_ca: str = ""
    ssl_cert: str = ""
    ssl_key: str = ""
    pool_size: int = 10

    def __str__(self) -> str:
        where = self.unix_socket or f"{self.host}:{self.port}"
        return f"the database {self.name} at {where}"


class _Cursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql has no types
    """aiomysql's, which asks for no notes of the server: what matters is an error in its strict mode."""

    async def _show_warnings(self, conn: object) -> None:
        """A round trip more, and a Python warning for "this table exists already"."""


class Connection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql has no types
    """aiomysql's, which neither falls back to plain text where TLS was asked for, nor shows its password there, nor
    runs two statements as one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server does not speak TLS")
        self._refuse_clear_text(self._server_auth_plugin)

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        self._refuse_clear_text(plugin_name.decode("latin1"))
        return await super()._process_auth(plugin_name, auth_packet)

    def _write_bytes(self, data: bytes) -> None:
        if self._writer.is_closing():  # uvloop would say so by a RuntimeError
            raise OperationalError(CR.CR_SERVER_LOST, "the server has hung up")
        super()._write_bytes(data)

    def _refuse_clear_text(self, plugin: str) -> None:
        if plugin == "mysql_clear_password" and not (self._ssl_context or self._unix_socket):
            raise OperationalError(CR.CR_AUTH_PLUGIN_ERR, "the server asks for the password in clear text, without TLS")


async def connect(
    location: MysqlLocation, *, autocommit: bool = True, statement_seconds: float = STATEMENT_SECONDS
) -> Connection:
    """A connection at READ COMMITTED, in strict mode; the server ends a statement after `statement_seconds`.

    Without `autocommit` its first statement begins a transaction. Raises Lost when the server cannot be had now,
    DatabaseError when it does not let this user in.
    """
    connection = Connection(
        host=location.host,
        port=location.port,
        unix_socket=location.unix_socket or None,
        user=location.user,
        password=location.password.encode().decode("latin1"),  # which aiomysql encodes by
        db=location.name,
        charset="utf8mb4",
        conv=DECODERS,
        client_flag=CLIENT.FOUND_ROWS,  # a row that an UPDATE finds counts, also when it says what stands there
        connect_timeout=CONNECT_SECONDS,
        autocommit=None,  # not by what the server said before its init_connect has run
        ssl=_tls(location),
    )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection._connect()  # noqa: SLF001 - what aiomysql.connect calls on a Connection of its own class
            await _set_up(connection, autocommit, statement_seconds)
    except (MySQLError, OSError) as error:
        connection.close()
        raise translated(error) from error
    except (struct.error, LookupError, ValueError, RuntimeError) as error:  # the last: it asks for a file of ours
        connection.close()
        raise DatabaseError("what answers there is no database server") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _tls(location: MysqlLocation) -> ssl.SSLContext | None:
    if not location.ssl_ca:
        return None
    context = ssl.create_default_context(cafile=None if location.ssl_ca == "system" else location.ssl_ca)
    if location.ssl_cert:
        context.load_cert_chain(location.ssl_cert, location.ssl_key or None)
    return context


async def _set_up(connection: Connection, autocommit: bool, statement_seconds: float) -> None:
    """Nothing is left to the server's settings: its `init_connect` may have changed any of these."""
    await connection.query(
        f"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci, sql_mode = '{SQL_MODE}', autocommit = {int(autocommit)},"
        f" sql_select_limit = {2**64 - 1}, innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}"
    )
    await connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    if not is_mariadb(connection):
        # MySQL can limit a SELECT alone; other statements end by the lock wait or the client's patience.
        await connection.query(f"SET SESSION max_execution_time = {int(statement_seconds * 1000)}")
        return
    await connection.query(f"SET SESSION max_statement_time = {statement_seconds}")
    try:
        # A node of a cluster answers a read when it has applied what was committed anywhere before.
        await connection.query("SET SESSION wsrep_sync_wait = 1")
    except OperationalError as error:
        if error.args[0] != UNKNOWN_VARIABLE:
            raise


def is_mariadb(connection: Connection) -> bool:
    return "MariaDB" in connection.get_server_info()


def is_open(connection: Connection) -> bool:
    """Whether the server has not hung up, as far as the socket tells."""
    # A connection that was reset never comes to its end; one with a last word of the server's has not come to it yet.
    reader, writer = connection._reader, connection._writer  # noqa: SLF001 - aiomysql's own pool asks them too
    return not (connection.closed or reader.eof_received or reader.exception() or writer.is_closing())


async def select(connection: Connection, statement: Statement, params: dict[str, Value], seconds: float) -> list[Row]:
    """Run one statement and take every row, within `seconds`.

    Raises DatabaseError and what is one, and TypeError for parameters that are not the statement's.
    """
    rows, _ = await _run(connection, statement, params, seconds)
    return rows


async def change(connection: Connection, statement: Statement, params: dict[str, Value], seconds: float) -> Changed:
    """Run one writing statement. Raises as `select` does."""
    _, changed = await _run(connection, statement, params, seconds)
    return changed


async def _run(
    connection: Connection, statement: Statement, params: dict[str, Value], seconds: float
) -> tuple[list[Row], Changed]:
    compiled = statement.sql("mysql")
    if params.keys() != compiled.required:
        raise TypeError(f"the parameters {sorted(params)} were given where {sorted(compiled.required)} belong")
    return await run_text(connection, _text(connection, compiled, params), seconds)


async def run_text(connection: Connection, text: str, seconds: float) -> tuple[list[Row], Changed]:
    """Run SQL text as it stands. A connection that does not answer within `seconds` is closed, and Busy raised."""
    try:
        async with asyncio.timeout(seconds):
            cursor = await connection.cursor(_Cursor)
            await cursor.execute(text)
            return list(cursor._rows or ()), Changed(cursor.rowcount, cursor.lastrowid or 0)  # noqa: SLF001 - all are here
    except TimeoutError as error:
        connection.close()
        raise Busy("the database has not answered in time") from error
    except (MySQLError, OSError) as error:
        raise translated(error) from error


def _text(connection: Connection, compiled: Compiled, params: dict[str, Value]) -> str:
    values = {}
    for name, value in (compiled.constants | params).items():
        kind = compiled.lists.get(name)
        values[name] = _literal(connection, value) if kind is None else _list(connection, str(value), kind)
    return compiled.text % values


def _literal(connection: Connection, value: Value) -> str:
    """A value as SQL text. Binary is written as hex digits, text by the server's own rules for escapes."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{connection.escape_string(value)}'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return repr(int(value)) if isinstance(value, int) else repr(value)


def _list(connection: Connection, value: str, kind: type) -> str:
    """The text of `IN (…)` for what `as_list` wrote. No list is empty in SQL; nothing is equal to NULL."""
    items = json.loads(value) or [None]
    if kind is tuple:
        return f"({','.join(_pair(*(item or (None, None))) for item in items)})"
    if kind is bytes:
        items = [item and bytes.fromhex(item) for item in items]
    return f"({','.join(_literal(connection, item) for item in items)})"


def _pair(first: int | None, second: int | None) -> str:
    return "(NULL,NULL)" if first is None or second is None else f"({first:d},{second:d})"


def code_of(error: DatabaseError) -> int | None:
    """The number that the server or the driver gave to what went wrong."""
    cause = error.__cause__
    return cause.args[0] if cause and cause.args and isinstance(cause.args[0], int) else None


def _words(error: Exception) -> str:
    """What happened as people read it: drivers put a number and a text into their errors."""
    if len(error.args) == 2 and isinstance(error, MySQLError):
        return f"{error.args[1]} (error {error.args[0]})"
    return f"{type(error).__name__}: {error}"


def translated(error: Exception) -> DatabaseError:
    """What the server or the driver said, in the words of the interface; values that a message may hold are cut."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    text = f"{type(error).__name__} {code}" if code == DUPLICATE else _words(error)
    if code == CR.CR_CONN_HOST_ERROR and error.__cause__:
        text += f": {error.__cause__}"
    if code == DUPLICATE:
        return UniqueViolation(text)
    if code in ROLLED_BACK or code in AWAY or not isinstance(error, MySQLError) or code == 0:
        return Lost(text)
    if code in TOO_SLOW:
        return Busy(text)
    if code in FULL or (code in WRITE_FAILURES and "28" in text):
        return DatabaseFull(text)
    return DatabaseError(text)
