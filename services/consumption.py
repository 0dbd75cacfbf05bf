# SPDX-License-Identifier: Apache-2.0
"""How an image ends by its receiver, who has it, or by its sender, who takes it back.

All of it is part of a caller's transaction. The people come first: a change of a delivery takes a share of its
receiver's row by the foreign key, and two who hold a share of what both want to write wait for each other.
"""

from models import rules
from models.db.database import Transaction
from models.db.tables import deliveries, events, messages
from models.errors import AppError, ImageConsumed, ImageExpired
from models.message import Delivery, DeliveryState, Message

RECALLED_TOO_LATE = "The receiver had fetched it before it was taken back."


class TooLate(Exception):
    """The image does not wait for its receiver any more: the transaction is to be undone."""


async def mark_consumed(tx: Transaction, delivery: Delivery, *, now: int, until: int) -> None:
    """The receiver has the image, and may fetch it again until then; its sender is told. Of racing calls one does it.

    Raises TooLate.
    """
    message, uid = delivery.message, delivery.receiver_uid
    await events.take_from_inbox(tx, uid=uid, size=message.size, told=message.sender_uid)
    await _lock_if_of_group(tx, message)
    if not await deliveries.mark_consumed(tx, message_id=message.message_id, uid=uid, now=now, until=until):
        raise TooLate
    await messages.end_if_nobody_waits(tx, message.message_id, now)
    if message.sender_uid is not None:
        said = {"message_id": message.message_id, "message_key": message.message_key}
        data = {**said, "receiver_uid": uid, "consumed_at": now}
        await events.say_taken(tx, told=message.sender_uid, kind="image_consumed", at=now, data=data)


async def restart_grace(tx: Transaction, delivery: Delivery, *, now: int, until: int) -> None:
    """The receiver has fetched it once more: if the grace still runs, it ends then."""
    message = delivery.message
    await _lock_if_of_group(tx, message)
    if await deliveries.set_grace(tx, message_id=message.message_id, uid=delivery.receiver_uid, now=now, until=until):
        await messages.end_if_nobody_waits(tx, message.message_id, now)


async def recall(tx: Transaction, message: Message, *, now: int) -> AppError | None:
    """Take back from everybody who has not consumed. The refusal is a value: None when there was something left."""
    message_id = message.message_id
    await _lock_receivers(tx, message)
    await _lock_if_of_group(tx, message)
    receipts = await deliveries.list_of_message(tx, message_id)
    waiting = [r.uid for r in receipts if rules.state_at(r.state, message.expires_at, now) is DeliveryState.PENDING]
    kept_back = [r.uid for r in receipts if r.state is DeliveryState.BLOCKED]
    shown = {rules.state_for_sender(receipt.state, message, now) for receipt in receipts}
    # Also where nobody waits: the time that it takes must not tell who blocks the sender.
    await deliveries.recall(tx, message_id, [*waiting, *kept_back])
    await events.append_for_all(
        tx,
        uids=waiting,
        kind="image_recalled",
        at=now,
        data={"message_id": message_id, "message_key": message.message_key},
        pending_count=-1,
        pending_bytes=-message.size,
    )
    if DeliveryState.PENDING in shown:
        await messages.mark_recalled(tx, message_id, now)
    if shown & {DeliveryState.PENDING, DeliveryState.RECALLED}:
        return None
    return ImageConsumed(RECALLED_TOO_LATE) if DeliveryState.CONSUMED in shown else ImageExpired()


async def _lock_receivers(tx: Transaction, message: Message) -> None:
    if message.group_id is not None:
        await events.lock_counters(tx, [each.uid for each in await deliveries.list_of_message(tx, message.message_id)])
    elif message.receiver_uid is not None:
        await events.lock_counters(tx, [message.receiver_uid])


async def _lock_if_of_group(tx: Transaction, message: Message) -> None:
    if message.group_id is not None:
        await messages.lock_of_groups(tx, [message.message_id])
