# SPDX-License-Identifier: Apache-2.0
"""Statements over `messages` whose file is on the disk: which there are, which may go, and that they have gone."""

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import messages, report_pictures
from models.message import MessageId

_LIST_PURGEABLE = Statement(
    select(messages.c.message_id, messages.c.message_key)
    .where(messages.c.purge_at <= bindparam("now"))
    .order_by(messages.c.purge_at)
    .limit(bindparam("limit"))
)
_MARK_REMOVED = Statement(
    update(messages).values(stored=0, purge_at=None).where(InList(messages.c.message_id, bindparam("ids")))
)
_PUT_OFF_REMOVAL = Statement(
    update(messages)
    .values(purge_at=bindparam("until"))
    .where(InList(messages.c.message_id, bindparam("ids")), messages.c.purge_at <= bindparam("until"))
)
_STORED_KEYS = Statement(
    select(messages.c.message_key).where(InList(messages.c.message_key, bindparam("keys")), messages.c.stored == 1),
    bulk=True,
)
_KEPT = select(
    messages.c.message_id, messages.c.message_key, messages.c.size, messages.c.sha256, messages.c.purge_at
).where(messages.c.stored == 1)
_LIST_KEPT = Statement(
    _KEPT.where(messages.c.message_id > bindparam("after")).order_by(messages.c.message_id).limit(bindparam("limit")),
    bulk=True,
)
_FIND_KEPT = Statement(_KEPT.where(messages.c.message_id == bindparam("message_id")))
_OF_IMAGES = select(func.coalesce(func.sum(messages.c.size), 0)).where(messages.c.stored == 1).scalar_subquery()
_OF_REPORTS = select(func.coalesce(func.sum(report_pictures.c.size), 0)).scalar_subquery()
_STORED_BYTES = Statement(select(_OF_IMAGES + _OF_REPORTS), bulk=True)


@dataclass(frozen=True, slots=True)
class Kept:
    """An image whose file should be on the disk, and what should be in it."""

    message_id: MessageId
    message_key: str
    size: int
    sha256: bytes
    purge_at: int | None


async def list_purgeable(reader: Reader, now: int, limit: int) -> list[tuple[MessageId, str]]:
    """Ids and keys of images whose file may be removed now."""
    rows = await reader.read(_LIST_PURGEABLE, now=now, limit=limit)
    return [(MessageId(message_id), key) for message_id, key in rows]


async def mark_removed(tx: Transaction, message_ids: list[MessageId]) -> None:
    """Their files are gone from the disk."""
    await tx.execute(_MARK_REMOVED, ids=as_list(message_ids))


async def put_off_removal(tx: Transaction, message_ids: list[MessageId], until: int) -> None:
    """Their files could not be removed: try again then."""
    await tx.execute(_PUT_OFF_REMOVAL, ids=as_list(message_ids), until=until)


async def list_stored_keys(reader: Reader, keys: list[str]) -> set[str]:
    """Those of these keys whose file a row keeps."""
    return {key for (key,) in await reader.read(_STORED_KEYS, keys=as_list(keys))}


async def list_kept(reader: Reader, *, after: int, limit: int) -> list[Kept]:
    """Images whose file is kept, by ascending id from the first behind `after`."""
    return [Kept(*row) for row in await reader.read(_LIST_KEPT, after=after, limit=limit)]


async def find_kept(reader: Reader, message_id: MessageId) -> Kept | None:
    """The image with this id, if its file is kept."""
    rows = await reader.read(_FIND_KEPT, message_id=message_id)
    return Kept(*rows[0]) if rows else None


async def stored_bytes(reader: Reader) -> int:
    """Bytes of all images whose file is kept, and of what reports show."""
    return int((await reader.read(_STORED_BYTES))[0][0])
