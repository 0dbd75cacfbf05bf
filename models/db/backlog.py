# SPDX-License-Identifier: Apache-2.0
"""The `outbox` as an operator sees it: what waits, what was given up, and a word in its fate. Never a token."""

from dataclasses import dataclass

from sqlalchemy import bindparam, func, null, or_, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.outbox import State
from models.db.schema import devices, outbox
from models.ids import MAX_ID
from models.user import UserId


@dataclass(frozen=True, slots=True)
class Waiting:
    """One notification. Times are in milliseconds; `next_at` is when a due one is tried."""

    outbox_id: int
    kind: str
    message_id: int | None
    uid: UserId
    device_id: int
    provider: str
    state: str
    attempts: int
    created_at: int
    next_at: int
    give_up_at: int
    settled_at: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Heap:
    """How many notifications of one provider stand in one state, and when the oldest was written."""

    provider: str
    state: str
    count: int
    oldest_at: int


_WITH_DEVICE = outbox.join(devices, devices.c.device_id == outbox.c.device_id)
_THESE = InList(outbox.c.outbox_id, bindparam("ids"))
_WANTED = bindparam("wanted", type_=outbox.c.state.type)
_OF_PROVIDER = bindparam("of_provider", type_=devices.c.provider.type)
_MATCHES = (
    or_(_WANTED.is_(null()), outbox.c.state == _WANTED)
    & or_(_OF_PROVIDER.is_(null()), devices.c.provider == _OF_PROVIDER)
    & (outbox.c.outbox_id < bindparam("before"))
)
_LIST = Statement(
    select(
        outbox.c.outbox_id,
        outbox.c.kind,
        outbox.c.message_id,
        devices.c.uid,
        outbox.c.device_id,
        devices.c.provider,
        outbox.c.state,
        outbox.c.attempts,
        outbox.c.created_at,
        outbox.c.next_at,
        outbox.c.give_up_at,
        outbox.c.settled_at,
        outbox.c.reason,
    )
    .select_from(_WITH_DEVICE)
    .where(_MATCHES)
    .order_by(outbox.c.outbox_id.desc())
    .limit(bindparam("at_most")),
    bulk=True,
)
_HEAPS = Statement(
    select(devices.c.provider, outbox.c.state, func.count(), func.min(outbox.c.created_at))
    .select_from(_WITH_DEVICE)
    .where(or_(outbox.c.state == State.DUE.value, outbox.c.state == State.DEAD.value))
    .group_by(devices.c.provider, outbox.c.state)
    .order_by(devices.c.provider, outbox.c.state),
    bulk=True,
)
_COUNT_DUE_OF_PERSON = Statement(
    select(func.count())
    .select_from(_WITH_DEVICE)
    .where(devices.c.uid == bindparam("person"), outbox.c.state == State.DUE.value)
)
_REVIVE = Statement(
    update(outbox)
    .where(_THESE, outbox.c.state == State.DEAD.value)
    .values(
        state=State.DUE.value,
        attempts=0,
        next_at=bindparam("now"),
        give_up_at=bindparam("give_up"),
        settled_at=null(),
        lease=null(),
    )
)
_DROP = Statement(
    update(outbox)
    .where(_THESE, outbox.c.state == State.DUE.value)
    .values(state=State.DROPPED.value, reason=bindparam("because"), settled_at=bindparam("now"), lease=null())
)
NEWEST = MAX_ID


async def list_some(
    reader: Reader, *, state: State | None, provider: str | None, before: int = NEWEST, limit: int
) -> list[Waiting]:
    """Notifications with an id under `before`, newest first; None takes any state or provider."""
    wanted = state.value if state else None
    rows = await reader.read(_LIST, wanted=wanted, of_provider=provider, before=before, at_most=limit)
    return [Waiting(*row) for row in rows]


async def list_heaps(reader: Reader) -> list[Heap]:
    """What is due and what is dead, by provider."""
    return [Heap(*row) for row in await reader.read(_HEAPS)]


async def count_due(reader: Reader, *, uid: UserId) -> int:
    """How many notifications one person still is to get."""
    [(count,)] = await reader.read(_COUNT_DUE_OF_PERSON, person=uid)
    return int(count)


async def revive(tx: Transaction, outbox_ids: list[int], *, now: int, give_up_at: int) -> int:
    """Make dead notifications due now, as if never tried; how many were dead."""
    return (await tx.execute(_REVIVE, ids=as_list(outbox_ids), now=now, give_up=give_up_at)).count


async def drop(tx: Transaction, outbox_ids: list[int], *, reason: str, now: int) -> int:
    """End due notifications unsent; how many were due. One that is on its way may still arrive."""
    return (await tx.execute(_DROP, ids=as_list(outbox_ids), because=reason, now=now)).count
