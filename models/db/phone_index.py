# SPDX-License-Identifier: Apache-2.0
"""Statements that write `phone_index`: one row per person and live pepper. It is read where people are found."""

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, insert

from models.db.database import Statement, Transaction
from models.db.schema import phone_index

_INSERT = Statement(insert(phone_index))
_DELETE = Statement(delete(phone_index).where(phone_index.c.uid == bindparam("this")))


async def insert_digests(tx: Transaction, *, uid: int, digests: Mapping[int, bytes]) -> None:
    """Point a number at a person, once per pepper version. Raises UniqueViolation when it is somebody's already."""
    for version, digest in digests.items():
        await tx.execute(_INSERT, version=version, digest=digest, uid=uid)


async def delete_digests(tx: Transaction, *, uid: int) -> None:
    """The person's number is nobody's now."""
    await tx.execute(_DELETE, this=uid)
