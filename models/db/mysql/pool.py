# SPDX-License-Identifier: Apache-2.0
"""A connection pool. aiomysql's own has no limit on waiting, and one slow connect holds up everybody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from models.db.database import Busy
from models.db.mysql.connection import Connection, is_open

KEEP_SECONDS = 300.0
"""A connection is opened anew after that, so that a changed address or a new primary is found."""


class Pool:
    """At most `size` connections at once; `connect` opens one. Belongs to one event loop."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, size: int, wait_seconds: float) -> None:
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._free = asyncio.Semaphore(size)  # taken before a connection is looked for: nobody opens one too many
        self._idle: list[tuple[float, Connection]] = []
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the length of a block. After a block that raises it is closed, since its state is unknown.

        Raises Busy when none becomes free in time, and what `connect` raises.
        """
        await self._take_turn()
        try:
            opened_at, connection = self._kept() or (_now(), await self._connect())
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._keep(opened_at, connection)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close idle connections; those in use are closed when they are returned."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()

    async def _take_turn(self) -> None:
        if self._free.locked():
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await self._free.acquire()
            except TimeoutError as error:
                raise Busy("every connection to the database is in use") from error
        else:
            await self._free.acquire()
        if self._closed:
            self._free.release()
            raise Busy("the database is closing")

    def _kept(self) -> tuple[float, Connection] | None:
        """The connection that was used last, if the server has not hung up and it is not too old."""
        while self._idle:
            opened_at, connection = self._idle.pop()
            if is_open(connection) and _now() - opened_at < KEEP_SECONDS:
                return opened_at, connection
            connection.close()
        return None

    def _keep(self, opened_at: float, connection: Connection) -> None:
        if self._closed or not is_open(connection):
            connection.close()
        else:
            self._idle.append((opened_at, connection))


def _now() -> float:
    return asyncio.get_running_loop().time()
