# SPDX-License-Identifier: Apache-2.0
"""Statements of `servers`: each process that serves, the state of the key ring that it goes by, and that it lives."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import servers

_IS_THIS = servers.c.server_id == bindparam("this")
_DELETE = Statement(delete(servers).where(_IS_THIS))
_DELETE_SILENT = Statement(delete(servers).where(_IS_THIS, servers.c.beats == bindparam("last_seen")))
_INSERT = Statement(insert(servers))
_SET = Statement(update(servers).where(_IS_THIS).values(key_generation=bindparam("key_generation")))
_BEAT = Statement(update(servers).where(_IS_THIS).values(beats=servers.c.beats + 1))
# By its key though all are wanted: it is asked for all the time, and must not wait behind bulk statements.
_LIST = Statement(
    select(servers.c.server_id, servers.c.key_generation, servers.c.beats).where(servers.c.server_id > "")
)


_IDS = Statement(select(servers.c.server_id).where(servers.c.server_id > ""))


class Server(NamedTuple):
    """A process that serves, or has died. `beats` grows as long as it lives."""

    server_id: str
    key_generation: int
    beats: int


async def enter(tx: Transaction, *, server_id: str, key_generation: int, now: int) -> None:
    """Note a process that serves."""
    await tx.execute(_INSERT, server_id=server_id, key_generation=key_generation, started_at=now, beats=0)


async def remove_others(tx: Transaction, *, alive: Collection[str]) -> None:
    """Remove every process that is not among these, where all that use the database are known."""
    for (server_id,) in await tx.read(_IDS):
        if server_id not in alive:
            await leave(tx, server_id=server_id)


async def leave(tx: Transaction, *, server_id: str) -> None:
    await tx.execute(_DELETE, this=server_id)


async def beat(tx: Transaction, *, server_id: str) -> bool:
    """Whether the server still stands there; then everybody can see that it lives."""
    return (await tx.execute(_BEAT, this=server_id)).count == 1


async def remove_silent(tx: Transaction, server: Server) -> None:
    """Remove a server that has died, unless it has shown meanwhile that it lives."""
    await tx.execute(_DELETE_SILENT, this=server.server_id, last_seen=server.beats)


async def set_key_generation(tx: Transaction, *, server_id: str, key_generation: int) -> None:
    """When this is committed, so is everything that the server wrote by the key ring before."""
    await tx.execute(_SET, this=server_id, key_generation=key_generation)


async def list_ids(reader: Reader) -> set[str]:
    """The ids of those in `list_all`."""
    return {server_id for (server_id,) in await reader.read(_IDS)}


async def list_all(reader: Reader) -> list[Server]:
    """Every server that has entered and not left: those that were killed too, as long as nobody has removed them."""
    return [Server(*row) for row in await reader.read(_LIST)]
