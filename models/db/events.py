# SPDX-License-Identifier: Apache-2.0
"""Statements over `events`, one durable log per person, and over the counters of a person's inbox.

An event's id is that person's own sequence, taken from `users.event_seq` in the transaction of what the event
reports. Whoever writes to several people takes them in ascending uid, so that no two transactions wait for each
other.
"""

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import InList, Statement, Transaction, as_list
from models.db.schema import events, users
from models.user import UserId

_NEXT = Statement(
    update(users)
    .values(
        event_seq=users.c.event_seq + 1,
        pending_count=users.c.pending_count + bindparam("count"),
        pending_bytes=users.c.pending_bytes + bindparam("size"),
    )
    .where(users.c.uid == bindparam("of_uid"))
)
_COUNT = Statement(
    update(users)
    .values(
        pending_count=users.c.pending_count + bindparam("count"),
        pending_bytes=users.c.pending_bytes + bindparam("size"),
    )
    .where(users.c.uid == bindparam("of_uid"))
)
_INSERT = Statement(
    insert(events).from_select(
        ["uid", "event_id", "type", "at", "data"],
        select(users.c.uid, users.c.event_seq, bindparam("type"), bindparam("at"), bindparam("data")).where(
            users.c.uid == bindparam("of_uid")
        ),
    )
)
_NEXT_OF_ALL = Statement(
    update(users)
    .values(
        event_seq=users.c.event_seq + 1,
        pending_count=users.c.pending_count + bindparam("count"),
        pending_bytes=users.c.pending_bytes + bindparam("size"),
    )
    .where(InList(users.c.uid, bindparam("uids")))
)
_INSERT_FOR_ALL = Statement(
    insert(events).from_select(
        ["uid", "event_id", "type", "at", "data"],
        select(users.c.uid, users.c.event_seq, bindparam("type"), bindparam("at"), bindparam("data")).where(
            InList(users.c.uid, bindparam("uids"))
        ),
    )
)
_LIST_OLDEST = Statement(
    select(events.c.uid, events.c.event_id)
    .where(events.c.at < bindparam("before"))
    .order_by(events.c.at)
    .limit(bindparam("limit"))
)
_DELETE_UP_TO = Statement(
    delete(events).where(events.c.uid == bindparam("of_uid"), events.c.event_id <= bindparam("last"))
)


async def append(
    tx: Transaction,
    *,
    uid: UserId,
    kind: str,
    at: int,
    data: Mapping[str, object],
    pending_count: int = 0,
    pending_bytes: int = 0,
) -> None:
    """Add to a person's log, and in the same stroke move the counters of their inbox."""
    await tx.execute(_NEXT, of_uid=uid, count=pending_count, size=pending_bytes)
    await tx.execute(_INSERT, of_uid=uid, type=kind, at=at, data=json.dumps(data))


async def append_for_all(
    tx: Transaction,
    *,
    uids: Iterable[UserId],
    kind: str,
    at: int,
    data: Mapping[str, object],
    pending_count: int = 0,
    pending_bytes: int = 0,
) -> None:
    """`append` of the same to many people: two statements, however many they are."""
    people = as_list(sorted(uids))
    await tx.execute(_NEXT_OF_ALL, uids=people, count=pending_count, size=pending_bytes)
    await tx.execute(_INSERT_FOR_ALL, uids=people, type=kind, at=at, data=json.dumps(data))


async def move_counters(tx: Transaction, *, uid: UserId, pending_count: int, pending_bytes: int) -> None:
    """Move the counters of an inbox where nothing is worth an event."""
    await tx.execute(_COUNT, of_uid=uid, count=pending_count, size=pending_bytes)


async def purge(tx: Transaction, *, before: int, limit: int) -> int:
    """Erase events from before then, the oldest first; how many. What is left of a log has no gap."""
    last: dict[int, int] = {}
    for uid, event_id in await tx.read(_LIST_OLDEST, before=before, limit=limit):
        last[uid] = max(event_id, last.get(uid, 0))
    return sum([(await tx.execute(_DELETE_UP_TO, of_uid=uid, last=last[uid])).count for uid in sorted(last)])
