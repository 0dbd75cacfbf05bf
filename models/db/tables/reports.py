# SPDX-License-Identifier: Apache-2.0
"""Statements of `reports`: what people have told the operator of others, and who sent what they tell of."""

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, exists, insert, or_, select, update

from models.db.database import Reader, Row, Statement, Transaction
from models.db.schema import deliveries, group_members, messages, reports
from models.db.tables.messages import IS_HIDDEN
from models.message import DeliveryState, MessageId
from models.user import UserId


@dataclass(frozen=True, slots=True)
class Report:
    """A row of `reports`. Whose account is gone is None; so is `message_id` of a report about a person."""

    report_id: int
    reporter_uid: UserId | None
    reported_uid: UserId | None
    message_id: MessageId | None
    reason: str
    created_at: int
    resolved_at: int | None
    resolution: str


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A reported image whose file is in the store."""

    message_key: str
    filetype: str
    size: int
    sha256: bytes


_ME = bindparam("me", type_=reports.c.reporter_uid.type)
_THIS = reports.c.report_id == bindparam("this")
_COLUMNS = [reports.c[name] for name in Report.__slots__]

_MINE = and_(deliveries.c.message_id == messages.c.message_id, deliveries.c.receiver_uid == _ME)
_IS_KEPT_FROM_ME = exists().where(_MINE, IS_HIDDEN)
_HAS_DELIVERY = exists().where(_MINE, deliveries.c.state != DeliveryState.RELEASED.value)
_IS_OF_MY_GROUP = (messages.c.kind != "image") & exists().where(
    group_members.c.group_id == messages.c.group_id,
    group_members.c.uid == _ME,
    group_members.c.joined_at <= messages.c.send_time,
)
_FIND_RECEIVED = Statement(
    select(messages.c.sender_uid).where(
        messages.c.message_id == bindparam("message_id"),
        or_(messages.c.sender_uid.is_(None), messages.c.sender_uid != _ME),
        or_(messages.c.receiver_uid == _ME, _HAS_DELIVERY, _IS_OF_MY_GROUP),
        ~_IS_KEPT_FROM_ME,
    )
)
_FIND_IMAGE = Statement(
    select(messages.c.message_key, messages.c.filetype, messages.c.size, messages.c.sha256).where(
        messages.c.message_id == bindparam("message_id"),
        messages.c.stored == 1,
        or_(messages.c.receiver_uid == _ME, _HAS_DELIVERY),
    )
)
_INSERT = Statement(insert(reports).values({column.name: bindparam(column.name) for column in _COLUMNS[1:6]}))
_FIND = Statement(select(*_COLUMNS).where(_THIS))
_BEFORE = reports.c.report_id < bindparam("before")
_NEWEST_FIRST = reports.c.report_id.desc()
_LIST = Statement(select(*_COLUMNS).where(_BEFORE).order_by(_NEWEST_FIRST).limit(bindparam("limit")))
_LIST_OPEN = Statement(
    select(*_COLUMNS).where(reports.c.resolved_at.is_(None), _BEFORE).order_by(_NEWEST_FIRST).limit(bindparam("limit"))
)
_RESOLVE = Statement(
    update(reports)
    .where(_THIS, reports.c.resolved_at.is_(None))
    .values(resolved_at=bindparam("now"), resolution=bindparam("note"))
)


async def find_sender(reader: Reader, *, message_id: int, receiver_uid: UserId) -> tuple[UserId | None] | None:
    """Who sent what this person has received; None when they received no such message."""
    rows = await reader.read(_FIND_RECEIVED, message_id=message_id, me=receiver_uid)
    return (rows[0][0],) if rows else None


async def find_image(reader: Reader, *, message_id: int, receiver_uid: UserId) -> StoredImage | None:
    """The image that this person has received, if its file is still there."""
    rows = await reader.read(_FIND_IMAGE, message_id=message_id, me=receiver_uid)
    return StoredImage(*rows[0]) if rows else None


async def insert_report(
    tx: Transaction,
    *,
    reporter_uid: UserId,
    reported_uid: int | None,
    message_id: int | None,
    reason: str,
    now: int,
) -> int:
    """The report's id."""
    changed = await tx.execute(
        _INSERT,
        reporter_uid=reporter_uid,
        reported_uid=reported_uid,
        message_id=message_id,
        reason=reason,
        created_at=now,
    )
    return changed.last_id


async def find(reader: Reader, report_id: int) -> Report | None:
    rows = await reader.read(_FIND, this=report_id)
    return _report(rows[0]) if rows else None


async def list_some(reader: Reader, *, only_open: bool, before: int, limit: int) -> list[Report]:
    """The newest first."""
    rows = await reader.read(_LIST_OPEN if only_open else _LIST, before=before, limit=limit)
    return [_report(row) for row in rows]


async def resolve(tx: Transaction, *, report_id: int, note: str, now: int) -> bool:
    """True for the one call that resolves it."""
    return (await tx.execute(_RESOLVE, this=report_id, note=note, now=now)).count == 1


def _report(row: Row) -> Report:
    return Report(*row)
