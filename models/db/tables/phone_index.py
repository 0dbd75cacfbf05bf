# SPDX-License-Identifier: Apache-2.0
"""Statements that write `phone_index`: one row per person and live pepper. It is read where people are found."""

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, insert, select

from models.db.database import Reader, Statement, Transaction
from models.db.schema import phone_index

_INSERT = Statement(insert(phone_index))
_COPY = Statement(
    insert(phone_index).from_select(
        ["version", "digest", "uid"],
        select(
            bindparam("version", type_=phone_index.c.version.type),
            bindparam("digest", type_=phone_index.c.digest.type),
            phone_index.c.uid,
        ).where(phone_index.c.uid == bindparam("this"), phone_index.c.version == bindparam("source")),
    )
)
_DELETE = Statement(delete(phone_index).where(phone_index.c.uid == bindparam("this")))
_LIST_BEFORE = Statement(
    select(phone_index.c.version, phone_index.c.digest)
    .where(phone_index.c.version < bindparam("kept"))
    .limit(bindparam("at_most"))
)
_DELETE_ONE = Statement(
    delete(phone_index).where(
        phone_index.c.version == bindparam("version"), phone_index.c.digest == bindparam("digest")
    )
)


async def insert_digests(tx: Transaction, *, uid: int, digests: Mapping[int, bytes]) -> None:
    """Point a number at a person, once per pepper version. Raises UniqueViolation when it is somebody's already."""
    for version, digest in digests.items():
        await tx.execute(_INSERT, version=version, digest=digest, uid=uid)


async def insert_beside(tx: Transaction, *, uid: int, version: int, digest: bytes, source: int) -> bool:
    """Point a number at a person by one more version, if it still is theirs by the version `source`; whether it was.

    Raises UniqueViolation when that row is there already.
    """
    return (await tx.execute(_COPY, this=uid, version=version, digest=digest, source=source)).count == 1


async def delete_digests(tx: Transaction, *, uid: int) -> None:
    """The person's number is nobody's now."""
    await tx.execute(_DELETE, this=uid)


async def has_before(reader: Reader, *, version: int) -> bool:
    """Whether any row is of a version before this one."""
    return bool(await reader.read(_LIST_BEFORE, kept=version, at_most=1))


async def delete_before(tx: Transaction, *, version: int, limit: int) -> int:
    """Delete rows of versions before this one; how many."""
    rows = await tx.read(_LIST_BEFORE, kept=version, at_most=limit)
    return sum([(await tx.execute(_DELETE_ONE, version=older, digest=digest)).count for older, digest in rows])
