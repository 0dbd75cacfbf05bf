# SPDX-License-Identifier: Apache-2.0
"""Statements over `events`, one durable log per person, and over the counters of a person's inbox.

An event's id is that person's own sequence, taken from `users.event_seq` in the transaction of what the event
reports. Whoever writes to several people takes them in ascending uid, so that no two transactions wait for each
other.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, case, delete, func, insert, select, tuple_, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import events, messages, users
from models.db.tables import budgets
from models.db.tables.messages import SAID_BYTES
from models.message import MessageId
from models.user import UserId

_COUNTED = {
    "pending_count": users.c.pending_count + bindparam("count"),
    "pending_bytes": users.c.pending_bytes + bindparam("size"),
}
_OF_ONE = users.c.uid == bindparam("of_uid")
_OF_ALL = InList(users.c.uid, bindparam("uids"))

_NEXT = Statement(update(users).values(event_seq=users.c.event_seq + bindparam("step"), **_COUNTED).where(_OF_ONE))
_COUNT = Statement(update(users).values(**_COUNTED).where(_OF_ONE))
_TAKE = Statement(
    update(users)
    .values(
        event_seq=users.c.event_seq + case((users.c.uid == bindparam("told"), 1), else_=0),
        pending_count=users.c.pending_count - case((users.c.uid == bindparam("whose"), 1), else_=0),
        pending_bytes=users.c.pending_bytes - case((users.c.uid == bindparam("whose"), bindparam("size")), else_=0),
    )
    .where(_OF_ALL)
)
_LOCK = Statement(select(users.c.uid).where(_OF_ALL).order_by(users.c.uid).with_for_update())
_COLUMNS = ["uid", "event_id", "type", "at", "data", "message_id"]
_ONE_EACH = select(
    users.c.uid,
    users.c.event_seq,
    bindparam("type"),
    bindparam("at"),
    bindparam("data"),
    bindparam("message_id", type_=events.c.message_id.type),
)
_INSERT = Statement(insert(events).from_select(_COLUMNS, _ONE_EACH.where(_OF_ONE)))
_NEXT_OF_ALL = Statement(update(users).values(event_seq=users.c.event_seq + 1, **_COUNTED).where(_OF_ALL))
_INSERT_FOR_ALL = Statement(insert(events).from_select(_COLUMNS, _ONE_EACH.where(_OF_ALL)))
_POSITION = Statement(
    select(
        users.c.event_seq,
        select(func.min(events.c.event_id)).where(events.c.uid == bindparam("of_uid")).scalar_subquery(),
    ).where(users.c.uid == bindparam("of_uid"))
)
_LIST_NEWEST = Statement(select(users.c.uid, users.c.event_seq).where(InList(users.c.uid, bindparam("uids"))))
_LOGGED = (
    events.c.event_id,
    events.c.type,
    events.c.at,
    events.c.data,
    events.c.message_id,
    func.octet_length(events.c.data) + func.coalesce(SAID_BYTES, 0),
)
_NEWEST_OF_ALL = Statement(
    select(events.c.uid, *_LOGGED)
    .select_from(
        users.join(events, (events.c.uid == users.c.uid) & (events.c.event_id == users.c.event_seq)).outerjoin(
            messages, messages.c.message_id == events.c.message_id
        )
    )
    .where(InList(users.c.uid, bindparam("uids")))
)
_LIST_AFTER = Statement(
    select(*_LOGGED)
    .select_from(events.outerjoin(messages, messages.c.message_id == events.c.message_id))
    .where(events.c.uid == bindparam("of_uid"), events.c.event_id > bindparam("after"))
    .order_by(events.c.event_id)
    .limit(bindparam("limit"))
)
_LIST_OLDEST = Statement(
    select(events.c.uid, events.c.event_id)
    .where(events.c.at < bindparam("before"))
    .order_by(events.c.at)
    .limit(bindparam("limit"))
)
_DELETE = Statement(delete(events).where(InList(tuple_(events.c.uid, events.c.event_id), bindparam("pairs"))))
_LIST_FIRST = Statement(
    select(
        users.c.uid,
        select(func.min(events.c.event_id)).where(events.c.uid == users.c.uid).correlate(users).scalar_subquery(),
    )
    .where(InList(users.c.uid, bindparam("uids")))
    .order_by(users.c.uid)
)
_DELETE_UP_TO = Statement(
    delete(events).where(events.c.uid == bindparam("of_uid"), events.c.event_id <= bindparam("last"))
)


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of one person's log. `data` is JSON: all that the event says, or nothing where it is about the message
    `message_id`, which says it. `size` is how many bytes both take.
    """

    event_id: int
    type: str
    at: int
    data: str
    message_id: MessageId | None
    size: int


async def find_position(reader: Reader, *, uid: UserId) -> tuple[int, int | None]:
    """The id of the person's newest event, 0 before the first, and that of the oldest kept."""
    rows = await reader.read(_POSITION, of_uid=uid)
    return (rows[0][0], rows[0][1]) if rows else (0, None)


async def list_after(reader: Reader, *, uid: UserId, after: int, limit: int) -> list[Logged]:
    """The person's events behind this id, the oldest first, without what messages say."""
    return [Logged(*row) for row in await reader.read(_LIST_AFTER, of_uid=uid, after=after, limit=limit)]


async def newest_of_all(reader: Reader, uids: Collection[int]) -> dict[int, Logged]:
    """The newest event of each of these people who has one, without what messages say. At most 1,000 people."""
    return {uid: Logged(*row) for uid, *row in await reader.read(_NEWEST_OF_ALL, uids=as_list(sorted(uids)))}


async def append(
    tx: Transaction,
    *,
    uid: UserId,
    kind: str,
    at: int,
    data: Mapping[str, object] | None = None,
    message_id: MessageId | None = None,
    pending_count: int = 0,
    pending_bytes: int = 0,
    seen: bool = True,
) -> None:
    """Add to a person's log, and in the same stroke move the counters of their inbox.

    What a message says is never `data`: an event that is about a message has its `message_id`. With `seen` false
    neither changes, and as much is done: the time that it takes must not tell.
    """
    shown = int(seen)
    await tx.execute(_NEXT, of_uid=uid, step=shown, count=shown * pending_count, size=shown * pending_bytes)
    if seen:
        await tx.execute(_INSERT, of_uid=uid, type=kind, at=at, data=_text(data), message_id=message_id)
    else:
        await budgets.insert_decoy(tx, now=at)
    tx.touched.add(uid)


async def append_for_all(
    tx: Transaction,
    *,
    uids: Collection[UserId],
    kind: str,
    at: int,
    data: Mapping[str, object] | None = None,
    message_id: MessageId | None = None,
    pending_count: int = 0,
    pending_bytes: int = 0,
) -> None:
    """`append` of the same to many people: two statements, however many they are."""
    tx.touched.update(uids)
    people = as_list(sorted(uids))
    await tx.execute(_NEXT_OF_ALL, uids=people, count=pending_count, size=pending_bytes)
    await tx.execute(_INSERT_FOR_ALL, uids=people, type=kind, at=at, data=_text(data), message_id=message_id)


async def move_counters(tx: Transaction, *, uid: UserId, pending_count: int, pending_bytes: int) -> None:
    """Move the counters of an inbox where nothing is worth an event."""
    await tx.execute(_COUNT, of_uid=uid, count=pending_count, size=pending_bytes)


async def take_from_inbox(tx: Transaction, *, uid: UserId, size: int, told: UserId | None) -> None:
    """An image of `size` bytes leaves a person's inbox, and somebody's log will say so: `say_taken` must follow."""
    people = as_list(sorted({uid, uid if told is None else told}))
    await tx.execute(_TAKE, uids=people, whose=uid, size=size, told=told)


async def say_taken(tx: Transaction, *, told: UserId, kind: str, at: int, data: Mapping[str, object]) -> None:
    """The event whose number `take_from_inbox` has taken."""
    await tx.execute(_INSERT, of_uid=told, type=kind, at=at, data=_text(data), message_id=None)
    tx.touched.add(told)


async def lock_counters(tx: Transaction, uids: Collection[int]) -> None:
    """Keep the counters of these people's inboxes, and what they count, as they are until the transaction ends."""
    await tx.read(_LOCK, uids=as_list(sorted(uids)))


async def purge(tx: Transaction, *, before: int, limit: int) -> int:
    """Erase events from before then, the oldest first; how many. What is left of a log has no gap."""
    keys = sorted([(uid, event_id) for uid, event_id in await tx.read(_LIST_OLDEST, before=before, limit=limit)])
    if not keys:
        return 0
    erased = (await tx.execute(_DELETE, pairs=as_list(keys))).count
    last = dict(keys)
    for uid, first in await tx.read(_LIST_FIRST, uids=as_list(last)):
        # Where the clock went back, younger events come before older ones.
        if first is not None and first < last[uid]:
            erased += (await tx.execute(_DELETE_UP_TO, of_uid=uid, last=last[uid])).count
    return erased


async def list_newest(reader: Reader, uids: Collection[int]) -> dict[int, int]:
    """The id of each person's newest event, 0 before the first. At most 1,000 people."""
    return {uid: newest for uid, newest in await reader.read(_LIST_NEWEST, uids=as_list(uids))}  # noqa: C416 - a row is a tuple of any length


def _text(data: Mapping[str, object] | None) -> str:
    return json.dumps(data, ensure_ascii=False) if data else "{}"
