# SPDX-License-Identifier: Apache-2.0
"""Statements of `group_members`: who is in which group, and as what."""

from collections.abc import Iterable

from sqlalchemy import bindparam, delete, func, insert, select, update

from models.db.database import SEARCH_BY_KEY, InList, Reader, Statement, Transaction, as_list
from models.db.schema import group_members, groups, messages, users
from models.db.tables.users import RECEIVER_OR_CALLER, receiver_of
from models.group import GroupId, Member, Role
from models.user import Recipient, UserId

_OF_GROUP = group_members.c.group_id == bindparam("of_group")
_THIS = _OF_GROUP & (group_members.c.uid == bindparam("person"))
_LIST = Statement(
    select(group_members.c.uid, users.c.nickname, group_members.c.role, group_members.c.joined_at)
    .join_from(group_members, users, users.c.uid == group_members.c.uid)
    .where(_OF_GROUP)
    .order_by(group_members.c.uid)
)
_LIST_UIDS = Statement(select(group_members.c.uid).where(_OF_GROUP).order_by(group_members.c.uid))
_FELLOW = group_members.alias("fellow")
_COUNT_OTHERS = Statement(
    select(func.count())
    .join_from(group_members, _FELLOW, _FELLOW.c.group_id == group_members.c.group_id)
    .where(_THIS, _FELLOW.c.uid != group_members.c.uid)
)
_LIST_GROUPS = Statement(
    select(group_members.c.group_id)
    .where(group_members.c.uid == bindparam("person"))
    .order_by(group_members.c.group_id)
)
_LOCK_RECIPIENTS = Statement(
    RECEIVER_OR_CALLER.join_from(groups, group_members, group_members.c.group_id == groups.c.group_id)
    .join(users, users.c.uid == group_members.c.uid)
    .where(groups.c.group_id == bindparam("of_group"))
    .order_by(group_members.c.uid)
    # In ascending order, and nobody else's rows in passing.
    .with_hint(group_members, SEARCH_BY_KEY, "mysql")
    .with_hint(users, SEARCH_BY_KEY, "mysql")
    .with_for_update()
)
_FIND_ROLE = Statement(select(group_members.c.role).where(_THIS))
_NEWEST_MESSAGE = (
    select(func.coalesce(func.max(messages.c.message_id), 0))
    .where(messages.c.group_id == bindparam("of_group"))
    .scalar_subquery()
)
_INSERT = Statement(
    insert(group_members).from_select(
        ["group_id", "uid", "role", "joined_at", "joined_after"],
        select(
            bindparam("of_group", type_=group_members.c.group_id.type),
            users.c.uid,
            bindparam("as_what", type_=group_members.c.role.type),
            bindparam("now", type_=group_members.c.joined_at.type),
            _NEWEST_MESSAGE,
        ).where(InList(users.c.uid, bindparam("people"))),
    )
)
_SET_ROLE = Statement(update(group_members).where(_THIS).values(role=bindparam("as_what")))
_DELETE = Statement(delete(group_members).where(_OF_GROUP, InList(group_members.c.uid, bindparam("people"))))


async def list_members(reader: Reader, group_id: int) -> list[Member]:
    """Everybody in the group, by ascending uid; nobody when there is no such group."""
    rows = await reader.read(_LIST, of_group=group_id)
    return [Member(UserId(uid), nickname, Role(role), joined_at) for uid, nickname, role, joined_at in rows]


async def list_uids(reader: Reader, group_id: int) -> list[UserId]:
    """Everybody in the group, ascending."""
    return [UserId(uid) for (uid,) in await reader.read(_LIST_UIDS, of_group=group_id)]


async def count_others(reader: Reader, group_id: int, uid: UserId) -> int:
    """How many are in the group beside this member; 0 when they are not in it."""
    return int((await reader.read(_COUNT_OTHERS, of_group=group_id, person=uid))[0][0])


async def list_groups(reader: Reader, uid: UserId) -> list[GroupId]:
    """Every group that this person is in, ascending."""
    return [GroupId(group_id) for (group_id,) in await reader.read(_LIST_GROUPS, person=uid)]


async def lock_recipients(
    tx: Transaction,
    group_id: GroupId,
    sender_uid: UserId,
    *,
    credential_id: int | None,
    family: str | None,
    for_image: bool,
    now: int,
) -> list[Recipient]:
    """Everybody in the group, ascending, as receivers of what this sender sends to it; nobody when there is none.

    The sender came with this ukey or this family of tokens.
    The group and they are kept as they are until the transaction ends: nobody comes into it or leaves it.
    """
    rows = await tx.read(
        _LOCK_RECIPIENTS,
        of_group=group_id,
        sender=sender_uid,
        credential_id=credential_id,
        family=family,
        for_image=int(for_image),
        now=now,
    )
    return [receiver_of(row) for row in rows]


async def find_role(reader: Reader, group_id: int, uid: int) -> Role | None:
    """What this person is in the group; None when they are not in it."""
    rows = await reader.read(_FIND_ROLE, of_group=group_id, person=uid)
    return Role(rows[0][0]) if rows else None


async def insert_members(tx: Transaction, group_id: GroupId, uids: Iterable[UserId], *, role: Role, now: int) -> None:
    """They see what is sent from now on. Raises UniqueViolation when one of them is in the group."""
    await tx.execute(_INSERT, of_group=group_id, people=as_list(uids), as_what=role.value, now=now)


async def set_role(tx: Transaction, group_id: GroupId, uid: UserId, role: Role) -> None:
    await tx.execute(_SET_ROLE, of_group=group_id, person=uid, as_what=role.value)


async def delete_members(tx: Transaction, group_id: GroupId, uids: Iterable[UserId]) -> None:
    await tx.execute(_DELETE, of_group=group_id, people=as_list(uids))
