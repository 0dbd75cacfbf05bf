# SPDX-License-Identifier: Apache-2.0
"""Reports: people tell the operator of others, the operator reads and resolves them. The reported are not told."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models import rules
from models.db.database import CommitUnknown, Database, Transaction, write_retrying
from models.db.tables import audit, report_pictures, reports, users
from models.db.tables.report_pictures import ReportPicture
from models.db.tables.reports import Report
from models.errors import AppError, InvalidField, NotFound
from models.ids import read_id
from models.imagefile import HeaderReader
from models.metadata import MetadataRemover
from models.user import UserId
from services.audit import record
from services.fields import raise_if_any, unknown
from services.limits import Limits
from services.removal import mends_of
from storage.base import BlobStore, Data, DiskWriter, Reservation
from storage.keys import message_key

MAX_REASON_CHARACTERS = 2000
"""A page of text."""
MAX_NOTE_CHARACTERS = 255
"""The column of an operator's note."""
ABOUT = ("uid", "message_id")


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture that a reporter sends along: its writer, what is still to be written, and what was read of it."""

    writer: DiskWriter
    rest: Data
    header: HeaderReader
    size: int
    remover: MetadataRemover | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Reports:
    """What people report. `clock` gives milliseconds."""

    db: Database
    store: BlobStore
    limits: Limits
    policy: rules.SendPolicy
    clock: Callable[[], int]

    def charge_bytes(self, uid: UserId, size: int) -> None:
        """Count the bytes of a picture against who sends it, as an image's. Raises RateLimited."""
        self.limits.charge("image_bytes", uid, size)

    def reserve(self, size: int) -> Reservation:
        """Room on the disk for a picture on its way. Raises StorageFull."""
        return self.store.reserve(size)

    async def create(self, reservation: Reservation) -> DiskWriter:
        """A place for the bytes of a picture on its way."""
        return await self.store.create(reservation)

    async def report(self, uid: UserId, fields: Mapping[str, Any], picture: SentPicture | None = None) -> int:
        """Report a person, or a message that the caller has received; the report's id.

        Its picture is the one sent along, or else the image of the message if its file is still there: a file of its
        own, which stays until the report is resolved. Raises InvalidField, and NotFound for nobody and for a message
        that the caller has not received; MissingImage, UnsupportedImage, ImageDimensions and StorageFull for the
        picture.
        """
        about, thing, reason = _read_report(fields)
        if about == "uid" and thing == uid:
            raise InvalidField(fields=[("uid", "is your own")])
        message_id = thing if about == "message_id" else None
        kept = await self._keep(uid, message_id, picture)

        async def unit(tx: Transaction) -> int:
            if message_id is not None:
                reported = await _sender(tx, message_id, uid)
            else:
                await users.lock(tx, uid, thing)
                reported = thing
            report_id = await reports.insert_report(
                tx,
                reporter_uid=uid,
                reported_uid=reported,
                message_id=message_id,
                reason=reason,
                now=self.clock(),
            )
            if kept is not None:
                await report_pictures.insert_picture(tx, replace(kept, report_id=report_id))
            return report_id

        try:
            return await write_retrying(self.db, unit)
        except CommitUnknown:
            raise  # the row decides: without it the sweep removes the file
        except AppError:
            if kept is not None:
                await self.store.remove(kept.picture_key)
            raise

    async def _keep(self, uid: UserId, message_id: int | None, picture: SentPicture | None) -> ReportPicture | None:
        """The picture under a key of its own, durable when this returns; None where there is none."""
        key = message_key(uid, message_id or 0, time.time_ns(), secrets.token_bytes(16))
        if picture is not None:
            filetype = rules.check_image(picture.size, picture.header, None, self.policy)
            await picture.writer.commit(key, picture.rest, mends_of(picture.remover))
            return ReportPicture(0, key, filetype, picture.size, picture.writer.sha256)
        if message_id is None:
            return None
        image = await reports.find_image(self.db, message_id=message_id, receiver_uid=uid)
        if image is None or not await self.store.link(image.message_key, key):
            return None
        return ReportPicture(0, key, image.filetype, image.size, image.sha256)


@dataclass(frozen=True, slots=True)
class ShownReport:
    """A report as an operator looks at it."""

    report: Report
    picture: ReportPicture | None


async def show_report(db: Database, report_id: int) -> ShownReport:
    """Raises NotFound."""
    report = await reports.find(db, report_id)
    if report is None:
        raise NotFound("There is no such report.")
    return ShownReport(report, await report_pictures.find(db, report_id))


async def record_sight(db: Database, report_id: int, *, operator: str, now: int) -> None:
    """Put on record that an operator looks at a report's picture. Raises DatabaseError."""
    await record(db, operator=operator, act="reports show --picture", about=f"report {report_id}", now=now)


async def list_reports(db: Database, *, only_open: bool, before: int, limit: int) -> list[Report]:
    """For the operator, the newest first."""
    return await reports.list_some(db, only_open=only_open, before=before, limit=limit)


async def resolve_report(db: Database, report_id: int, *, note: str, operator: str, now: int) -> bool:
    """Say on record what became of a report, whose picture then goes; False when that was said already, which stays.

    Raises NotFound, InvalidField.
    """
    if len(note) > MAX_NOTE_CHARACTERS:
        raise InvalidField(f"A note has at most {MAX_NOTE_CHARACTERS} characters.")

    async def unit(tx: Transaction) -> bool:
        if await reports.find(tx, report_id) is None:
            raise NotFound("There is no such report.")
        resolved = await reports.resolve(tx, report_id=report_id, note=note, now=now)
        if resolved:
            await report_pictures.release(tx, report_id=report_id, now=now)
            about = f"report {report_id}"
            await audit.insert_act(tx, at=now, operator=operator, act="reports resolve", about=about)
        return resolved

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
    raise_if_any(problems)
    assert thing is not None
    assert isinstance(reason, str)
    return named[0], thing, reason.strip()
