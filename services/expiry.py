# SPDX-License-Identifier: Apache-2.0
"""How an image ends without its receiver: its time is over, its bytes are lost, or the receiver leaves the group."""

from collections import defaultdict
from collections.abc import Sequence

from models.db.database import Transaction
from models.db.tables import deliveries, events, messages
from models.db.tables.messages import Waiting
from models.group import GroupId
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
    await events.lock_counters(tx, {wait.receiver_uid for wait in waits if wait.receiver_uid is not None})
    await messages.lock_of_groups(tx, {wait.message_id for wait in waits})
    left: dict[UserId, list[int]] = defaultdict(list)
    touched: set[MessageId] = set()
    for wait in waits:
        if wait.receiver_uid is not None:
            if not await deliveries.leave_pending(tx, message_id=wait.message_id, uid=wait.receiver_uid, state=state):
                continue
            left[wait.receiver_uid].append(wait.size)
        touched.add(wait.message_id)
    ended = await messages.end_those_nobody_waits_for(tx, touched, now) if touched else 0
    for uid in sorted(left):
        await events.move_counters(tx, uid=uid, pending_count=-len(left[uid]), pending_bytes=-sum(left[uid]))
    return ended


async def release(tx: Transaction, *, uid: UserId, group_id: GroupId, now: int) -> int:
    """End what this person has not fetched of what was sent to a group that they leave; how many images.

    Those withheld from them end alike, and what is past its time or was taken back stays so, withheld or not: only so
    the sender cannot tell the two apart afterwards. The caller has locked the group and the person.
    """
    found = await deliveries.list_of_group(tx, uid, group_id, now)
    if not found:
        return 0
    await messages.lock_of_groups(tx, [part.message_id for part in found])
    unsettled = await deliveries.list_of_group(tx, uid, group_id, now)
    if unsettled:
        await deliveries.release(tx, uid, [part.message_id for part in unsettled])
    pending = [part for part in unsettled if part.state is DeliveryState.PENDING]
    if pending:
        size = sum(part.size for part in pending)
        await events.move_counters(tx, uid=uid, pending_count=-len(pending), pending_bytes=-size)
        await messages.end_those_nobody_waits_for(tx, [part.message_id for part in pending], now)
    return len(unsettled)
