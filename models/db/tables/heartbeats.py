# SPDX-License-Identifier: Apache-2.0
"""Statements of `servers`: each process that serves, the generation of its key ring, and its heartbeats."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import servers

_IS_THIS = servers.c.server_id == bindparam("this")
_DELETE = Statement(delete(servers).where(_IS_THIS))
_DELETE_DEAD = Statement(delete(servers).where(_IS_THIS, servers.c.beats == bindparam("last_seen")))
_INSERT = Statement(insert(servers))
_SET = Statement(update(servers).where(_IS_THIS).values(key_generation=bindparam("key_generation")))
_COUNT_UP = Statement(update(servers).where(_IS_THIS).values(beats=servers.c.beats + 1))
# A range over the key that matches every row: polled often, so it must not queue behind bulk statements.
_LIST = Statement(
    select(servers.c.server_id, servers.c.key_generation, servers.c.beats).where(servers.c.server_id > "")
)


_IDS = Statement(select(servers.c.server_id).where(servers.c.server_id > ""))


class Server(NamedTuple):
    """A process that serves, or served and died. `heartbeats` increases as long as it lives."""

    server_id: str
    key_generation: int
    heartbeats: int


async def enter(tx: Transaction, *, server_id: str, key_generation: int, now: int) -> None:
    """Register a process that serves."""
    await tx.execute(_INSERT, server_id=server_id, key_generation=key_generation, started_at=now, beats=0)


async def remove_others(tx: Transaction, *, alive: Collection[str]) -> None:
    """Remove every process that is not among `alive`, for a database whose processes are all known."""
    for (server_id,) in await tx.read(_IDS):
        if server_id not in alive:
            await leave(tx, server_id=server_id)


async def leave(tx: Transaction, *, server_id: str) -> None:
    """Remove the row of a process that has ended or is taken for dead."""
    await tx.execute(_DELETE, this=server_id)


async def count_up(tx: Transaction, *, server_id: str) -> bool:
    """Record a heartbeat. False when the server's row is gone: it was taken for dead."""
    return (await tx.execute(_COUNT_UP, this=server_id)).count == 1


async def remove_dead(tx: Transaction, server: Server) -> None:
    """Remove a server that has died, unless a heartbeat has come meanwhile."""
    await tx.execute(_DELETE_DEAD, this=server.server_id, last_seen=server.heartbeats)


async def set_key_generation(tx: Transaction, *, server_id: str, key_generation: int) -> None:
    """Confirm a generation. Everything the server wrote with the ring before is committed before this is."""
    await tx.execute(_SET, this=server_id, key_generation=key_generation)


async def list_ids(reader: Reader) -> set[str]:
    """The ids of those in `list_all`."""
    return {server_id for (server_id,) in await reader.read(_IDS)}


async def list_all(reader: Reader) -> list[Server]:
    """Every registered server, including those that were killed and not removed yet."""
    return [Server(*row) for row in await reader.read(_LIST)]
