# SPDX-License-Identifier: Apache-2.0
"""Statements of `groups`. Who is in one stands in `group_members`."""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select, update

from models.db.database import Reader, Row, Statement, Transaction
from models.db.schema import group_members, groups
from models.group import Group, GroupId, JoinPolicy, Role
from models.user import UserId

COLUMNS = (groups.c.group_id, groups.c.room_gid, groups.c.name, groups.c.join_policy, groups.c.created_at)

_THIS = groups.c.group_id == bindparam("this")
_FIND = Statement(select(*COLUMNS).where(_THIS))
_LOCK = Statement(select(*COLUMNS).where(_THIS).with_for_update())
_LOCK_BY_ROOM = Statement(select(*COLUMNS).where(groups.c.room_gid == bindparam("room")).with_for_update())
_FIND_BY_ROOM = Statement(select(groups.c.group_id).where(groups.c.room_gid == bindparam("room")))
_OTHERS = group_members.alias("others")
_COUNT = select(func.count()).where(_OTHERS.c.group_id == groups.c.group_id).correlate(groups).scalar_subquery()
_LIST_OF_PERSON = Statement(
    select(*COLUMNS, group_members.c.role, _COUNT)
    .join_from(group_members, groups, groups.c.group_id == group_members.c.group_id)
    .where(
        group_members.c.uid == bindparam("person"),
        group_members.c.group_id > bindparam("after"),
        group_members.c.group_id < bindparam("before"),
    )
    .order_by(group_members.c.group_id)
    .limit(bindparam("at_most"))
)
_INSERT = Statement(
    insert(groups).values(
        room_gid=bindparam("room"),
        name=bindparam("title"),
        join_policy=bindparam("policy"),
        shared_history=bindparam("shared"),
        created_at=bindparam("now"),
    )
)
_UPDATE = Statement(update(groups).where(_THIS).values(name=bindparam("title"), join_policy=bindparam("policy")))
_DELETE = Statement(delete(groups).where(_THIS))


@dataclass(frozen=True, slots=True)
class Membership:
    """A group as one of its members sees it in a list, or somebody who has been asked into it with that role."""

    group: Group
    role: Role
    member_count: int


async def find(reader: Reader, group_id: int) -> Group | None:
    rows = await reader.read(_FIND, this=group_id)
    return group_of(rows[0]) if rows else None


async def lock(tx: Transaction, group_id: int) -> Group | None:
    """The group, kept from change until the transaction ends: by whoever reads its members to write what follows."""
    rows = await tx.read(_LOCK, this=group_id)
    return group_of(rows[0]) if rows else None


async def lock_by_room(tx: Transaction, room_gid: str) -> Group | None:
    """As `lock`, by what is for sharing."""
    rows = await tx.read(_LOCK_BY_ROOM, room=room_gid)
    return group_of(rows[0]) if rows else None


async def find_by_room(reader: Reader, room_gid: str) -> GroupId | None:
    """The group with this room_gid, which is for sharing."""
    rows = await reader.read(_FIND_BY_ROOM, room=room_gid)
    return GroupId(rows[0][0]) if rows else None


async def list_of_person(reader: Reader, uid: UserId, *, after: int, before: int, limit: int) -> list[Membership]:
    """The groups that this person is in, by ascending id."""
    rows = await reader.read(_LIST_OF_PERSON, person=uid, after=after, before=before, at_most=limit)
    return [Membership(group_of(row[:-2]), Role(row[-2]), int(row[-1])) for row in rows]


async def insert_group(
    tx: Transaction, *, room_gid: str, name: str, join: JoinPolicy, shared_history: bool = False, now: int
) -> GroupId:
    """Raises UniqueViolation when a group has this room_gid."""
    changed = await tx.execute(
        _INSERT, room=room_gid, title=name, policy=join.value, shared=int(shared_history), now=now
    )
    return GroupId(changed.last_id)


async def update_group(tx: Transaction, group_id: GroupId, *, name: str, join: JoinPolicy) -> None:
    await tx.execute(_UPDATE, this=group_id, title=name, policy=join.value)


async def delete_group(tx: Transaction, group_id: GroupId) -> None:
    """Nobody is in it any more."""
    await tx.execute(_DELETE, this=group_id)


def group_of(row: Row) -> Group:
    """A row of COLUMNS."""
    group_id, room_gid, name, join, created_at = row
    return Group(GroupId(group_id), room_gid, name, JoinPolicy(join), created_at)
