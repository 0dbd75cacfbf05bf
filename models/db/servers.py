# SPDX-License-Identifier: Apache-2.0
"""Statements of `servers`: each process that serves, and the state of the key ring that it goes by."""

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import servers

_DELETE_ALL = Statement(delete(servers))
_INSERT = Statement(insert(servers))
_SET = Statement(
    update(servers).where(servers.c.server_id == bindparam("this")).values(key_generation=bindparam("key_generation"))
)
_LIST = Statement(select(servers.c.key_generation), bulk=True)


async def enter_alone(tx: Transaction, *, server_id: str, key_generation: int, now: int) -> None:
    """Note a server that has the database to itself: whatever else stands there has died."""
    await tx.execute(_DELETE_ALL)
    await tx.execute(_INSERT, server_id=server_id, key_generation=key_generation, started_at=now)


async def set_key_generation(tx: Transaction, *, server_id: str, key_generation: int) -> None:
    """When this is committed, so is everything that the server wrote by the key ring before."""
    await tx.execute(_SET, this=server_id, key_generation=key_generation)


async def list_key_generations(reader: Reader) -> list[int]:
    """What servers go by, dead ones too as long as no other has started."""
    return [generation for (generation,) in await reader.read(_LIST)]
