# SPDX-License-Identifier: Apache-2.0
"""Statements over `messages` whose file is on the disk: which there are, which may go, and that they have gone.

An image's preview, if it has one, is a second file. It lives and dies with the image.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import messages, report_pictures
from models.message import MessageId

_LIST_PURGEABLE = Statement(
    select(messages.c.message_id, messages.c.message_key, messages.c.preview_type.is_not(None))
    .where(messages.c.purge_at <= bindparam("now"))
    .order_by(messages.c.purge_at)
    .limit(bindparam("limit"))
)
_MARK_REMOVED = Statement(
    update(messages)
    .values(stored=0, purge_at=None, placeholder=None, preview_type=None, preview_size=0, preview_sha256=None)
    .where(InList(messages.c.message_id, bindparam("ids")))
)
_FORGET_PREVIEW = Statement(
    update(messages)
    .values(preview_type=None, preview_size=0, preview_sha256=None)
    .where(messages.c.message_id == bindparam("message_id"))
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
_WITH_PREVIEW = Statement(
    select(messages.c.message_key).where(
        InList(messages.c.message_key, bindparam("keys")), messages.c.stored == 1, messages.c.preview_type.is_not(None)
    ),
    bulk=True,
)
_KEPT = select(
    messages.c.message_id,
    messages.c.message_key,
    messages.c.size,
    messages.c.sha256,
    messages.c.purge_at,
    messages.c.preview_size,
    messages.c.preview_sha256,
).where(messages.c.stored == 1)
_LIST_KEPT = Statement(
    _KEPT.where(messages.c.message_id > bindparam("after")).order_by(messages.c.message_id).limit(bindparam("limit")),
    bulk=True,
)
_FIND_KEPT = Statement(_KEPT.where(messages.c.message_id == bindparam("message_id")))
_OF_IMAGES = (
    select(func.coalesce(func.sum(messages.c.size + messages.c.preview_size), 0))
    .where(messages.c.stored == 1)
    .scalar_subquery()
)
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
    preview_size: int
    preview_sha256: bytes | None


@dataclass(frozen=True, slots=True)
class Purgeable:
    """An image whose file may be removed, with that of its preview."""

    message_id: MessageId
    message_key: str
    has_preview: bool


async def list_purgeable(reader: Reader, now: int, limit: int) -> list[Purgeable]:
    """Images whose files may be removed now."""
    rows = await reader.read(_LIST_PURGEABLE, now=now, limit=limit)
    return [Purgeable(MessageId(message_id), key, bool(has_preview)) for message_id, key, has_preview in rows]


async def mark_removed(tx: Transaction, message_ids: list[MessageId]) -> None:
    """Their files are gone from the disk, and with them the placeholder: it shows the picture too."""
    await tx.execute(_MARK_REMOVED, ids=as_list(message_ids))


async def forget_preview(tx: Transaction, message_id: MessageId) -> None:
    """The image stays, without its preview."""
    await tx.execute(_FORGET_PREVIEW, message_id=message_id)


async def put_off_removal(tx: Transaction, message_ids: list[MessageId], until: int) -> None:
    """Their files could not be removed: try again then."""
    await tx.execute(_PUT_OFF_REMOVAL, ids=as_list(message_ids), until=until)


async def list_stored_keys(reader: Reader, keys: list[str]) -> set[str]:
    """Those of these keys whose file a row keeps."""
    return {key for (key,) in await reader.read(_STORED_KEYS, keys=as_list(keys))}


async def list_with_preview(reader: Reader, keys: list[str]) -> set[str]:
    """Those of these keys of images beside whose file a row keeps a preview."""
    return {key for (key,) in await reader.read(_WITH_PREVIEW, keys=as_list(keys))}


async def list_kept(reader: Reader, *, after: int, limit: int) -> list[Kept]:
    """Images whose file is kept, by ascending id from the first behind `after`."""
    return [Kept(*row) for row in await reader.read(_LIST_KEPT, after=after, limit=limit)]


async def find_kept(reader: Reader, message_id: MessageId) -> Kept | None:
    """The image with this id, if its file is kept."""
    rows = await reader.read(_FIND_KEPT, message_id=message_id)
    return Kept(*rows[0]) if rows else None


async def stored_bytes(reader: Reader) -> int:
    """Bytes of all images whose file is kept, of their previews, and of what reports show."""
    return int((await reader.read(_STORED_BYTES))[0][0])
