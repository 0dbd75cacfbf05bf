# SPDX-License-Identifier: Apache-2.0
"""Statements of `friendships`: one row per person and side, so that each side is read without the other.

While one blocks the other, the other's row alone is there, and is what the other goes by.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select
from sqlalchemy import delete as delete_from

from models.db.database import Reader, Statement, Transaction
from models.db.schema import friendships, users
from models.user import FriendState, UserId

_THIS = (friendships.c.uid == bindparam("of_uid")) & (friendships.c.other_uid == bindparam("other"))

_FIND_STATE = Statement(select(friendships.c.state).where(_THIS))
_DELETE = Statement(delete_from(friendships).where(_THIS))
_INSERT = Statement(
    insert(friendships).from_select(
        ["uid", "other_uid", "state", "since"],
        select(
            users.c.uid,
            bindparam("other", type_=friendships.c.other_uid.type),
            bindparam("new_state", type_=friendships.c.state.type),
            bindparam("now", type_=friendships.c.since.type),
        ).where(users.c.uid == bindparam("of_uid")),
    )
)
_LIST = Statement(
    select(friendships.c.other_uid, users.c.nickname, friendships.c.state, friendships.c.since)
    .join_from(friendships, users, users.c.uid == friendships.c.other_uid)
    .where(
        friendships.c.uid == bindparam("of_uid"),
        friendships.c.state == bindparam("in_state"),
        friendships.c.other_uid > bindparam("after"),
        friendships.c.other_uid < bindparam("before"),
    )
    .order_by(friendships.c.other_uid)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class Friend:
    """Somebody who is a friend, has asked, or was asked. `since` when, in milliseconds."""

    uid: UserId
    nickname: str
    state: FriendState
    since: int


async def find_state(reader: Reader, *, uid: int, other_uid: int) -> FriendState | None:
    """How the first stands with the other, as the first sees it."""
    rows = await reader.read(_FIND_STATE, of_uid=uid, other=other_uid)
    return FriendState(rows[0][0]) if rows else None


async def put(tx: Transaction, *, uid: int, other_uid: int, state: FriendState, now: int) -> None:
    """Let the first see the other so from now on. Raises UniqueViolation when another transaction did meanwhile."""
    await tx.execute(_DELETE, of_uid=uid, other=other_uid)
    await tx.execute(_INSERT, of_uid=uid, other=other_uid, new_state=state.value, now=now)


async def delete(tx: Transaction, *, uid: int, other_uid: int) -> None:
    """Let the first not see the other any more."""
    await tx.execute(_DELETE, of_uid=uid, other=other_uid)


async def list_some(
    reader: Reader, *, uid: int, state: FriendState, after: int, before: int, limit: int
) -> list[Friend]:
    """By ascending uid."""
    rows = await reader.read(_LIST, of_uid=uid, in_state=state.value, after=after, before=before, limit=limit)
    return [Friend(UserId(other), nickname, FriendState(found), since) for other, nickname, found, since in rows]
