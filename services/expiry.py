# SPDX-License-Identifier: Apache-2.0
"""How an image ends without its receiver: its time is over, or its bytes are lost."""

from collections import defaultdict
from collections.abc import Sequence

from models.db import deliveries, events, messages
from models.db.database import Transaction
from models.db.messages import Waiting
from models.message import DeliveryState, MessageId
from models.user import UserId

BATCH_WAITS = 66
"""Each changes a row of three tables, and a transaction beside a server changes at most 200."""


async def expire(
    tx: Transaction, waits: Sequence[Waiting], now: int, state: DeliveryState = DeliveryState.EXPIRED
) -> int:
    """End these people's waiting in `state`, EXPIRED or LOST; how many images nobody waits for any more.

    Who has fetched meanwhile keeps that.
    """
    left: dict[UserId, list[int]] = defaultdict(list)
    touched: dict[MessageId, None] = {}
    for wait in waits:
        if wait.receiver_uid is not None:
            if not await deliveries.leave_pending(tx, message_id=wait.message_id, uid=wait.receiver_uid, state=state):
                continue
            left[wait.receiver_uid].append(wait.size)
        touched[wait.message_id] = None
    for uid in sorted(left):
        await events.move_counters(tx, uid=uid, pending_count=-len(left[uid]), pending_bytes=-sum(left[uid]))
    return sum([await messages.end_if_nobody_waits(tx, message_id, now) for message_id in touched])
