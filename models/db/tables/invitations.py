# SPDX-License-Identifier: Apache-2.0
"""Statements of `invitations`: who has been asked into a group and has not said yes.

What somebody is asked by a person whom they block is stored like any other, and not shown to them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import blocks, group_members, groups, invitations, users
from models.db.tables.groups import COLUMNS, Membership, group_of
from models.group import GroupId, Role
from models.user import UserId

_OF_GROUP = invitations.c.group_id == bindparam("of_group")
_THIS = _OF_GROUP & (invitations.c.uid == bindparam("person"))
_IS_SEEN = ~exists().where(blocks.c.uid == invitations.c.uid, blocks.c.blocked_uid == invitations.c.invited_by)
_LIST = Statement(
    select(invitations.c.uid, users.c.nickname, invitations.c.role, invitations.c.invited_at)
    .join_from(invitations, users, users.c.uid == invitations.c.uid)
    .where(_OF_GROUP)
    .order_by(invitations.c.uid)
)
_COUNT = Statement(select(func.count()).where(_OF_GROUP))
_FIND = Statement(select(invitations.c.role).where(_THIS))
_FIND_SEEN = Statement(select(invitations.c.role).where(_THIS, _IS_SEEN))
_LIST_SEEN = Statement(
    select(invitations.c.uid)
    .where(_OF_GROUP, InList(invitations.c.uid, bindparam("people")), _IS_SEEN)
    .order_by(invitations.c.uid)
)
_MEMBERS = select(func.count()).where(group_members.c.group_id == groups.c.group_id).correlate(groups).scalar_subquery()
_LIST_OF_PERSON = Statement(
    select(*COLUMNS, invitations.c.role, _MEMBERS)
    .join_from(invitations, groups, groups.c.group_id == invitations.c.group_id)
    .where(
        invitations.c.uid == bindparam("person"),
        invitations.c.group_id > bindparam("after"),
        invitations.c.group_id < bindparam("before"),
        _IS_SEEN,
    )
    .order_by(invitations.c.group_id)
    .limit(bindparam("at_most"))
)
_INSERT = Statement(
    insert(invitations).from_select(
        ["group_id", "uid", "role", "invited_by", "invited_at"],
        select(
            bindparam("of_group", type_=invitations.c.group_id.type),
            users.c.uid,
            bindparam("as_what", type_=invitations.c.role.type),
            bindparam("asker", type_=invitations.c.invited_by.type),
            bindparam("now", type_=invitations.c.invited_at.type),
        ).where(InList(users.c.uid, bindparam("people"))),
    )
)
_SET_ROLE = Statement(update(invitations).where(_THIS).values(role=bindparam("as_what")))
_DELETE = Statement(delete(invitations).where(_THIS))
_DELETE_ALL = Statement(delete(invitations).where(_OF_GROUP))


@dataclass(frozen=True, slots=True)
class Invited:
    """One person who has been asked into a group. `invited_at` is in milliseconds."""

    uid: UserId
    nickname: str
    role: Role
    invited_at: int


async def list_invited(reader: Reader, group_id: int) -> list[Invited]:
    """Everybody who has been asked, by ascending uid."""
    rows = await reader.read(_LIST, of_group=group_id)
    return [Invited(UserId(uid), nickname, Role(role), invited_at) for uid, nickname, role, invited_at in rows]


async def count(reader: Reader, group_id: GroupId) -> int:
    """How many people have been asked into the group."""
    [(number,)] = await reader.read(_COUNT, of_group=group_id)
    return int(number)


async def list_of_person(reader: Reader, uid: UserId, *, after: int, before: int, limit: int) -> list[Membership]:
    """The groups that this person has been asked into, as far as they may see it, by ascending id."""
    rows = await reader.read(_LIST_OF_PERSON, person=uid, after=after, before=before, at_most=limit)
    return [Membership(group_of(row[:-2]), Role(row[-2]), int(row[-1])) for row in rows]


async def find_role(reader: Reader, group_id: int, uid: int) -> Role | None:
    """As what this person has been asked; None when they have not."""
    rows = await reader.read(_FIND, of_group=group_id, person=uid)
    return Role(rows[0][0]) if rows else None


async def find_seen_role(reader: Reader, group_id: int, uid: UserId) -> Role | None:
    """As `find_role`, for the person themselves: None also when they block who asks."""
    rows = await reader.read(_FIND_SEEN, of_group=group_id, person=uid)
    return Role(rows[0][0]) if rows else None


async def list_seen(reader: Reader, group_id: GroupId, uids: Iterable[UserId]) -> list[UserId]:
    """Those of these people who may know that they have been asked."""
    return [UserId(uid) for (uid,) in await reader.read(_LIST_SEEN, of_group=group_id, people=as_list(uids))]


async def insert_invitations(
    tx: Transaction, group_id: GroupId, uids: Iterable[UserId], *, role: Role, by: UserId, now: int
) -> None:
    """Raises UniqueViolation when one of them has been asked."""
    await tx.execute(_INSERT, of_group=group_id, people=as_list(uids), as_what=role.value, asker=by, now=now)


async def set_role(tx: Transaction, group_id: GroupId, uid: UserId, role: Role) -> None:
    await tx.execute(_SET_ROLE, of_group=group_id, person=uid, as_what=role.value)


async def delete_one(tx: Transaction, group_id: GroupId, uid: UserId) -> bool:
    """Whether there was one."""
    return (await tx.execute(_DELETE, of_group=group_id, person=uid)).count == 1


async def delete_all(tx: Transaction, group_id: GroupId) -> None:
    await tx.execute(_DELETE_ALL, of_group=group_id)
