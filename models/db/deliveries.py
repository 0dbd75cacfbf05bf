# SPDX-License-Identifier: Apache-2.0
"""Statements over `deliveries`: one person's part of a message."""

from dataclasses import dataclass

from sqlalchemy import Select, bindparam, insert, select, update

from models.db.database import Reader, Row, Statement, Transaction
from models.db.messages import COLUMNS, message_of
from models.db.schema import deliveries, messages, users
from models.message import Delivery, DeliveryState, MessageId
from models.user import UserId

PENDING, CONSUMED = DeliveryState.PENDING.value, DeliveryState.CONSUMED.value


def _delivery() -> Select[Row]:
    own = (deliveries.c.receiver_uid, deliveries.c.state, deliveries.c.consumed_at, deliveries.c.readable_until)
    return select(*COLUMNS, *own).join(deliveries, deliveries.c.message_id == messages.c.message_id)


_INSERT = Statement(
    insert(deliveries).values(
        message_id=bindparam("message_id"),
        receiver_uid=bindparam("receiver_uid"),
        sender_uid=bindparam("sender_uid"),
        state=PENDING,
    )
)
_FIND = Statement(
    _delivery().where(
        messages.c.message_key == bindparam("message_key"), deliveries.c.receiver_uid == bindparam("receiver_uid")
    )
)
_OLDEST_FROM = Statement(
    _delivery()
    .where(
        deliveries.c.receiver_uid == bindparam("receiver_uid"),
        deliveries.c.sender_uid == bindparam("sender_uid"),
        deliveries.c.state == PENDING,
        messages.c.expires_at > bindparam("now"),
    )
    .order_by(deliveries.c.message_id)
    .limit(1)
)
_OF_MESSAGE = Statement(
    select(deliveries.c.receiver_uid, deliveries.c.state, deliveries.c.consumed_at)
    .where(deliveries.c.message_id == bindparam("message_id"))
    .order_by(deliveries.c.receiver_uid)
)
_CONSUME = Statement(
    update(deliveries)
    .values(state=CONSUMED, consumed_at=bindparam("now"), readable_until=bindparam("until"))
    .where(
        deliveries.c.message_id == bindparam("message_id"),
        deliveries.c.receiver_uid == bindparam("uid"),
        deliveries.c.state == PENDING,
    )
)
_SET_GRACE = Statement(
    update(deliveries)
    .values(readable_until=bindparam("until"))
    .where(
        deliveries.c.message_id == bindparam("message_id"),
        deliveries.c.receiver_uid == bindparam("uid"),
        deliveries.c.state == CONSUMED,
        deliveries.c.readable_until > bindparam("now"),
    )
)
_LEAVE_PENDING = Statement(
    update(deliveries)
    .values(state=bindparam("new_state"))
    .where(
        deliveries.c.message_id == bindparam("message_id"),
        deliveries.c.receiver_uid == bindparam("uid"),
        deliveries.c.state == PENDING,
    )
)
_INBOX = Statement(
    select(*COLUMNS, users.c.region_num, users.c.phone_cipher)
    .select_from(deliveries)
    .join(messages, messages.c.message_id == deliveries.c.message_id)
    .outerjoin(users, users.c.uid == messages.c.sender_uid)
    .where(
        deliveries.c.receiver_uid == bindparam("receiver_uid"),
        deliveries.c.state == PENDING,
        deliveries.c.message_id > bindparam("after"),
        deliveries.c.message_id < bindparam("before"),
        messages.c.expires_at > bindparam("now"),
    )
    .order_by(deliveries.c.message_id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """How one receiver stands with a message, as its sender may see it."""

    uid: UserId
    state: DeliveryState
    consumed_at: int | None


async def insert_pending(tx: Transaction, *, message_id: MessageId, receiver_uid: UserId, sender_uid: UserId) -> None:
    await tx.execute(_INSERT, message_id=message_id, receiver_uid=receiver_uid, sender_uid=sender_uid)


async def find(reader: Reader, message_key: str, receiver_uid: UserId) -> Delivery | None:
    """This person's part of the image with this key."""
    rows = await reader.read(_FIND, message_key=message_key, receiver_uid=receiver_uid)
    return _delivery_of(rows[0]) if rows else None


async def find_oldest_from(reader: Reader, *, sender_uid: UserId, receiver_uid: UserId, now: int) -> Delivery | None:
    """The oldest pending image from one person to another."""
    rows = await reader.read(_OLDEST_FROM, sender_uid=sender_uid, receiver_uid=receiver_uid, now=now)
    return _delivery_of(rows[0]) if rows else None


async def list_of_message(reader: Reader, message_id: MessageId) -> list[Receipt]:
    rows = await reader.read(_OF_MESSAGE, message_id=message_id)
    return [Receipt(uid, DeliveryState(state), consumed_at) for uid, state, consumed_at in rows]


async def list_inbox(
    reader: Reader, *, receiver_uid: UserId, after: int, before: int, now: int, limit: int
) -> list[Row]:
    """Pending images, oldest first: a message's columns, then the sender's region and encrypted phone."""
    return await reader.read(_INBOX, receiver_uid=receiver_uid, after=after, before=before, now=now, limit=limit)


async def mark_consumed(tx: Transaction, *, message_id: MessageId, uid: UserId, now: int, until: int) -> bool:
    """True for the one call that consumes. `until`: how long the same person may fetch it again."""
    return (await tx.execute(_CONSUME, message_id=message_id, uid=uid, now=now, until=until)).count == 1


async def set_grace(tx: Transaction, *, message_id: MessageId, uid: UserId, now: int, until: int) -> bool:
    """Move the end of a grace that still runs. False when it is over or nothing was consumed."""
    return (await tx.execute(_SET_GRACE, message_id=message_id, uid=uid, now=now, until=until)).count == 1


async def leave_pending(tx: Transaction, *, message_id: MessageId, uid: UserId, state: DeliveryState) -> bool:
    """End a pending delivery as expired or recalled. True for the one call that does."""
    return (await tx.execute(_LEAVE_PENDING, message_id=message_id, uid=uid, new_state=state.value)).count == 1


def _delivery_of(row: Row) -> Delivery:
    *message, receiver_uid, state, consumed_at, readable_until = row
    return Delivery(message_of(tuple(message)), receiver_uid, DeliveryState(state), consumed_at, readable_until)
