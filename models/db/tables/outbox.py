# SPDX-License-Identifier: Apache-2.0
"""The `outbox` table: one row per notification and device, written with the message, settled by the relay.

A row is due from `next_at` on, in the lane of its provider and app. A claim moves `next_at` to the end of its lease
and writes the lease; whoever holds the lease may settle the row, and when it runs out the row is due again.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)

from models.db.database import InList, Reader, Statement, Transaction, Value, as_list
from models.db.schema import deliveries, devices, messages, outbox, users
from models.user import UserId

REASON_CHARACTERS = 255
CLAIMED_PER_PERSON = 20
"""The most rows of one person, who has up to 20 devices, in a claim that others have rows for too."""

SHARE_MS = 1000
"""The rest of their rows is put off, one share after the other by so much: each behind whatever is due by then. Put off
all together, a long queue would be written anew each second.
"""

LOOKED_AT, NEWEST_LOOKED_AT = 1000, 200
"""The rows among which a claim looks for those of people who have few, and which it can put off by a few statements:
those that are due for longest, and where more wait, those that became due last.
"""

LEASE_BYTES = 7

LaneKey = tuple[str, str]
"""A provider's name and an app of it: what is claimed, sent and slowed down together."""


class Kind(StrEnum):
    """What the notification tells."""

    MESSAGE = "message"
    ACCOUNT_RETRIEVED = "account_retrieved"


class State(StrEnum):
    """Where a row stands. Only `DUE` leads anywhere."""

    DUE = "due"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed row and what its push is made of. `delivery_state` is null when the message is not this person's."""

    outbox_id: int
    kind: str
    message_id: int | None
    attempts: int
    created_at: int
    give_up_at: int
    device_id: int
    uid: int
    provider: str
    app: str
    token: str
    token_digest: bytes
    device_type: str
    registered_at: int
    ended_at: int | None
    message_key: str | None
    send_time: int | None
    expires_at: int | None
    sender_uid: int | None
    sender_region: str | None
    sender_phone: bytes | None
    group_id: int | None
    message_kind: str | None
    placeholder: str | None
    preview_type: str | None
    delivery_state: str | None


_COLUMNS = ["kind", "message_id", "device_id", "provider", "app", "state", "created_at", "next_at", "give_up_at"]
_IS_DUE = outbox.c.state == literal("due")
# For rows that are named: SQLite would go through all that are due instead, by the index that begins with the state.
_IS_STILL_DUE = func.coalesce(outbox.c.state, literal("")) == literal("due")
_THIS_ROW = outbox.c.outbox_id == bindparam("row")
_THESE = InList(outbox.c.outbox_id, bindparam("ids"))
_HOLDS_LEASE = outbox.c.lease == bindparam("held")
_NEW = (bindparam("what", type_=outbox.c.kind.type), bindparam("message", type_=outbox.c.message_id.type))
_NEW_TIMES = tuple(bindparam(name, type_=outbox.c.next_at.type) for name in ("now", "now", "give_up"))

_ROW = select(*_NEW, devices.c.device_id, devices.c.provider, devices.c.app, literal("due"), *_NEW_TIMES)

_INSERT_FOR_PERSON = Statement(
    insert(outbox).from_select(
        _COLUMNS,
        _ROW.where(devices.c.uid == bindparam("person"), devices.c.ended_at.is_(null())),
        include_defaults=False,
    )
)
_INSERT_FOR_PEOPLE = Statement(
    insert(outbox).from_select(
        _COLUMNS,
        _ROW.where(InList(devices.c.uid, bindparam("people")), devices.c.ended_at.is_(null())),
        include_defaults=False,
    )
)
_INSERT_FOR_DEVICE = Statement(
    insert(outbox).from_select(_COLUMNS, _ROW.where(devices.c.device_id == bindparam("device")), include_defaults=False)
)


def _due(*order: ColumnElement[int]) -> Statement:
    return Statement(
        select(outbox.c.outbox_id, outbox.c.device_id)
        .where(
            _IS_DUE,
            outbox.c.provider == bindparam("of_provider"),
            outbox.c.app == bindparam("of_app"),
            outbox.c.next_at <= bindparam("now"),
        )
        .order_by(*order)
        .limit(bindparam("at_most"))
        .with_for_update(skip_locked=True)
    )


_DUE = _due(outbox.c.next_at.asc(), outbox.c.outbox_id.asc())
_DUE_LAST = _due(outbox.c.next_at.desc(), outbox.c.outbox_id.desc())
_OWNERS = Statement(select(devices.c.device_id, devices.c.uid).where(InList(devices.c.device_id, bindparam("ids"))))
_LEASE = Statement(
    update(outbox)
    .where(_THESE, _IS_STILL_DUE, outbox.c.next_at <= bindparam("now"))
    .values(lease=bindparam("held"), next_at=bindparam("until"))
)
_HOLD_BACK = Statement(
    update(outbox)
    .where(_THESE, _IS_STILL_DUE, outbox.c.next_at <= bindparam("now"))
    .values(next_at=bindparam("until"), lease=null())
)
_CLAIMED = Statement(
    select(
        outbox.c.outbox_id,
        outbox.c.kind,
        outbox.c.message_id,
        outbox.c.attempts,
        outbox.c.created_at,
        outbox.c.give_up_at,
        devices.c.device_id,
        devices.c.uid,
        outbox.c.provider,
        outbox.c.app,
        devices.c.token,
        devices.c.token_digest,
        devices.c.device_type,
        devices.c.registered_at,
        devices.c.ended_at,
        messages.c.message_key,
        messages.c.send_time,
        messages.c.expires_at,
        messages.c.sender_uid,
        users.c.region_num,
        users.c.phone_cipher,
        messages.c.group_id,
        messages.c.kind,
        messages.c.placeholder,
        messages.c.preview_type,
        deliveries.c.state,
    )
    .select_from(
        outbox.join(devices, devices.c.device_id == outbox.c.device_id)
        .outerjoin(messages, messages.c.message_id == outbox.c.message_id)
        .outerjoin(users, users.c.uid == messages.c.sender_uid)
        .outerjoin(
            deliveries,
            (deliveries.c.message_id == outbox.c.message_id) & (deliveries.c.receiver_uid == devices.c.uid),
        )
    )
    .where(_THESE, _HOLDS_LEASE)
    .order_by(outbox.c.outbox_id)
)
_SETTLE = Statement(
    update(outbox)
    .where(_THIS_ROW, _HOLDS_LEASE)
    .values(
        state=bindparam("to"),
        attempts=bindparam("tries"),
        reason=bindparam("because"),
        settled_at=bindparam("now"),
        lease=null(),
    )
)
_SETTLE_DELIVERED = Statement(
    update(outbox)
    .where(_THESE, _HOLDS_LEASE)
    .values(
        state=literal("delivered"),
        attempts=outbox.c.attempts + literal(1),
        reason=literal(""),
        settled_at=bindparam("now"),
        lease=null(),
    )
)
_POSTPONE = Statement(
    update(outbox)
    .where(_THIS_ROW, _HOLDS_LEASE)
    .values(attempts=bindparam("tries"), reason=bindparam("because"), next_at=bindparam("until"), lease=null())
)
_LEASED = Statement(
    select(outbox.c.outbox_id, outbox.c.lease).where(
        _IS_DUE,
        outbox.c.provider == bindparam("of_provider"),
        outbox.c.app == bindparam("of_app"),
        outbox.c.next_at > bindparam("now"),
        outbox.c.lease.is_not(null()),
    ),
    bulk=True,
)
_FREE = Statement(
    update(outbox).where(_THESE, _IS_STILL_DUE, _HOLDS_LEASE).values(next_at=bindparam("now"), lease=null())
)
_AHEAD = Statement(
    select(outbox.c.outbox_id, outbox.c.next_at)
    .where(
        _IS_DUE,
        outbox.c.provider == bindparam("of_provider"),
        outbox.c.app == bindparam("of_app"),
        outbox.c.next_at >= bindparam("after"),
        or_(outbox.c.next_at > bindparam("after"), outbox.c.outbox_id > bindparam("after_row")),
    )
    .order_by(outbox.c.next_at, outbox.c.outbox_id)
    .limit(bindparam("at_most")),
    bulk=True,
)
_NOW = bindparam("now", type_=outbox.c.next_at.type)
_SOONER = outbox.c.next_at - bindparam("step", type_=outbox.c.next_at.type)
_BRING_FORWARD = Statement(
    update(outbox)
    .where(_THESE, _IS_STILL_DUE, outbox.c.lease.is_(null()), outbox.c.next_at > bindparam("now"))
    .values(next_at=case((_SOONER > _NOW, _SOONER), else_=_NOW))
)
_SHORTEN = Statement(
    update(outbox)
    .where(_THESE, _IS_STILL_DUE, outbox.c.lease.is_not(null()), outbox.c.next_at > bindparam("until"))
    .values(next_at=bindparam("until"))
)
_PROLONG = Statement(
    update(outbox).where(_THESE, _IS_STILL_DUE, outbox.c.lease.is_not(null())).values(next_at=bindparam("until"))
)
_SETTLED_BEFORE = Statement(
    select(outbox.c.outbox_id)
    .where(outbox.c.settled_at < bindparam("before"))
    .order_by(outbox.c.settled_at)
    .limit(bindparam("at_most"))
)
_PURGE = Statement(delete(outbox).where(_THESE))


async def insert_for_person(
    tx: Transaction, *, kind: Kind, message_id: int | None, uid: UserId, now: int, give_up_at: int
) -> int:
    """One row for each of the person's active devices; how many."""
    row = _new(kind, message_id, now, give_up_at)
    return (await tx.execute(_INSERT_FOR_PERSON, **row, person=uid)).count


async def insert_for_people(
    tx: Transaction, *, kind: Kind, message_id: int, uids: Iterable[UserId], now: int, give_up_at: int
) -> int:
    """One row for each active device of all these people; how many."""
    row = _new(kind, message_id, now, give_up_at)
    return (await tx.execute(_INSERT_FOR_PEOPLE, **row, people=as_list(uids))).count


async def insert_for_device(
    tx: Transaction, *, kind: Kind, message_id: int | None, device_id: int, now: int, give_up_at: int
) -> int:
    """One row for one device, ended or not; its id."""
    row = _new(kind, message_id, now, give_up_at)
    return (await tx.execute(_INSERT_FOR_DEVICE, **row, device=device_id)).last_id


def _new(kind: Kind, message_id: int | None, now: int, give_up_at: int) -> dict[str, Value]:
    return {"what": kind.value, "message": message_id, "now": now, "give_up": give_up_at}


def due_lanes(lanes: Sequence[LaneKey]) -> Statement:
    """What `list_due_lanes` asks: which of these lanes have a row that is due. Each is one step into the index."""
    return Statement(union_all(*(_due_lane(number, *lane) for number, lane in enumerate(lanes))))


def _due_lane(number: int, provider: str, app: str) -> Select[Any]:
    due = exists(literal(1)).where(
        _IS_DUE,
        outbox.c.provider == literal(provider),
        outbox.c.app == literal(app),
        outbox.c.next_at <= bindparam("now"),
    )
    return select(literal(number)).where(due)


async def list_due_lanes(reader: Reader, statement: Statement, *, now: int) -> set[int]:
    """The lanes that have a row to claim, each by its place in what `due_lanes` was given."""
    return {int(number) for (number,) in await reader.read(statement, now=now)}


async def claim(
    tx: Transaction,
    *,
    lane: LaneKey,
    now: int,
    lease: str,
    lease_until: int,
    limit: int,
    under_way: Collection[int] = (),
    away: Mapping[int, int] | None = None,
) -> list[Claimed]:
    """Lease up to `limit` due rows of one lane, longest due first. `lease` is a name that no claim has had before.

    Those that this process has `under_way` are due because the clock went forward: their lease is prolonged.
    Devices that are `away` until then (milliseconds) are told nothing before: their rows are put off unclaimed, and
    there may be none left to claim now though more are due.
    Where more are due than that, everybody's first comes before anybody's second, and no person gets more than a share:
    what they have beyond that comes later, share by share, so that one with ten thousand rows does not keep the others
    waiting.
    """
    due = await _look(tx, lane, now, max(limit, LOOKED_AT))
    sent_now = [row[0] for row in due if row[0] in under_way]
    if sent_now:
        await tx.execute(_PROLONG, ids=as_list(sent_now), until=lease_until)
        due = [row for row in due if row[0] not in under_way]
    chosen, later = [row[0] for row in due], list[tuple[int, int]]()
    if away or len(due) > limit:
        owners: dict[int, int] = dict(await tx.read(_OWNERS, ids=as_list({row[1] for row in due})))
        chosen, later = _share([(*row, owners[row[1]]) for row in due], away or {}, limit, now)
    await _put_off(tx, later, now)
    ids = as_list(chosen)
    await tx.execute(_LEASE, ids=ids, now=now, held=lease, until=lease_until)
    return [Claimed(*row) for row in await tx.read(_CLAIMED, ids=ids, held=lease)]


async def _look(tx: Transaction, lane: LaneKey, now: int, at_most: int) -> list[tuple[int, int]]:
    """Rows of one lane that are due, longest due first: each with its device."""
    provider, app = lane
    due = await tx.read(_DUE, of_provider=provider, of_app=app, now=now, at_most=at_most)
    if len(due) == at_most:
        last = await tx.read(_DUE_LAST, of_provider=provider, of_app=app, now=now, at_most=NEWEST_LOOKED_AT)
        due = list(dict.fromkeys([*due, *reversed(last)]))
    return [(outbox_id, device_id) for outbox_id, device_id in due]


async def _put_off(tx: Transaction, rows: Sequence[tuple[int, int]], now: int) -> None:
    """Put rows off until then, rounded up to a second so that many go by one statement."""
    by_second: defaultdict[int, list[int]] = defaultdict(list)
    for outbox_id, until in rows:
        by_second[-(-until // 1000)].append(outbox_id)
    for second, ids in by_second.items():
        await tx.execute(_HOLD_BACK, ids=as_list(ids), now=now, until=1000 * second)


def new_lease(server_id: str) -> str:
    """A name for one claim of this process, which is 16 characters: `holder_of` tells whose it is."""
    return f"{server_id}.{secrets.token_hex(LEASE_BYTES)}"


def holder_of(lease: str) -> str | None:
    """The process that made a lease; None for one that does not say, as those of earlier versions did not."""
    server_id, dot, _ = lease.partition(".")
    return server_id if dot else None


async def list_leases(reader: Reader, *, lane: LaneKey, now: int) -> dict[str, list[int]]:
    """The leases that run in one lane, and the rows of each."""
    provider, app = lane
    found: defaultdict[str, list[int]] = defaultdict(list)
    for outbox_id, lease in await reader.read(_LEASED, of_provider=provider, of_app=app, now=now):
        found[lease].append(outbox_id)
    return found


async def list_ahead(reader: Reader, *, lane: LaneKey, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """Rows of one lane that are due later, in order: when, and which. `after` is the last of those before them."""
    (next_at, row), (provider, app) = after, lane
    params: dict[str, Value] = {"of_provider": provider, "of_app": app, "after": next_at, "after_row": row}
    return [(at, outbox_id) for outbox_id, at in await reader.read(_AHEAD, **params, at_most=limit)]


async def bring_forward(tx: Transaction, *, outbox_ids: Collection[int], step: int, now: int, lease_until: int) -> None:
    """After the clock was turned back by `step`: rows wait no longer than they were to, and no lease runs longer."""
    ids = as_list(outbox_ids)
    await tx.execute(_BRING_FORWARD, ids=ids, step=step, now=now)
    await tx.execute(_SHORTEN, ids=ids, until=lease_until)


async def free(tx: Transaction, *, outbox_ids: Collection[int], lease: str, now: int) -> int:
    """Make rows due whose lease is still this one; how many. To be called when its holder has died."""
    return (await tx.execute(_FREE, ids=as_list(outbox_ids), held=lease, now=now)).count


def _share(
    due: Sequence[tuple[int, int, int]], away: Mapping[int, int], limit: int, now: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Which rows, given with their devices and uids, are taken in turn; and until when others are put off: those of
    devices that are away, and where there are too many, those beyond a person's share.
    """
    too_many = sum(device_id not in away for _, device_id, _ in due) > limit
    here, gone = Counter[int](), Counter[int]()
    turns, later = list[tuple[int, int]](), list[tuple[int, int]]()
    for outbox_id, device_id, uid in due:
        is_away = device_id in away
        turn = (gone if is_away else here)[uid]
        (gone if is_away else here)[uid] += 1
        share = turn // CLAIMED_PER_PERSON
        if is_away or (share and too_many):
            later.append((outbox_id, away.get(device_id, now) + share * SHARE_MS))
        else:
            turns.append((turn, outbox_id))
    turns.sort(key=lambda one: one[0])
    return [outbox_id for _, outbox_id in turns[:limit]], later


def _fitting(reason: str) -> str:
    return reason[:REASON_CHARACTERS].encode(errors="replace").decode()  # half of a surrogate pair is no text


async def settle(
    tx: Transaction, *, outbox_id: int, lease: str, state: State, attempts: int, reason: str, now: int
) -> bool:
    """End a row whose lease is still held; False when it is not, and nothing is changed."""
    params: dict[str, Value] = {"row": outbox_id, "held": lease, "to": state.value, "tries": attempts, "now": now}
    return (await tx.execute(_SETTLE, **params, because=_fitting(reason))).count == 1


async def settle_delivered(tx: Transaction, *, outbox_ids: Iterable[int], lease: str, now: int) -> int:
    """End rows as delivered at this try, those whose lease is still held; how many."""
    return (await tx.execute(_SETTLE_DELIVERED, ids=as_list(outbox_ids), held=lease, now=now)).count


async def settle_later(
    tx: Transaction, *, outbox_id: int, lease: str, attempts: int, reason: str, next_at: int
) -> bool:
    """Give a row back to be claimed from `next_at` on; False when its lease is no longer held."""
    params: dict[str, Value] = {"row": outbox_id, "held": lease, "tries": attempts, "until": next_at}
    return (await tx.execute(_POSTPONE, **params, because=_fitting(reason))).count == 1


async def purge_settled(tx: Transaction, *, before: int, limit: int) -> int:
    """Erase rows that ended before then; how many."""
    ids = [outbox_id for (outbox_id,) in await tx.read(_SETTLED_BEFORE, before=before, at_most=limit)]
    return (await tx.execute(_PURGE, ids=as_list(ids))).count
