# SPDX-License-Identifier: Apache-2.0
"""Statements over `deliveries`: one person's part of a message."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Select, bindparam, case, exists, insert, or_, select, update

from models.db.database import InList, Reader, Row, Statement, Transaction, as_list
from models.db.schema import deliveries, devices, group_members, messages, phone_index, users
from models.db.tables.credentials import IS_CALLER_LET_IN
from models.db.tables.messages import COLUMNS, IS_IMAGE, message_of
from models.group import GroupId
from models.keys import PhoneDigest
from models.message import Delivery, DeliveryState, Message, MessageId
from models.user import UserId

PENDING, CONSUMED = DeliveryState.PENDING.value, DeliveryState.CONSUMED.value
WITHHELD, RELEASED, BLOCKED = (
    DeliveryState.WITHHELD.value,
    DeliveryState.RELEASED.value,
    DeliveryState.BLOCKED.value,
)


def _delivery() -> Select[Row]:
    own = (deliveries.c.receiver_uid, deliveries.c.state, deliveries.c.consumed_at, deliveries.c.readable_until)
    is_in_group = exists().where(
        group_members.c.group_id == messages.c.group_id, group_members.c.uid == deliveries.c.receiver_uid
    )
    is_member = or_(messages.c.group_id.is_(None), is_in_group)
    return select(*COLUMNS, *own, is_member).join(deliveries, deliveries.c.message_id == messages.c.message_id)


_INSERT = Statement(
    insert(deliveries).values(
        message_id=bindparam("message_id"),
        receiver_uid=bindparam("receiver_uid"),
        sender_uid=bindparam("sender_uid"),
        state=bindparam("in_state"),
    )
)
_INSERT_FOR_MEMBERS = Statement(
    insert(deliveries).from_select(
        ["message_id", "receiver_uid", "sender_uid", "state"],
        select(
            bindparam("message_id", type_=deliveries.c.message_id.type),
            users.c.uid,
            bindparam("sender_uid", type_=deliveries.c.sender_uid.type),
            case(
                (InList(users.c.uid, bindparam("reached")), bindparam("first_state", type_=deliveries.c.state.type)),
                (InList(users.c.uid, bindparam("blocking")), BLOCKED),
                else_=WITHHELD,
            ),
        ).where(InList(users.c.uid, bindparam("receiver_uids"))),
    )
)
_FIND = Statement(
    _delivery().where(
        messages.c.message_key == bindparam("message_key"), deliveries.c.receiver_uid == bindparam("receiver_uid")
    )
)
_FIND_OF_CALLER = Statement(
    _delivery().where(
        messages.c.message_key == bindparam("message_key"),
        deliveries.c.receiver_uid == bindparam("caller_uid"),
        IS_CALLER_LET_IN,
    )
)
_FIND_OF_DEVICE = Statement(
    _delivery()
    .join(devices, devices.c.uid == deliveries.c.receiver_uid)
    .join(users, users.c.uid == devices.c.uid)
    .where(
        messages.c.message_id == bindparam("message_id"),
        devices.c.device_id == bindparam("device_id"),
        devices.c.ended_at.is_(None),
        users.c.disabled_at.is_(None),
        users.c.leaving_at.is_(None),
    )
)
_WHOSE_PHONE = (
    select(phone_index.c.uid)
    .where(phone_index.c.version == bindparam("version"), phone_index.c.digest == bindparam("digest"))
    .scalar_subquery()
)
_OLDEST_FROM = Statement(
    _delivery()
    .where(
        deliveries.c.receiver_uid == bindparam("receiver_uid"),
        deliveries.c.sender_uid == _WHOSE_PHONE,
        deliveries.c.state == PENDING,
        IS_IMAGE,
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
_STATE = Statement(
    select(deliveries.c.state).where(
        deliveries.c.message_id == bindparam("message_id"), deliveries.c.receiver_uid == bindparam("uid")
    )
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
_CHANGE = Statement(
    update(deliveries)
    .values(state=bindparam("new_state"))
    .where(
        deliveries.c.message_id == bindparam("message_id"),
        deliveries.c.receiver_uid == bindparam("uid"),
        deliveries.c.state == bindparam("old_state"),
    )
)
_RECALL = Statement(
    update(deliveries)
    .values(state=case((deliveries.c.state == BLOCKED, WITHHELD), else_=DeliveryState.RECALLED.value))
    .where(
        deliveries.c.message_id == bindparam("message_id"),
        InList(deliveries.c.receiver_uid, bindparam("receiver_uids")),
        or_(deliveries.c.state == PENDING, deliveries.c.state == BLOCKED),
    )
)
_LIST_FROM = Statement(
    select(messages.c.message_id, messages.c.size, deliveries.c.state)
    .select_from(deliveries)
    .join(messages, messages.c.message_id == deliveries.c.message_id)
    .where(
        deliveries.c.receiver_uid == bindparam("receiver_uid"),
        deliveries.c.sender_uid == bindparam("from_uid"),
        deliveries.c.state == PENDING,
        IS_IMAGE,
    )
)
_KEEP_BACK = Statement(
    update(deliveries)
    .values(state=BLOCKED)
    .where(
        deliveries.c.receiver_uid == bindparam("uid"),
        InList(deliveries.c.message_id, bindparam("message_ids")),
        deliveries.c.state == PENDING,
    )
)
_IS_UNSETTLED = or_(deliveries.c.state == PENDING, deliveries.c.state == WITHHELD, deliveries.c.state == BLOCKED)
_LIST_OF_GROUP = Statement(
    select(messages.c.message_id, messages.c.size, deliveries.c.state)
    .select_from(deliveries)
    .join(messages, messages.c.message_id == deliveries.c.message_id)
    .where(
        deliveries.c.receiver_uid == bindparam("receiver_uid"),
        _IS_UNSETTLED,
        messages.c.group_id == bindparam("group_id"),
        IS_IMAGE,
        messages.c.expires_at > bindparam("now"),
        messages.c.recalled_at.is_(None),
    )
)
_RELEASE = Statement(
    update(deliveries)
    .values(state=RELEASED)
    .where(
        deliveries.c.receiver_uid == bindparam("uid"),
        InList(deliveries.c.message_id, bindparam("message_ids")),
        _IS_UNSETTLED,
    )
)
_INBOX = Statement(
    select(*COLUMNS, users.c.region_num, users.c.phone_cipher)
    .select_from(deliveries)
    .join(messages, messages.c.message_id == deliveries.c.message_id)
    .outerjoin(users, users.c.uid == messages.c.sender_uid)
    .where(
        deliveries.c.receiver_uid == bindparam("caller_uid"),
        deliveries.c.state == PENDING,
        deliveries.c.message_id > bindparam("after"),
        deliveries.c.message_id < bindparam("before"),
        IS_IMAGE,
        messages.c.expires_at > bindparam("now"),
        IS_CALLER_LET_IN,
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


class Pending(NamedTuple):
    """An image that waits for somebody, and of its sender the region and the encrypted number."""

    message: Message
    sender_region: str | None
    sender_phone: bytes | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A message of `size` bytes that waits for one person, or was kept from them."""

    message_id: MessageId
    size: int
    state: DeliveryState


async def insert_one(
    tx: Transaction,
    *,
    message_id: MessageId,
    receiver_uid: UserId,
    sender_uid: UserId,
    state: DeliveryState = DeliveryState.PENDING,
) -> None:
    """What one person gets: an image waits for them, a text is SENT."""
    await tx.execute(
        _INSERT, message_id=message_id, receiver_uid=receiver_uid, sender_uid=sender_uid, in_state=state.value
    )


async def insert_for_members(
    tx: Transaction,
    *,
    message_id: MessageId,
    states: Mapping[UserId, DeliveryState],
    reached: DeliveryState,
    sender_uid: UserId,
) -> None:
    """One row for each of these people, whose state is `reached`, BLOCKED or WITHHELD."""
    await tx.execute(
        _INSERT_FOR_MEMBERS,
        message_id=message_id,
        receiver_uids=as_list(states),
        sender_uid=sender_uid,
        reached=as_list(uid for uid, state in states.items() if state is reached),
        first_state=reached.value,
        blocking=as_list(uid for uid, state in states.items() if state is DeliveryState.BLOCKED),
    )


async def find(reader: Reader, message_key: str, receiver_uid: UserId) -> Delivery | None:
    """This person's part of the image with this key."""
    rows = await reader.read(_FIND, message_key=message_key, receiver_uid=receiver_uid)
    return _delivery_of(rows[0]) if rows else None


async def find_of_caller(
    reader: Reader, message_key: str, *, uid: UserId, credential_id: int | None, family: str | None, now: int
) -> Delivery | None:
    """This person's part of the image with this key, if this ukey or this family of tokens still lets them in."""
    rows = await reader.read(
        _FIND_OF_CALLER, message_key=message_key, caller_uid=uid, credential_id=credential_id, family=family, now=now
    )
    return _delivery_of(rows[0]) if rows else None


async def find_of_device(reader: Reader, *, message_id: int, device_id: int) -> Delivery | None:
    """The part of a message of whoever has this device, as long as both are here."""
    rows = await reader.read(_FIND_OF_DEVICE, message_id=message_id, device_id=device_id)
    return _delivery_of(rows[0]) if rows else None


async def find_oldest_from(reader: Reader, *, sender: PhoneDigest, receiver_uid: UserId, now: int) -> Delivery | None:
    """The oldest pending image from whoever has this number to a person."""
    rows = await reader.read(
        _OLDEST_FROM, version=sender.version, digest=sender.digest, receiver_uid=receiver_uid, now=now
    )
    return _delivery_of(rows[0]) if rows else None


async def list_of_message(reader: Reader, message_id: MessageId) -> list[Receipt]:
    """How each receiver stands with a message."""
    rows = await reader.read(_OF_MESSAGE, message_id=message_id)
    return [Receipt(uid, DeliveryState(state), consumed_at) for uid, state, consumed_at in rows]


async def find_state(reader: Reader, message_id: MessageId, uid: UserId) -> DeliveryState | None:
    """How this person stands with a message; None when it did not go to them."""
    rows = await reader.read(_STATE, message_id=message_id, uid=uid)
    return DeliveryState(rows[0][0]) if rows else None


async def list_inbox(
    reader: Reader,
    *,
    uid: UserId,
    credential_id: int | None,
    family: str | None,
    after: int,
    before: int,
    now: int,
    limit: int,
) -> list[Pending]:
    """Pending images, oldest first. Nothing for whom this ukey or this family of tokens does not let in any more."""
    rows = await reader.read(
        _INBOX,
        caller_uid=uid,
        credential_id=credential_id,
        family=family,
        after=after,
        before=before,
        now=now,
        limit=limit,
    )
    return [Pending(message_of(message), region, phone) for *message, region, phone in rows]


async def mark_consumed(tx: Transaction, *, message_id: MessageId, uid: UserId, now: int, until: int) -> bool:
    """True for the one call that consumes. `until`: how long the same person may fetch it again."""
    return (await tx.execute(_CONSUME, message_id=message_id, uid=uid, now=now, until=until)).count == 1


async def set_grace(tx: Transaction, *, message_id: MessageId, uid: UserId, now: int, until: int) -> bool:
    """Move the end of a grace that still runs. False when it is over or nothing was consumed."""
    return (await tx.execute(_SET_GRACE, message_id=message_id, uid=uid, now=now, until=until)).count == 1


async def change(
    tx: Transaction, *, message_id: MessageId, uid: UserId, before: DeliveryState, after: DeliveryState
) -> bool:
    """Let one state follow another. True for the one call that does."""
    changed = await tx.execute(_CHANGE, message_id=message_id, uid=uid, old_state=before.value, new_state=after.value)
    return changed.count == 1


async def list_pending_from(tx: Transaction, *, receiver_uid: UserId, sender_uid: int) -> list[Unsettled]:
    """What waits for one person from another, in groups too."""
    rows = await tx.read(_LIST_FROM, receiver_uid=receiver_uid, from_uid=sender_uid)
    return [Unsettled(MessageId(message_id), size, DeliveryState(state)) for message_id, size, state in rows]


async def keep_back(tx: Transaction, receiver_uid: UserId, message_ids: Iterable[MessageId]) -> None:
    """What waits of these messages for a person waits no more: BLOCKED."""
    await tx.execute(_KEEP_BACK, uid=receiver_uid, message_ids=as_list(message_ids))


async def recall(tx: Transaction, message_id: MessageId, receiver_uids: Iterable[UserId]) -> None:
    """Take a message back from those of these people who have not fetched it, or would not have but for a block."""
    await tx.execute(_RECALL, message_id=message_id, receiver_uids=as_list(receiver_uids))


async def list_of_group(tx: Transaction, receiver_uid: UserId, group_id: GroupId, now: int) -> list[Unsettled]:
    """The images of this group that this person could still fetch, or could if they were not withheld from them."""
    rows = await tx.read(_LIST_OF_GROUP, receiver_uid=receiver_uid, group_id=group_id, now=now)
    return [Unsettled(MessageId(message_id), size, DeliveryState(state)) for message_id, size, state in rows]


async def release(tx: Transaction, receiver_uid: UserId, message_ids: Iterable[MessageId]) -> None:
    """End what this person has not fetched of these messages."""
    await tx.execute(_RELEASE, uid=receiver_uid, message_ids=as_list(message_ids))


def _delivery_of(row: Row) -> Delivery:
    *message, receiver_uid, state, consumed_at, readable_until, is_member = row
    return Delivery(
        message_of(message), receiver_uid, DeliveryState(state), consumed_at, readable_until, is_member=bool(is_member)
    )
