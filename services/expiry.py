# SPDX-License-Identifier: Apache-2.0
"""How an image ends without its receiver: its time is over, its bytes are lost, or the receiver leaves the group or
blocks its sender.
"""

from collections import defaultdict
from collections.abc import Sequence

from models.db.database import Transaction
from models.db.tables import deliveries, events, messages
from models.db.tables.deliveries import Unsettled
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

    Who has fetched meanwhile keeps that. What is kept back from somebody stays so, but no longer counts.
    """
    await events.lock_counters(tx, {wait.receiver_uid for wait in waits if wait.receiver_uid is not None})
    await messages.lock_of_groups(tx, {wait.message_id for wait in waits})
    left: dict[UserId, list[int]] = defaultdict(list)
    touched: set[MessageId] = set()
    for wait in waits:
        if wait.receiver_uid is None or await _end(tx, wait, wait.receiver_uid, state):
            touched.add(wait.message_id)
            if wait.receiver_uid is not None and wait.state is DeliveryState.PENDING:
                left[wait.receiver_uid].append(wait.size)
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
    await _give_room_back(tx, uid, [part for part in unsettled if part.state is DeliveryState.PENDING])
    counted = [part.message_id for part in unsettled if part.state is not DeliveryState.WITHHELD]
    if counted:
        await messages.end_those_nobody_waits_for(tx, counted, now)
    return len(unsettled)


async def keep_back(tx: Transaction, *, uid: UserId, sender_uid: int, now: int) -> None:
    """What waits for this person from somebody whom they block from now on, in groups too, waits no more.

    The caller has locked both.
    """
    waiting = await deliveries.list_pending_from(tx, receiver_uid=uid, sender_uid=sender_uid)
    ids = [part.message_id for part in waiting]
    if not ids:
        return
    await messages.lock_of_groups(tx, ids)
    await deliveries.keep_back(tx, uid, ids)
    await _give_room_back(tx, uid, waiting)
    await messages.end_those_nobody_waits_for(tx, ids, now)


async def _end(tx: Transaction, wait: Waiting, uid: UserId, state: DeliveryState) -> bool:
    assert wait.state is not None
    after = DeliveryState.WITHHELD if wait.state is DeliveryState.BLOCKED else state
    return await deliveries.change(tx, message_id=wait.message_id, uid=uid, before=wait.state, after=after)


async def _give_room_back(tx: Transaction, uid: UserId, parts: Sequence[Unsettled]) -> None:
    if parts:
        size = sum(part.size for part in parts)
        await events.move_counters(tx, uid=uid, pending_count=-len(parts), pending_bytes=-size)
