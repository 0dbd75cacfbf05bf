# SPDX-License-Identifier: Apache-2.0
"""Reports: people tell the operator of others, the operator reads and resolves them. The reported are not told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.db.database import Database, Transaction, write_retrying
from models.db.tables import reports, users
from models.db.tables.reports import Report
from models.errors import InvalidField, NotFound
from models.ids import read_id
from models.user import UserId
from services.fields import check, unknown

MAX_REASON_CHARACTERS = 2000
"""A page of text."""
MAX_NOTE_CHARACTERS = 255
"""The column of an operator's note."""
ABOUT = ("uid", "message_id")


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Reports:
    """What people report. `clock` gives milliseconds."""

    db: Database
    clock: Callable[[], int]

    async def report(self, uid: UserId, fields: Mapping[str, Any]) -> int:
        """Report a person, or a message that the caller has received; the report's id.

        Raises InvalidField, and NotFound for nobody and for a message that the caller has not received.
        """
        about, thing, reason = _read_report(fields)
        if about == "uid" and thing == uid:
            raise InvalidField(fields=[("uid", "is your own")])

        async def unit(tx: Transaction) -> int:
            if about == "message_id":
                reported = await _sender(tx, thing, uid)
            else:
                await users.lock(tx, uid, thing)
                reported = thing
            return await reports.insert_report(
                tx,
                reporter_uid=uid,
                reported_uid=reported,
                message_id=thing if about == "message_id" else None,
                reason=reason,
                now=self.clock(),
            )

        return await write_retrying(self.db, unit)


async def list_reports(db: Database, *, only_open: bool, before: int, limit: int) -> list[Report]:
    """For the operator, the newest first."""
    return await reports.list_some(db, only_open=only_open, before=before, limit=limit)


async def resolve_report(db: Database, report_id: int, *, note: str, now: int) -> bool:
    """Say what became of a report; False when that was said already, which stays. Raises NotFound, InvalidField."""
    if len(note) > MAX_NOTE_CHARACTERS:
        raise InvalidField(f"A note has at most {MAX_NOTE_CHARACTERS} characters.")

    async def unit(tx: Transaction) -> bool:
        if await reports.find(tx, report_id) is None:
            raise NotFound("There is no such report.")
        return await reports.resolve(tx, report_id=report_id, note=note, now=now)

    return await db.write(unit)


async def _sender(tx: Transaction, message_id: int, uid: UserId) -> int | None:
    """Who sent what this person has received; None when that account is gone, or going. Raises NotFound."""
    found = await reports.find_sender(tx, message_id=message_id, receiver_uid=uid)
    if found is None:
        raise NotFound
    [sender] = found
    try:
        await users.lock(tx, uid, *(() if sender is None else (sender,)))
    except NotFound:
        return None
    return sender


def _read_report(fields: Mapping[str, Any]) -> tuple[str, int, str]:
    """What it is about, which one, and why."""
    problems = unknown(fields, (*ABOUT, "reason"))
    named = [name for name in ABOUT if name in fields]
    thing = read_id(fields[named[0]]) if len(named) == 1 else None
    if len(named) != 1:
        problems.append(("uid", "exactly one of uid, message_id"))
    elif thing is None:
        problems.append((named[0], "a positive integer"))
    reason = fields.get("reason")
    if not isinstance(reason, str) or not 1 <= len(reason.strip()) <= MAX_REASON_CHARACTERS or "\0" in reason:
        problems.append(("reason", f"1 to {MAX_REASON_CHARACTERS} characters, no NUL"))
    check(problems)
    assert thing is not None
    assert isinstance(reason, str)
    return named[0], thing, reason.strip()
