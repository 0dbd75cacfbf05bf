# SPDX-License-Identifier: Apache-2.0
"""Statements over `messages`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, exists, func, insert, not_, or_, select, update

from models.db.database import InList, Reader, Row, Statement, Transaction, as_list
from models.db.schema import deliveries, messages, outbox
from models.group import GroupId
from models.message import DeliveryState, Message, MessageId, MessageKind, Preview
from models.user import UserId

COLUMNS = (
    messages.c.message_id,
    messages.c.message_key,
    messages.c.sender_uid,
    messages.c.receiver_uid,
    messages.c.group_id,
    messages.c.send_time,
    messages.c.filetype,
    messages.c.size,
    messages.c.sha256,
    messages.c.caption,
    messages.c.expires_at,
    messages.c.recalled_at,
    messages.c.stored,
    messages.c.placeholder,
    messages.c.preview_type,
    messages.c.preview_size,
)
SAID_BYTES = func.octet_length(messages.c.caption) + func.coalesce(func.octet_length(messages.c.body), 0)
"""What a message says, in bytes, told without reading it."""
IS_IMAGE = messages.c.kind == MessageKind.IMAGE.value
IS_HIDDEN = or_(deliveries.c.state == DeliveryState.WITHHELD.value, deliveries.c.state == DeliveryState.BLOCKED.value)
"""Of a delivery: whether its receiver must not know of the message."""
_INSERT = Statement(
    insert(messages).values(
        message_key=bindparam("message_key"),
        sender_uid=bindparam("sender_uid"),
        receiver_uid=bindparam("receiver_uid"),
        group_id=bindparam("group_id"),
        send_time=bindparam("send_time"),
        exist=bindparam("exist"),
        filetype=bindparam("filetype"),
        size=bindparam("size"),
        sha256=bindparam("sha256"),
        caption=bindparam("caption"),
        expires_at=bindparam("expires_at"),
        purge_at=bindparam("purge_at"),
        stored=1,
        placeholder=bindparam("placeholder"),
        preview_type=bindparam("preview_type"),
        preview_size=bindparam("preview_size"),
        preview_sha256=bindparam("preview_sha256"),
    )
)
_INSERT_TEXT = Statement(
    insert(messages).values(
        kind=bindparam("kind"),
        sender_uid=bindparam("sender_uid"),
        receiver_uid=bindparam("receiver_uid"),
        group_id=bindparam("group_id"),
        send_time=bindparam("send_time"),
        exist=0,
        filetype="",
        size=0,
        caption="",
        body=bindparam("body"),
        expires_at=bindparam("expires_at"),
        stored=0,
    )
)
_TEXT = select(
    messages.c.message_id, messages.c.kind, messages.c.receiver_uid, messages.c.group_id, messages.c.send_time
).where(
    messages.c.message_id == bindparam("message_id"),
    messages.c.sender_uid == bindparam("sender_uid"),
    messages.c.kind != MessageKind.IMAGE.value,
)
_FIND_TEXT, _LOCK_TEXT = Statement(_TEXT), Statement(_TEXT.with_for_update())
_FIND_SENT = Statement(
    select(*COLUMNS).where(
        messages.c.message_key == bindparam("message_key"), messages.c.sender_uid == bindparam("sender_uid")
    )
)
_LOCK_OF_GROUPS = Statement(
    select(messages.c.message_id)
    .where(InList(messages.c.message_id, bindparam("ids")), messages.c.group_id.is_not(None))
    .order_by(messages.c.message_id)
    .with_for_update()
)
_PENDING, _BLOCKED = DeliveryState.PENDING.value, DeliveryState.BLOCKED.value
_OF_MESSAGE = deliveries.c.message_id == messages.c.message_id
_IS_WAITED_FOR = exists().where(_OF_MESSAGE, deliveries.c.state == _PENDING)
_IS_KEPT_BACK = exists().where(_OF_MESSAGE, deliveries.c.state == _BLOCKED)
_LAST_GRACE = (
    select(func.coalesce(func.max(deliveries.c.readable_until), bindparam("now"))).where(_OF_MESSAGE).scalar_subquery()
)
_PURGE_AT = case((messages.c.stored == 1, _LAST_GRACE), else_=messages.c.purge_at)
_END_OF = (
    update(messages)
    .values(exist=case((_IS_KEPT_BACK, messages.c.exist), else_=0), purge_at=_PURGE_AT)
    .where(or_(messages.c.stored == 1, messages.c.exist == 1), not_(_IS_WAITED_FOR))
)
_END = Statement(_END_OF.where(messages.c.message_id == bindparam("message_id")))
_END_SOME = Statement(_END_OF.where(InList(messages.c.message_id, bindparam("ids"))))
_RECALL = Statement(
    update(messages)
    .values(recalled_at=bindparam("now"), exist=0, purge_at=_PURGE_AT)
    .where(messages.c.message_id == bindparam("message_id"))
)
_IS_OPEN = and_(_OF_MESSAGE, or_(deliveries.c.state == _PENDING, deliveries.c.state == _BLOCKED))
_WAITING = select(messages.c.message_id, messages.c.size, deliveries.c.receiver_uid, deliveries.c.state)
_LIST_EXPIRED = Statement(
    _WAITING.select_from(messages.outerjoin(deliveries, _IS_OPEN))
    .where(messages.c.exist == 1, messages.c.expires_at <= bindparam("now"))
    .order_by(messages.c.expires_at, messages.c.message_id)
    .limit(bindparam("limit"))
)
_LIST_WAITING = Statement(
    _WAITING.join(deliveries, _IS_OPEN).where(InList(messages.c.message_id, bindparam("ids"))).limit(bindparam("limit"))
)
_LIST_WAITING_FOR = Statement(
    _WAITING.join(deliveries, _IS_OPEN).where(deliveries.c.receiver_uid == bindparam("receiver_uid"))
)
_ITS_DELIVERIES = select(func.count()).where(deliveries.c.message_id == messages.c.message_id).scalar_subquery()
_LIST_OLDEST = Statement(
    select(messages.c.message_id, _ITS_DELIVERIES)
    .where(messages.c.send_time < bindparam("before"), messages.c.stored == 0)
    .order_by(messages.c.send_time)
    .limit(bindparam("limit"))
)
_WITH_ALL_THAT_HANGS_ON_IT = (outbox, deliveries, messages)
_DELETE = tuple(
    Statement(delete(table).where(table.c.message_id == bindparam("message_id")))
    for table in _WITH_ALL_THAT_HANGS_ON_IT
)
_DELETE_SOME = tuple(
    Statement(delete(table).where(InList(table.c.message_id, bindparam("ids")))) for table in _WITH_ALL_THAT_HANGS_ON_IT
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An image of `size` bytes and one person who has not fetched it, or would not have but for a block; or nobody."""

    message_id: MessageId
    size: int
    receiver_uid: UserId | None
    state: DeliveryState | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A text or a link without what it says."""

    message_id: MessageId
    kind: str
    receiver_uid: UserId | None
    group_id: GroupId | None
    send_time: int


async def insert_image(
    tx: Transaction,
    *,
    message_key: str,
    sender_uid: UserId,
    receiver_uid: UserId | None,
    group_id: GroupId | None = None,
    send_time: int,
    filetype: str,
    size: int,
    sha256: bytes,
    caption: str,
    expires_at: int,
    exist: bool = True,
    purge_at: int | None = None,
    placeholder: str | None = None,
    preview: Preview | None = None,
) -> MessageId:
    """A new image, to one receiver or to one group. `exist` is false when it is over for everybody from the first, and
    `purge_at` is when its files may go.
    """
    changed = await tx.execute(
        _INSERT,
        message_key=message_key,
        sender_uid=sender_uid,
        receiver_uid=receiver_uid,
        group_id=group_id,
        send_time=send_time,
        filetype=filetype,
        size=size,
        sha256=sha256,
        caption=caption,
        expires_at=expires_at,
        exist=int(exist),
        purge_at=purge_at,
        placeholder=placeholder,
        preview_type=preview.filetype if preview else None,
        preview_size=len(preview.data) if preview else 0,
        preview_sha256=preview.sha256 if preview else None,
    )
    return MessageId(changed.last_id)


async def insert_text(
    tx: Transaction,
    *,
    kind: MessageKind,
    sender_uid: UserId,
    receiver_uid: UserId | None,
    group_id: GroupId | None,
    send_time: int,
    body: str,
    expires_at: int,
) -> MessageId:
    """A message without a file; `body` is JSON, `expires_at` when nobody needs to be told of it any more."""
    changed = await tx.execute(
        _INSERT_TEXT,
        kind=kind.value,
        sender_uid=sender_uid,
        receiver_uid=receiver_uid,
        group_id=group_id,
        send_time=send_time,
        body=body,
        expires_at=expires_at,
    )
    return MessageId(changed.last_id)


async def find_text(reader: Reader, *, message_id: int, sender_uid: UserId) -> Envelope | None:
    """The message with this id, if this person sent it and it is not an image."""
    rows = await reader.read(_FIND_TEXT, message_id=message_id, sender_uid=sender_uid)
    return Envelope(*rows[0]) if rows else None


async def lock_text(tx: Transaction, *, message_id: int, sender_uid: UserId) -> Envelope | None:
    """The message with this id, if this person sent it and it is not an image; kept until the transaction ends."""
    rows = await tx.read(_LOCK_TEXT, message_id=message_id, sender_uid=sender_uid)
    return Envelope(*rows[0]) if rows else None


async def delete_message(tx: Transaction, message_id: MessageId) -> None:
    """Erase a message and all that hangs on it."""
    for statement in _DELETE:
        await tx.execute(statement, message_id=message_id)


async def find_sent(reader: Reader, message_key: str, sender_uid: UserId) -> Message | None:
    """The image with this key, if this person sent it."""
    rows = await reader.read(_FIND_SENT, message_key=message_key, sender_uid=sender_uid)
    return message_of(rows[0]) if rows else None


async def lock_of_groups(tx: Transaction, message_ids: Iterable[MessageId]) -> None:
    """Let nobody else end a wait for those of these messages that went to a group, until this transaction ends: of two
    members who go last at once, each would see the other still waiting. The only wait for one person's needs no lock.
    """
    await tx.read(_LOCK_OF_GROUPS, ids=as_list(sorted(message_ids)))


async def end_if_nobody_waits(tx: Transaction, message_id: MessageId, now: int) -> bool:
    """When no delivery is pending any more: nobody may begin to fetch it, and its file may go with the last grace.

    It is over when it is kept back from nobody either.
    """
    return (await tx.execute(_END, message_id=message_id, now=now)).count == 1


async def end_those_nobody_waits_for(tx: Transaction, message_ids: Iterable[MessageId], now: int) -> int:
    """`end_if_nobody_waits` for many; for how many it was so."""
    return (await tx.execute(_END_SOME, ids=as_list(sorted(message_ids)), now=now)).count


async def mark_recalled(tx: Transaction, message_id: MessageId, now: int) -> None:
    """Its sender has taken it back from everybody who waited, so that it ends as by `end_if_nobody_waits`."""
    await tx.execute(_RECALL, message_id=message_id, now=now)


async def list_expired(reader: Reader, now: int, limit: int) -> list[Waiting]:
    """Images past their time that nothing has swept yet, the oldest first, with each person who still waits."""
    return [_waiting(row) for row in await reader.read(_LIST_EXPIRED, now=now, limit=limit)]


async def list_waiting(reader: Reader, message_ids: list[MessageId], limit: int) -> list[Waiting]:
    """Who still waits for these images."""
    return [_waiting(row) for row in await reader.read(_LIST_WAITING, ids=as_list(message_ids), limit=limit)]


async def list_waiting_for(reader: Reader, receiver_uid: UserId) -> list[Waiting]:
    """What this person has not fetched."""
    return [_waiting(row) for row in await reader.read(_LIST_WAITING_FOR, receiver_uid=receiver_uid)]


async def purge(tx: Transaction, *, before: int, limit: int) -> int:
    """Erase messages from before then whose file is gone, with all that hangs on them; how many messages.

    `limit` bounds the rows, up to the end of a message that has begun.
    """
    ids, rows = list[int](), 0
    for message_id, its_deliveries in await tx.read(_LIST_OLDEST, before=before, limit=limit):
        if rows >= limit:
            break
        ids.append(message_id)
        rows += 1 + its_deliveries
    if ids:
        for statement in _DELETE_SOME:
            await tx.execute(statement, ids=as_list(ids))
    return len(ids)


def _waiting(row: Row) -> Waiting:
    message_id, size, receiver_uid, state = row
    return Waiting(message_id, size, receiver_uid, DeliveryState(state) if state else None)


def message_of(row: Sequence[Any]) -> Message:
    """A row of COLUMNS as a Message."""
    return Message(*row)
