# SPDX-License-Identifier: Apache-2.0
"""Statements of `report_pictures`: what reports show. Each is a file of its own in the store, under a key like an
image's, and stays until its report is resolved.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import report_pictures


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A file that should be in the store, and what should be in it."""

    report_id: int
    picture_key: str
    filetype: str
    size: int
    sha256: bytes


_COLUMNS = [report_pictures.c[name] for name in ReportPicture.__slots__]
_THIS = report_pictures.c.report_id == bindparam("this")
_INSERT = Statement(insert(report_pictures).values({column.name: bindparam(column.name) for column in _COLUMNS}))
_FIND = Statement(select(*_COLUMNS).where(_THIS, report_pictures.c.purge_at.is_(None)))
_LIST_AFTER = Statement(
    select(*_COLUMNS)
    .where(report_pictures.c.report_id > bindparam("after"))
    .order_by(report_pictures.c.report_id)
    .limit(bindparam("limit")),
    bulk=True,
)
_STORED_KEYS = Statement(
    select(report_pictures.c.picture_key).where(InList(report_pictures.c.picture_key, bindparam("keys"))), bulk=True
)
_RELEASE = Statement(update(report_pictures).where(_THIS).values(purge_at=bindparam("now")))
_IS_DUE = report_pictures.c.purge_at <= bindparam("now")
_LIST_PURGEABLE = Statement(
    select(report_pictures.c.report_id, report_pictures.c.picture_key)
    .where(_IS_DUE)
    .order_by(report_pictures.c.purge_at)
    .limit(bindparam("limit"))
)
_COUNT_PURGEABLE = Statement(select(func.count()).where(_IS_DUE), bulk=True)
_DELETE = Statement(delete(report_pictures).where(InList(report_pictures.c.report_id, bindparam("ids"))))


async def insert_picture(tx: Transaction, picture: ReportPicture) -> None:
    """The bytes are durable under its key by now."""
    await tx.execute(
        _INSERT,
        report_id=picture.report_id,
        picture_key=picture.picture_key,
        filetype=picture.filetype,
        size=picture.size,
        sha256=picture.sha256,
    )


async def find(reader: Reader, report_id: int) -> ReportPicture | None:
    """The picture of a report that is not resolved."""
    rows = await reader.read(_FIND, this=report_id)
    return ReportPicture(*rows[0]) if rows else None


async def list_after(reader: Reader, *, after: int, limit: int) -> list[ReportPicture]:
    """By ascending report, from the first behind `after`."""
    return [ReportPicture(*row) for row in await reader.read(_LIST_AFTER, after=after, limit=limit)]


async def list_stored_keys(reader: Reader, keys: list[str]) -> set[str]:
    """Those of these keys that a report keeps."""
    return {key for (key,) in await reader.read(_STORED_KEYS, keys=as_list(keys))}


async def release(tx: Transaction, *, report_id: int, now: int) -> None:
    """The report is resolved: its picture may go."""
    await tx.execute(_RELEASE, this=report_id, now=now)


async def list_purgeable(reader: Reader, now: int, limit: int) -> list[tuple[int, str]]:
    """Reports whose picture may go, each with its key."""
    return [(report_id, key) for report_id, key in await reader.read(_LIST_PURGEABLE, now=now, limit=limit)]


async def count_purgeable(reader: Reader, *, now: int) -> int:
    """How many pictures `list_purgeable` has in all."""
    [(count,)] = await reader.read(_COUNT_PURGEABLE, now=now)
    return int(count)


async def delete_some(tx: Transaction, report_ids: list[int]) -> None:
    """Their files are gone."""
    await tx.execute(_DELETE, ids=as_list(report_ids))
