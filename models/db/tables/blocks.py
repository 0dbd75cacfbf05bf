# SPDX-License-Identifier: Apache-2.0
"""Statements of `blocks`: from whom a person wants nothing. Only they can tell."""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select

from models.db.database import Reader, Statement, Transaction, UniqueViolation
from models.db.schema import blocks, users
from models.user import UserId

_THIS = (blocks.c.uid == bindparam("of_uid")) & (blocks.c.blocked_uid == bindparam("blocked"))

_FIND = Statement(select(blocks.c.created_at).where(_THIS))
_INSERT = Statement(insert(blocks))
_DELETE = Statement(delete(blocks).where(_THIS))
_LIST = Statement(
    select(blocks.c.blocked_uid, users.c.nickname, blocks.c.created_at)
    .join_from(blocks, users, users.c.uid == blocks.c.blocked_uid)
    .where(
        blocks.c.uid == bindparam("of_uid"),
        blocks.c.blocked_uid > bindparam("after"),
        blocks.c.blocked_uid < bindparam("before"),
    )
    .order_by(blocks.c.blocked_uid)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Somebody who is blocked, and since when, in milliseconds."""

    uid: UserId
    nickname: str
    since: int


async def is_blocked(reader: Reader, *, uid: int, blocked_uid: int) -> bool:
    """Whether the first blocks the second."""
    return bool(await reader.read(_FIND, of_uid=uid, blocked=blocked_uid))


async def insert_block(tx: Transaction, *, uid: int, blocked_uid: int, now: int) -> None:
    """Block; a block that is there stays as it is."""
    try:
        await tx.execute(_INSERT, uid=uid, blocked_uid=blocked_uid, created_at=now)
    except UniqueViolation:
        return


async def delete_block(tx: Transaction, *, uid: int, blocked_uid: int) -> bool:
    """Whether there was one."""
    return (await tx.execute(_DELETE, of_uid=uid, blocked=blocked_uid)).count == 1


async def list_some(reader: Reader, *, uid: int, after: int, before: int, limit: int) -> list[Blocked]:
    """By ascending uid."""
    rows = await reader.read(_LIST, of_uid=uid, after=after, before=before, limit=limit)
    return [Blocked(UserId(blocked), nickname, since) for blocked, nickname, since in rows]
