# SPDX-License-Identifier: Apache-2.0
"""One connection to a server that is set up oddly, is no database server, or hangs up."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pymysql.cursors import Cursor

from models.db.database import DatabaseError
from models.db.mysql.connection import Connection, Lost, MysqlLocation, connect, is_open, run_text
from tests.support import mariadb
from tests.support.engines import NEEDS_MARIADBD, mariadb_server

SECRET = "not-for-them"
FOX = "\N{FOX FACE}"
HANG_UP = struct.pack("ii", 1, 0)
WELCOME = bytes([0, 0, 0, 2, 0, 0, 0])
CAPABILITIES = 0x8_0000 | 0x8000 | 0x2000 | 0x0200 | 0x0008 | 0x0001

pytestmark = [
    pytest.mark.anyio,
    NEEDS_MARIADBD,
]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@pytest.fixture
def cursor() -> Iterator[Cursor]:
    with contextlib.closing(mariadb_server().connect()) as connection, connection.cursor() as cursor:
        yield cursor


def location(**differing: Any) -> MysqlLocation:
    there = MysqlLocation("127.0.0.1", mariadb_server().port, mariadb.USER, mariadb.PASSWORD, "information_schema")
    return replace(there, **differing)


async def ask(connection: Connection, text: str) -> tuple[Any, ...]:
    rows, _ = await run_text(connection, text, 5)
    return rows[0]


@pytest.mark.parametrize("wants", [True, False])
def test_nothing_is_left_to_what_the_server_does_with_new_connections(cursor: Cursor, wants: bool) -> None:
    async def look() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        connection = await connect(location(), autocommit=wants)
        try:
            return (
                await ask(connection, "SELECT @@autocommit, @@sql_select_limit > 1"),
                await ask(connection, f"SELECT '{FOX}'"),
            )
        finally:
            connection.close()

    cursor.execute(
        f"SET GLOBAL init_connect = 'SET NAMES utf8mb3, autocommit = {int(not wants)}, sql_select_limit = 1'"
    )
    try:
        assert asyncio.run(look()) == ((int(wants), 1), (FOX,))
    finally:
        cursor.execute("SET GLOBAL init_connect = ''")


@pytest.mark.parametrize("password", ["pässwört", "パスワード€"])
def test_a_password_may_have_any_letters(cursor: Cursor, password: str) -> None:
    async def look() -> tuple[Any, ...]:
        connection = await connect(location(user="letters", password=password))
        try:
            return await ask(connection, "SELECT 1")
        finally:
            connection.close()

    cursor.execute("CREATE USER letters@127.0.0.1 IDENTIFIED BY %s", (password,))
    try:
        assert asyncio.run(look()) == (1,)
    finally:
        cursor.execute("DROP USER letters@127.0.0.1")


def greeting(plugin: bytes, version: bytes = b"10.11.6-MariaDB") -> bytes:
    """What a server says first.

    Source: https://mariadb.com/docs/server/reference/clientserver-protocol/1-connecting/connection#initial-handshake-packet
    """
    low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    head = b"\x0a" + version + b"\0" + struct.pack("<I8sxHBHHB10x", 1, b"12345678", low, 45, 2, high, 21)
    return packet(0, head + b"123456789012\0" + plugin + b"\0")


def packet(number: int, content: bytes) -> bytes:
    return struct.pack("<I", len(content))[:3] + bytes([number]) + content


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """The port of a server that talks so with whoever comes, and hangs up."""
    talks = []

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait([talk for talk in talks if talk])


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_password_is_not_shown_to_a_server_that_asks_for_it_in_clear(at_once: bool) -> None:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_clear_password" if at_once else b"mysql_native_password"))
        if not at_once:
            heard.extend(await reader.read(1000))
            writer.write(packet(2, b"\xfemysql_clear_password\0"))
        heard.extend(await reader.read(1000))

    async with listening(talk) as port:
        with pytest.raises(DatabaseError) as refused:
            await connect(location(port=port, password=SECRET))
        assert "clear text" in refused.value.cause
    assert SECRET.encode() not in heard


async def test_a_server_that_asks_for_a_file_of_ours_does_not_get_it(tmp_path: Path) -> None:
    file, heard = tmp_path / "key", bytearray()
    file.write_text(SECRET)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password"))
        heard.extend(await reader.read(1000))
        writer.write(packet(2, WELCOME))
        heard.extend(await reader.read(1000))
        writer.write(packet(1, b"\xfb" + bytes(file)))  # as if that statement had been LOAD DATA LOCAL
        while said := await reader.read(1000):
            heard.extend(said)

    async with listening(talk) as port:
        with pytest.raises(DatabaseError) as refused:
            await connect(location(port=port))
        assert "no database server" in refused.value.cause
    assert b"SET NAMES" in heard
    assert SECRET.encode() not in heard


@pytest.mark.parametrize(
    "said",
    [b"\0\0\0\0", packet(0, b"\x0a"), greeting(b"x", version=b"strange")],
    ids=["nothing", "too-short", "strange-version"],
)
async def test_what_is_no_database_server_is_told_as_such(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read(1000)

    async with listening(talk) as port:
        with pytest.raises(DatabaseError) as refused:
            await connect(location(port=port))
    assert "no database server" in refused.value.cause


async def test_why_a_server_cannot_be_reached_is_told() -> None:
    with pytest.raises(Lost) as refused:
        await connect(location(unix_socket="/nowhere/socket"))
    assert "No such file" in refused.value.cause


class ResettingProxy:
    """Passes on what is said to a server and back, until it cuts all connections off."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onwards = await asyncio.open_connection("127.0.0.1", mariadb_server().port)
        self._writers += [writer, onwards]
        await asyncio.gather(self._pass_on(reader, onwards), self._pass_on(there, writer), return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(65_536):
            writer.write(said)

    def reset(self) -> None:
        while self._writers:
            writer = self._writers.pop()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HANG_UP)
            writer.transport.abort()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_was_reset_is_not_used_again(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def look() -> None:
        proxy = ResettingProxy()
        async with listening(proxy.talk) as port:
            connection = await connect(location(port=port))
            assert is_open(connection)
            proxy.reset()
            await asyncio.sleep(0.1)
            assert not is_open(connection)
            with pytest.raises(Lost):
                await run_text(connection, "SELECT 1", 5)
            connection.close()

    run(look())
