# SPDX-License-Identifier: Apache-2.0
"""Statements of `leases`: which process does which work for all. Each is a compare-and-set, safe on any cluster node.

No row holds a time, since clocks of machines differ: the holder increments `renewals`, and the others watch it.
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import Reader, Statement, Transaction, UniqueViolation
from models.db.schema import leases

_FIND = Statement(select(leases.c.holder, leases.c.renewals).where(leases.c.name == bindparam("this")))
_INSERT = Statement(insert(leases))
_HELD = (leases.c.name == bindparam("this"), leases.c.holder == bindparam("by"))
_TAKE_OVER = Statement(
    update(leases)
    .where(*_HELD, leases.c.renewals == bindparam("last_seen"))
    .values(holder=bindparam("holder"), renewals=0)
)
_RENEW = Statement(update(leases).where(*_HELD).values(renewals=leases.c.renewals + 1))
_DELETE = Statement(delete(leases).where(*_HELD))


class Held(NamedTuple):
    """The holder of a lease, and how often it has renewed it."""

    holder: str
    renewals: int


async def find(reader: Reader, *, name: str) -> Held | None:
    """Who has it, None when nobody does."""
    rows = await reader.read(_FIND, this=name)
    return Held(*rows[0]) if rows else None


async def take(tx: Transaction, *, name: str, holder: str) -> bool:
    """Whether the lease, which nobody had, is this holder's."""
    try:
        await tx.execute(_INSERT, name=name, holder=holder, renewals=0)
    except UniqueViolation:
        return False
    return True


async def take_over(tx: Transaction, *, name: str, holder: str, seen: Held) -> bool:
    """Whether the lease is this holder's, taken from one who stood there as `seen` to the end."""
    changed = await tx.execute(_TAKE_OVER, this=name, by=seen.holder, last_seen=seen.renewals, holder=holder)
    return changed.count == 1


async def renew(tx: Transaction, *, name: str, holder: str) -> bool:
    """Whether this holder still has it; then everybody can see that they live."""
    return (await tx.execute(_RENEW, this=name, by=holder)).count == 1


async def release(tx: Transaction, *, name: str, holder: str) -> None:
    """Give it back, if this holder has it."""
    await tx.execute(_DELETE, this=name, by=holder)
