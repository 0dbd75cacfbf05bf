# SPDX-License-Identifier: Apache-2.0
"""What an outcome means for its outbox row and its device: outcomes in, writes out. Nothing is sent here."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.db.database import Transaction
from models.db.tables import devices, outbox
from models.db.tables.devices import DeviceId
from models.db.tables.outbox import Claimed, State
from push import backoff
from push.base import Delivered, Gone, Outcome, Rejected, Retry
from push.breaker import PROBE_MS
from push.payload import unsendable
from telemetry import metrics

POISON_TRIES = 3
"""A row that raises is our own bug, or data of an older version: it is tried again in case the cause was outside it."""

POISON_AFTER_SECONDS = 60.0
"""What a restart or a reconnect mends is over by then."""


@dataclass(frozen=True, slots=True)
class Raised:
    """Building or sending one row raised: our own fault, so its third try is its last."""

    name: str


Answer = Outcome | Raised


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one row ends, or, in state DUE, when it is due again. `next_at` and `gone_at` are in milliseconds."""

    row: Claimed
    state: State
    reason: str
    attempts: int
    next_at: int = 0
    stale: bool = False
    gone: bool = False
    gone_at: int | None = None


def decide(row: Claimed, outcome: Answer, now: int, *, probing: bool = False) -> Verdict:
    """What to write for a row that was tried at `now`.

    A failed probe (`probing`) costs its row no attempt and no longer back-off: its wait must not outlast the outage.
    """
    tries = row.attempts + 1
    match outcome:
        case Delivered(stale=stale):
            return Verdict(row, State.DELIVERED, "stale" if stale else "", tries, stale=stale)
        case Gone():
            return _end(row, outcome, now)
        case Rejected(reason):
            return Verdict(row, State.DEAD, f"rejected: {reason}", tries)
        case Raised(name) if tries >= POISON_TRIES:
            return Verdict(row, State.DEAD, f"raised {name}", tries)
        case Raised(name):
            return _again(row, f"raised {name}", POISON_AFTER_SECONDS, now)
        case Retry():
            return _retry(row, outcome, now, probing=probing)


def end_unsent(row: Claimed, now: int) -> Verdict | None:
    """The end of a row that is not to be sent any more, as there is nothing to tell or its time is over; else None."""
    reason = unsendable(row, now)
    if reason is not None:
        return Verdict(row, State.DROPPED, reason, row.attempts)
    return Verdict(row, State.DEAD, f"gave up: {row.attempts} tries", row.attempts) if row.give_up_at <= now else None


def put_back(row: Claimed, reason: str, next_at: int) -> Verdict:
    """Make a row that was not tried due at `next_at`: it costs no attempt."""
    return Verdict(row, State.DUE, reason, row.attempts, next_at=next_at)


def _end(row: Claimed, gone: Gone, now: int) -> Verdict:
    """End a row and its device, unless the token was registered after the time at which it is said to have died."""
    if gone.at is not None and row.registered_at >= gone.at:
        return _again(row, f"gone before it was registered: {gone.reason}", None, now)
    return Verdict(row, State.DEAD, f"gone: {gone.reason}", row.attempts + 1, gone=True, gone_at=gone.at)


def _retry(row: Claimed, retry: Retry, now: int, *, probing: bool) -> Verdict:
    if not retry.costs_attempt:
        seconds = backoff.pause(retry.after or 0.0, waited=(now - row.created_at) / 1000)
        return put_back(row, retry.reason, now + int(1000 * seconds))
    if probing and retry.provider_fault and retry.after is None:
        return put_back(row, retry.reason, now + PROBE_MS)
    return _again(row, retry.reason, retry.after, now)


def _again(row: Claimed, reason: str, after: float | None, now: int) -> Verdict:
    tries = row.attempts + 1
    next_at = now + int(1000 * backoff.delay(tries, after=after))
    if next_at >= row.give_up_at:
        return Verdict(row, State.DEAD, f"gave up: {reason}", tries)
    return Verdict(row, State.DUE, reason, tries, next_at=next_at)


async def write(tx: Transaction, verdicts: Sequence[Verdict], *, lease: str, began: int, now: int) -> int:
    """Write the verdicts of rows whose lease is still held; how many. `began` is when sending began."""
    plain = [verdict for verdict in verdicts if verdict.state is State.DELIVERED and not verdict.stale]
    ids = [verdict.row.outbox_id for verdict in plain]
    written = await outbox.settle_delivered(tx, outbox_ids=ids, lease=lease, now=now) if ids else 0
    for verdict in verdicts:
        if verdict.state is not State.DELIVERED or verdict.stale:
            written += await _settle(tx, verdict, lease, now)
    stale = [DeviceId(verdict.row.device_id) for verdict in verdicts if verdict.stale]
    if stale:
        await devices.mark_stale(tx, device_ids=stale, now=now)
    for verdict in verdicts:
        if verdict.gone:
            await devices.end_if_not_newer(
                tx,
                device_id=verdict.row.device_id,
                token_digest=verdict.row.token_digest,
                registered_before=began if verdict.gone_at is None else min(began, verdict.gone_at),
                now=now,
            )
    return written


def count(verdicts: Sequence[Verdict], now: int) -> None:
    """Count the rows that have ended."""
    for verdict in verdicts:
        if verdict.state is not State.DUE:
            seconds = max(0, now - verdict.row.created_at) / 1000
            metrics.push_settled(verdict.row.provider, verdict.row.app, verdict.state.value, seconds)


async def _settle(tx: Transaction, verdict: Verdict, lease: str, now: int) -> bool:
    row_id, attempts, reason = verdict.row.outbox_id, verdict.attempts, verdict.reason
    if verdict.state is State.DUE:
        return await outbox.settle_later(
            tx, outbox_id=row_id, lease=lease, attempts=attempts, reason=reason, next_at=verdict.next_at
        )
    return await outbox.settle(
        tx, outbox_id=row_id, lease=lease, state=verdict.state, attempts=attempts, reason=reason, now=now
    )
