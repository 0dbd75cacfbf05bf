# SPDX-License-Identifier: Apache-2.0
"""Statements over a conversation: what two people have sent each other, and what a group has seen."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    union_all,
)

from models.db.database import InList, Reader, Row, Statement, as_list
from models.db.schema import deliveries, group_members, messages
from models.db.tables.messages import COLUMNS, IS_HIDDEN, SAID_BYTES, message_of
from models.group import GroupId
from models.message import DeliveryState, MeasuredMessage, Message, MessageId, MessageKind
from models.paging import IdRange
from models.user import UserId

_COLUMNS = (*COLUMNS, messages.c.kind, messages.c.body, deliveries.c.state)
_ME: BindParameter[int] = bindparam("me")
_OTHER: BindParameter[int] = bindparam("other")
_MINE = and_(deliveries.c.message_id == messages.c.message_id, deliveries.c.receiver_uid == _ME)
_RANGE = (messages.c.message_id > bindparam("after"), messages.c.message_id < bindparam("before"))
_SENT = and_(messages.c.sender_uid == _ME, messages.c.receiver_uid == _OTHER)
# What people send themselves goes one way.
_RECEIVED = and_(
    messages.c.sender_uid == _OTHER, messages.c.receiver_uid == _ME, messages.c.sender_uid != messages.c.receiver_uid
)
# With what was withheld a person has nothing to do, whoever sent it.
_IS_SHOWN = or_(deliveries.c.state.is_(None), ~IS_HIDDEN)
_JOINED_AFTER = (
    select(group_members.c.joined_after)
    .where(group_members.c.group_id == bindparam("of_group"), group_members.c.uid == _ME)
    .scalar_subquery()
)
_SHOWN = and_(
    messages.c.group_id == bindparam("of_group"),
    messages.c.message_id > _JOINED_AFTER,
    or_(messages.c.sender_uid == _ME, and_(deliveries.c.state.is_not(None), ~IS_HIDDEN)),
)
_NEWEST_FIRST = messages.c.message_id.desc()


_WITH_OWN_PART = messages.outerjoin(deliveries, _MINE)


def _direction(direction: Select[tuple[int]]) -> Select[tuple[int]]:
    """The newest of one direction, enough for the page: each direction is a range of an index of its own."""
    return select(direction.where(*_RANGE).order_by(_NEWEST_FIRST).limit(bindparam("enough")).subquery().c.message_id)


def _page(ids: Select[tuple[int]]) -> tuple[Statement, Statement]:
    """One page of these messages, as it is read near its beginning and, off the event loop, anywhere.

    Whatever the page leaves behind it costs the index alone, and what is on the page is measured, not read.
    """
    page = ids.limit(bindparam("limit")).offset(bindparam("offset")).subquery()
    rows = (
        select(messages.c.message_id, SAID_BYTES)
        .select_from(page.join(messages, messages.c.message_id == page.c.message_id))
        .order_by(_NEWEST_FIRST)
    )
    return Statement(rows), Statement(rows, bulk=True)


_SENT_IDS = select(messages.c.message_id).where(_SENT)
_RECEIVED_IDS = select(messages.c.message_id).select_from(_WITH_OWN_PART).where(_RECEIVED, _IS_SHOWN)
_PAIR = union_all(_direction(_SENT_IDS), _direction(_RECEIVED_IDS)).subquery()
_LIST_PAIR = _page(select(_PAIR.c.message_id).order_by(_PAIR.c.message_id.desc()))
_COUNT_PAIR = Statement(
    select(
        select(func.count()).select_from(_SENT_IDS.subquery()).scalar_subquery()
        + select(func.count()).select_from(_RECEIVED_IDS.subquery()).scalar_subquery()
    ),
    bulk=True,
)
_LIST_GROUP = _page(
    select(messages.c.message_id).select_from(_WITH_OWN_PART).where(_SHOWN, *_RANGE).order_by(_NEWEST_FIRST)
)
_COUNT_GROUP = Statement(select(func.count()).select_from(_WITH_OWN_PART).where(_SHOWN), bulk=True)
_ENTRIES = Statement(
    select(*_COLUMNS)
    .select_from(_WITH_OWN_PART)
    .where(InList(messages.c.message_id, bindparam("ids")), _IS_SHOWN)
    .order_by(_NEWEST_FIRST)
)
_ENTRIES_OF_ALL = Statement(
    select(deliveries.c.receiver_uid, *_COLUMNS)
    .select_from(messages.join(deliveries, deliveries.c.message_id == messages.c.message_id))
    .where(
        InList(messages.c.message_id, bindparam("ids")),
        InList(deliveries.c.receiver_uid, bindparam("uids")),
        ~IS_HIDDEN,
    )
)
_STATES = Statement(
    select(deliveries.c.message_id, deliveries.c.state)
    .distinct()
    .where(InList(deliveries.c.message_id, bindparam("ids"))),
    bulk=True,
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


async def list_with(reader: Reader, *, me: UserId, other: int, wanted: IdRange) -> list[MeasuredMessage]:
    """What two people have sent each other, the newest first."""
    rows = await reader.read(
        _LIST_PAIR[wanted.offset > 0],
        me=me,
        other=other,
        after=wanted.after,
        before=wanted.before,
        limit=wanted.limit,
        offset=wanted.offset,
        enough=wanted.limit + wanted.offset,
    )
    return [MeasuredMessage(*row) for row in rows]


async def count_with(reader: Reader, *, me: UserId, other: int) -> int:
    """How many messages `list_with` has in all."""
    return int((await reader.read(_COUNT_PAIR, me=me, other=other))[0][0])


async def list_of_group(reader: Reader, *, me: UserId, group_id: GroupId, wanted: IdRange) -> list[MeasuredMessage]:
    """What this member was sent in the group since they joined, and sent themselves since, the newest first."""
    rows = await reader.read(
        _LIST_GROUP[wanted.offset > 0],
        me=me,
        of_group=group_id,
        after=wanted.after,
        before=wanted.before,
        limit=wanted.limit,
        offset=wanted.offset,
    )
    return [MeasuredMessage(*row) for row in rows]


async def count_of_group(reader: Reader, *, me: UserId, group_id: GroupId) -> int:
    """How many messages `list_of_group` has in all."""
    return int((await reader.read(_COUNT_GROUP, me=me, of_group=group_id))[0][0])


async def list_entries(reader: Reader, *, me: UserId, message_ids: Iterable[int]) -> list[Entry]:
    """Those of these messages that are still there and not kept from this person, the newest first. Whether they may
    see them else is decided.
    """
    return [_entry(row) for row in await reader.read(_ENTRIES, me=me, ids=as_list(message_ids))]


async def list_received(
    reader: Reader, *, uids: Iterable[int], message_ids: Iterable[int]
) -> dict[MessageId, tuple[Entry, set[int]]]:
    """Of these messages those that are still there: each as one of these people received it, and who of them did, to
    whom it says the same.
    """
    found: dict[MessageId, tuple[Entry, set[int]]] = {}
    for uid, message_id, *rest in await reader.read(_ENTRIES_OF_ALL, uids=as_list(uids), ids=as_list(message_ids)):
        if message_id not in found:
            found[message_id] = _entry((message_id, *rest)), set()
        found[message_id][1].add(uid)
    return found


async def list_states(reader: Reader, message_ids: list[MessageId]) -> dict[MessageId, list[DeliveryState]]:
    """The states that the receivers of each of these messages are in, each state once; of one without any, none."""
    found: dict[MessageId, list[DeliveryState]] = {message_id: [] for message_id in message_ids}
    for message_id, state in await reader.read(_STATES, ids=as_list(message_ids)):
        found[message_id].append(DeliveryState(state))
    return found


def _entry(row: Row) -> Entry:
    *message, kind, body, state = row
    return Entry(message_of(tuple(message)), MessageKind(kind), body, DeliveryState(state) if state else None)
