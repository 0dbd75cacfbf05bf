# SPDX-License-Identifier: Apache-2.0
"""The `outbox` as an operator sees it: what waits, what was given up, and a word in its fate. Never a token."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, func, null, or_, select, update

from models.db.database import InList, Reader, Statement, Transaction, Value, as_list
from models.db.schema import devices, outbox
from models.db.tables.outbox import LaneKey, State
from models.ids import MAX_ID
from models.user import UserId


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One notification. Times are in milliseconds; `next_at` is when a due one is tried."""

    outbox_id: int
    kind: str
    message_id: int | None
    uid: UserId
    device_id: int
    provider: str
    app: str
    state: str
    attempts: int
    created_at: int
    next_at: int
    give_up_at: int
    settled_at: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which notifications are meant: None takes any."""

    state: State | None = None
    provider: str | None = None
    app: str | None = None
    device_id: int | None = None


@dataclass(frozen=True, slots=True)
class OutboxSummary:
    """How many notifications of one provider's app stand in one state, and when the oldest was written."""

    provider: str
    app: str
    state: str
    count: int
    oldest_at: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """A row whose time is over while nobody could claim it. `created_at` is in milliseconds."""

    outbox_id: int
    provider: str
    app: str
    created_at: int


_WITH_DEVICE = outbox.join(devices, devices.c.device_id == outbox.c.device_id)
_THESE = InList(outbox.c.outbox_id, bindparam("ids"))
# Not a bare column, where rows are named or a person's: SQLite would go through all that wait, by the state's index.
_state = func.coalesce(outbox.c.state, "")
_WANTED = bindparam("wanted", type_=outbox.c.state.type)
_OF_PROVIDER = bindparam("of_provider", type_=outbox.c.provider.type)
_OF_APP = bindparam("of_app", type_=outbox.c.app.type)
_OF_DEVICE = bindparam("of_device", type_=outbox.c.device_id.type)
_MATCHES = (
    or_(_WANTED.is_(null()), outbox.c.state == _WANTED)
    & or_(_OF_PROVIDER.is_(null()), outbox.c.provider == _OF_PROVIDER)
    & or_(_OF_APP.is_(null()), outbox.c.app == _OF_APP)
    & or_(_OF_DEVICE.is_(null()), outbox.c.device_id == _OF_DEVICE)
    & (outbox.c.outbox_id < bindparam("before"))
)
_LIST = Statement(
    select(
        outbox.c.outbox_id,
        outbox.c.kind,
        outbox.c.message_id,
        devices.c.uid,
        outbox.c.device_id,
        outbox.c.provider,
        outbox.c.app,
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
_SUMMARIES = Statement(
    select(outbox.c.provider, outbox.c.app, outbox.c.state, func.count(), func.min(outbox.c.created_at))
    .where(or_(outbox.c.state == State.DUE.value, outbox.c.state == State.DEAD.value))
    .group_by(outbox.c.provider, outbox.c.app, outbox.c.state)
    .order_by(outbox.c.provider, outbox.c.app, outbox.c.state),
    bulk=True,
)
_COUNT_DUE_OF_PERSON = Statement(
    select(func.count())
    .select_from(_WITH_DEVICE)
    .where(devices.c.uid == bindparam("person"), _state == State.DUE.value)
)
_REVIVE = Statement(
    update(outbox)
    .where(_THESE, _state == State.DEAD.value)
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
    .where(_THESE, _state == State.DUE.value)
    .values(state=State.DROPPED.value, reason=bindparam("because"), settled_at=bindparam("now"), lease=null())
)
_OVERDUE = Statement(
    select(outbox.c.outbox_id, outbox.c.provider, outbox.c.app, outbox.c.created_at)
    .where(
        outbox.c.state == State.DUE.value,
        outbox.c.next_at <= bindparam("now"),
        outbox.c.give_up_at <= bindparam("now"),
    )
    .limit(bindparam("at_most")),
    bulk=True,
)
_GIVE_UP = Statement(
    update(outbox)
    .where(_THESE, _state == State.DUE.value, outbox.c.next_at <= bindparam("now"))
    .values(state=State.DEAD.value, reason="gave up", settled_at=bindparam("now"), lease=null())
)
_OWN = devices.alias("own")
_NOT_ON_ITS_WAY = or_(outbox.c.lease.is_(null()), outbox.c.next_at <= bindparam("now"))
_BEFORE = (outbox.c.next_at < bindparam("until")) & _NOT_ON_ITS_WAY
_OF_SAME_PERSON = Statement(
    select(outbox.c.outbox_id)
    .select_from(
        _OWN.join(devices, devices.c.uid == _OWN.c.uid).join(outbox, outbox.c.device_id == devices.c.device_id)
    )
    .where(
        _OWN.c.device_id == bindparam("device"),
        outbox.c.provider == bindparam("of_provider"),
        outbox.c.app == bindparam("of_app"),
        _state == State.DUE.value,
        _BEFORE,
    )
    .limit(bindparam("at_most")),
    bulk=True,
)
_PUT_OFF = Statement(
    update(outbox).where(_THESE, _state == State.DUE.value, _BEFORE).values(next_at=bindparam("until"), lease=null())
)
NEWEST = MAX_ID


async def list_some(reader: Reader, wanted: Wanted, *, before: int = NEWEST, limit: int) -> list[OutboxRow]:
    """Notifications with an id under `before`, newest first."""
    chosen: dict[str, Value] = {
        "wanted": wanted.state.value if wanted.state else None,
        "of_provider": wanted.provider,
        "of_app": wanted.app,
        "of_device": wanted.device_id,
    }
    return [OutboxRow(*row) for row in await reader.read(_LIST, **chosen, before=before, at_most=limit)]


async def list_summaries(reader: Reader) -> list[OutboxSummary]:
    """What is due and what is dead, by provider and app."""
    return [OutboxSummary(*row) for row in await reader.read(_SUMMARIES)]


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


async def list_overdue(reader: Reader, *, now: int, limit: int) -> list[Overdue]:
    """Rows that wait although the time to give them up has come, of whatever provider. Those on their way are none."""
    return [Overdue(*row) for row in await reader.read(_OVERDUE, now=now, at_most=limit)]


async def give_up(tx: Transaction, *, outbox_ids: Iterable[int], now: int) -> int:
    """End rows that `list_overdue` gave; how many still waited."""
    return (await tx.execute(_GIVE_UP, ids=as_list(outbox_ids), now=now)).count


async def list_of_same_person(
    reader: Reader, *, lane: LaneKey, device_id: int, now: int, until: int, limit: int
) -> list[int]:
    """Rows of one lane that come due before `until`, for any device of the person who has this one."""
    provider, app = lane
    params: dict[str, Value] = {"of_provider": provider, "of_app": app, "device": device_id, "now": now}
    return [row for (row,) in await reader.read(_OF_SAME_PERSON, **params, until=until, at_most=limit)]


async def put_off(tx: Transaction, *, outbox_ids: Iterable[int], now: int, until: int) -> int:
    """Let rows that `list_of_same_person` gave wait until then; how many still came before."""
    return (await tx.execute(_PUT_OFF, ids=as_list(outbox_ids), now=now, until=until)).count
