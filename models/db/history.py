# SPDX-License-Identifier: Apache-2.0
"""Statements over a conversation: what two people have sent each other, and what a group has seen."""

from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    union_all,
)

from models.db.database import InList, Reader, Row, Statement, as_list
from models.db.messages import COLUMNS, message_of
from models.db.schema import deliveries, group_members, messages, users
from models.group import GroupId
from models.ids import IdRange
from models.message import DeliveryState, Message, MessageId, MessageKind
from models.user import UserId

_COLUMNS = (*COLUMNS, messages.c.kind, messages.c.body, deliveries.c.state)
_ME: BindParameter[int] = bindparam("me")
_OTHER: BindParameter[int] = bindparam("other")
_MINE = and_(deliveries.c.message_id == messages.c.message_id, deliveries.c.receiver_uid == _ME)
_RANGE = (messages.c.message_id > bindparam("after"), messages.c.message_id < bindparam("before"))
_SENT = and_(messages.c.sender_uid == _ME, messages.c.receiver_uid == _OTHER)
_RECEIVED = and_(messages.c.sender_uid == _OTHER, messages.c.receiver_uid == _ME)
_SHOWN = and_(
    messages.c.group_id == bindparam("of_group"),
    messages.c.send_time
    >= select(group_members.c.joined_at)
    .where(group_members.c.group_id == bindparam("of_group"), group_members.c.uid == _ME)
    .scalar_subquery(),
    or_(
        messages.c.sender_uid == _ME,
        and_(deliveries.c.state.is_not(None), deliveries.c.state != DeliveryState.WITHHELD.value),
    ),
)


def _rows(condition: ColumnElement[bool]) -> Select[Row]:
    return select(*_COLUMNS).select_from(messages.outerjoin(deliveries, _MINE)).where(condition, *_RANGE)


def _newest(condition: ColumnElement[bool]) -> Select[Row]:
    """The newest of one direction, enough for the page: each direction is a range of an index of its own."""
    page = _rows(condition).order_by(messages.c.message_id.desc()).limit(bindparam("enough")).subquery()
    return select(*page.c)


def _both() -> CompoundSelect[Row]:
    return union_all(_newest(_SENT), _newest(_RECEIVED))


_PAIR = _both().subquery()
_LIST_PAIR = Statement(
    select(*_PAIR.c).order_by(_PAIR.c.message_id.desc()).limit(bindparam("limit")).offset(bindparam("offset"))
)
_COUNT_PAIR = Statement(
    select(
        select(func.count()).select_from(messages).where(_SENT).scalar_subquery()
        + select(func.count()).select_from(messages).where(_RECEIVED).scalar_subquery()
    ),
    bulk=True,
)
_LIST_GROUP = Statement(
    _rows(_SHOWN).order_by(messages.c.message_id.desc()).limit(bindparam("limit")).offset(bindparam("offset"))
)
_COUNT_GROUP = Statement(
    select(func.count()).select_from(messages.outerjoin(deliveries, _MINE)).where(_SHOWN), bulk=True
)
_SAID = (
    select(messages.c.message_id, messages.c.sender_uid, users.c.nickname, messages.c.send_time, messages.c.body)
    .select_from(
        messages.outerjoin(users, users.c.uid == messages.c.sender_uid).outerjoin(deliveries, _MINE),
    )
    .where(
        messages.c.group_id == bindparam("of_group"),
        messages.c.body.is_not(None),
        messages.c.send_time >= bindparam("since"),
        or_(deliveries.c.state.is_(None), deliveries.c.state != DeliveryState.WITHHELD.value),
    )
)
_LIST_SAID = Statement(_SAID.order_by(messages.c.message_id.desc()).limit(bindparam("limit")))
_LIST_SAID_AFTER = Statement(
    _SAID.where(messages.c.message_id > bindparam("after")).order_by(messages.c.message_id).limit(bindparam("limit"))
)
_NEWEST_OF_GROUP = Statement(
    select(messages.c.message_id)
    .where(messages.c.group_id == bindparam("of_group"))
    .order_by(messages.c.message_id.desc())
    .limit(bindparam("limit"))
)
_STATES = Statement(
    select(deliveries.c.message_id, deliveries.c.state).where(InList(deliveries.c.message_id, bindparam("ids")))
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as one person may look back on it. `body` is JSON, null for an image; of anything else `message` has
    no file. `own_state` is their delivery's, null for what they sent.
    """

    message: Message
    kind: MessageKind
    body: str | None
    own_state: DeliveryState | None


@dataclass(frozen=True, slots=True)
class Said:
    """A text or link in a room. `sender_uid` and `nickname` are null when its sender's account is gone."""

    message_id: int
    sender_uid: UserId | None
    nickname: str | None
    send_time: int
    body: str


async def list_with(reader: Reader, *, me: UserId, other: int, wanted: IdRange) -> list[Entry]:
    """What two people have sent each other, the newest first."""
    rows = await reader.read(
        _LIST_PAIR,
        me=me,
        other=other,
        after=wanted.after,
        before=wanted.before,
        limit=wanted.limit,
        offset=wanted.offset,
        enough=wanted.limit + wanted.offset,
    )
    return [_entry(row) for row in rows]


async def count_with(reader: Reader, *, me: UserId, other: int) -> int:
    return int((await reader.read(_COUNT_PAIR, me=me, other=other))[0][0])


async def list_of_group(reader: Reader, *, me: UserId, group_id: GroupId, wanted: IdRange) -> list[Entry]:
    """What this member was sent in the group since they joined, and what they sent, the newest first."""
    rows = await reader.read(
        _LIST_GROUP,
        me=me,
        of_group=group_id,
        after=wanted.after,
        before=wanted.before,
        limit=wanted.limit,
        offset=wanted.offset,
    )
    return [_entry(row) for row in rows]


async def count_of_group(reader: Reader, *, me: UserId, group_id: GroupId) -> int:
    return int((await reader.read(_COUNT_GROUP, me=me, of_group=group_id))[0][0])


async def list_said(reader: Reader, *, me: UserId, group_id: GroupId, since: int, limit: int) -> list[Said]:
    """The newest texts and links from that time on, the oldest of them first, but for those withheld from this member.

    `since` is a send_time; see `group_members.find_since`.
    """
    rows = await reader.read(_LIST_SAID, me=me, of_group=group_id, since=since, limit=limit)
    return [Said(*row) for row in reversed(rows)]


async def list_said_after(
    reader: Reader, *, me: UserId, group_id: GroupId, since: int, after: int, limit: int
) -> list[Said]:
    """As `list_said`, of those behind this message the first. Writers lock the group: no lower id is committed later."""
    rows = await reader.read(_LIST_SAID_AFTER, me=me, of_group=group_id, since=since, after=after, limit=limit)
    return [Said(*row) for row in rows]


async def find_newest(reader: Reader, group_id: GroupId) -> int:
    """The newest message_id of a group, 0 before the first."""
    rows = await reader.read(_NEWEST_OF_GROUP, of_group=group_id, limit=1)
    return int(rows[0][0]) if rows else 0


async def list_states(reader: Reader, message_ids: list[MessageId]) -> dict[MessageId, list[DeliveryState]]:
    """How all receivers stand with each of these messages."""
    found: dict[MessageId, list[DeliveryState]] = {}
    for message_id, state in await reader.read(_STATES, ids=as_list(message_ids)):
        found.setdefault(message_id, []).append(DeliveryState(state))
    return found


def _entry(row: Row) -> Entry:
    *message, kind, body, state = row
    return Entry(message_of(tuple(message)), MessageKind(kind), body, DeliveryState(state) if state else None)
