# SPDX-License-Identifier: Apache-2.0
"""Statements over what is said in a room: the texts and links of one group, as one of its members may read them."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, case, or_, select

from models.db.database import InList, Reader, Statement, as_list
from models.db.schema import deliveries, group_members, groups, messages, users
from models.db.tables.messages import IS_HIDDEN, SAID_BYTES
from models.group import GroupId
from models.message import MeasuredMessage
from models.user import UserId

_OF_GROUP = messages.c.group_id == bindparam("of_group")
_MINE = and_(deliveries.c.message_id == messages.c.message_id, deliveries.c.receiver_uid == bindparam("me"))
_FIND_START = Statement(
    select(case((groups.c.shared_history == 1, 0), else_=group_members.c.joined_after))
    .join_from(group_members, groups, groups.c.group_id == group_members.c.group_id)
    .where(group_members.c.group_id == bindparam("of_group"), group_members.c.uid == bindparam("me"))
)
_SAID = (
    select(messages.c.message_id, SAID_BYTES)
    .select_from(messages.outerjoin(deliveries, _MINE))
    .where(
        _OF_GROUP,
        messages.c.message_id > bindparam("after"),
        messages.c.body.is_not(None),
        or_(deliveries.c.state.is_(None), ~IS_HIDDEN),
    )
    .limit(bindparam("at_most"))
)
_LIST_NEWEST = Statement(_SAID.order_by(messages.c.message_id.desc()))
_LIST_NEXT = Statement(_SAID.order_by(messages.c.message_id))
_READ = Statement(
    select(messages.c.message_id, messages.c.sender_uid, users.c.nickname, messages.c.send_time, messages.c.body)
    .select_from(messages.outerjoin(users, users.c.uid == messages.c.sender_uid))
    .where(InList(messages.c.message_id, bindparam("ids")))
    .order_by(messages.c.message_id)
)
_NEWEST = Statement(
    select(messages.c.message_id).where(_OF_GROUP).order_by(messages.c.message_id.desc()).limit(bindparam("at_most"))
)


@dataclass(frozen=True, slots=True)
class Said:
    """A text or link. `sender_uid` is null and `nickname` null or empty when its sender's account is gone."""

    message_id: int
    sender_uid: UserId | None
    nickname: str | None
    send_time: int
    body: str


async def find_start(reader: Reader, *, me: UserId, group_id: GroupId) -> int | None:
    """The message_id behind which this member may read; None when they are not in the group."""
    rows = await reader.read(_FIND_START, me=me, of_group=group_id)
    return int(rows[0][0]) if rows else None


async def find_newest(reader: Reader, group_id: GroupId) -> int:
    """The group's newest message_id, 0 before the first."""
    rows = await reader.read(_NEWEST, of_group=group_id, at_most=1)
    return int(rows[0][0]) if rows else 0


async def list_newest(
    reader: Reader, *, me: UserId, group_id: GroupId, after: int, limit: int
) -> list[MeasuredMessage]:
    """The last of what was said behind that message, oldest first, but for what is withheld from this member."""
    rows = await reader.read(_LIST_NEWEST, me=me, of_group=group_id, after=after, at_most=limit)
    return [MeasuredMessage(*row) for row in reversed(rows)]


async def list_next(reader: Reader, *, me: UserId, group_id: GroupId, after: int, limit: int) -> list[MeasuredMessage]:
    """As `list_newest`, but the first of it. Writers lock the group: behind a message no lower id is committed."""
    rows = await reader.read(_LIST_NEXT, me=me, of_group=group_id, after=after, at_most=limit)
    return [MeasuredMessage(*row) for row in rows]


async def list_said(reader: Reader, found: Iterable[MeasuredMessage]) -> list[Said]:
    """Those of these messages that are still there, oldest first."""
    rows = await reader.read(_READ, ids=as_list(each.message_id for each in found))
    return [Said(*row) for row in rows]
