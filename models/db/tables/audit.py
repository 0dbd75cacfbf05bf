# SPDX-License-Identifier: Apache-2.0
"""Statements of `audit`: what operators have done. A row is written in the transaction of the act where it has one."""

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select

from models.db.database import Reader, Statement, Transaction
from models.db.schema import audit
from models.ids import MAX_ID


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `operator` is who did it, `act` a command of `ops`, `about` the ids it was done to; `at` is in ms."""

    audit_id: int
    at: int
    operator: str
    act: str
    about: str


_COLUMNS = [audit.c[name] for name in Act.__slots__]
_INSERT = Statement(insert(audit).values({column.name: bindparam(column.name) for column in _COLUMNS[1:]}))
_LIST = Statement(
    select(*_COLUMNS)
    .where(audit.c.audit_id < bindparam("before"))
    .order_by(audit.c.audit_id.desc())
    .limit(bindparam("limit"))
)


async def insert_act(tx: Transaction, *, at: int, operator: str, act: str, about: str) -> None:
    await tx.execute(_INSERT, at=at, operator=operator, act=act, about=about)


async def list_some(reader: Reader, *, before: int = MAX_ID, limit: int) -> list[Act]:
    """Acts with an id under `before`, the newest first."""
    return [Act(*row) for row in await reader.read(_LIST, before=before, limit=limit)]
