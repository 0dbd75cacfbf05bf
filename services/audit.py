# SPDX-License-Identifier: Apache-2.0
"""The record of what operators do, whether on their page or by command: who, when, what, and to which ids."""

from functools import partial

from models.db.database import Database
from models.db.tables import audit
from models.db.tables.audit import Act

OPERATOR_CHARACTERS = 64
"""The column of who it was."""


async def record(db: Database, *, operator: str, act: str, about: str = "", now: int) -> None:
    """Put an act on record by itself, before it is done: one that has no transaction of its own, or many.

    `act` is named as the command of `ops` that does it. Raises DatabaseError, and then it must not be done.
    """
    await db.write(partial(audit.insert_act, at=now, operator=operator[:OPERATOR_CHARACTERS], act=act, about=about))


async def list_acts(db: Database, *, before: int, limit: int) -> list[Act]:
    """What operators did, the newest first."""
    return await audit.list_some(db, before=before, limit=limit)
