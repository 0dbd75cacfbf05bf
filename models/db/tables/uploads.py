# SPDX-License-Identifier: Apache-2.0
"""Statements of `uploads`: images that are on their way in several requests, and for a day what became of them."""

from sqlalchemy import bindparam, delete, func, insert, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import uploads
from models.message import MessageId
from models.upload import Upload

_COLUMNS = [uploads.c[name] for name in Upload.__slots__]
_THIS = uploads.c.upload_id == bindparam("this")
_IS_OPEN = uploads.c.message_id.is_(None)
_IS_MINE = _THIS & _IS_OPEN & (uploads.c.holder == bindparam("by"))
_FIND = Statement(select(*_COLUMNS).where(_THIS))
_LIST_OPEN = Statement(
    select(uploads.c.upload_id, uploads.c.received)
    .where(uploads.c.uid == bindparam("person"), _IS_OPEN)
    .order_by(uploads.c.created_at)
)
_INSERT = Statement(
    insert(uploads).values(
        {
            name: bindparam(name)
            for name in (
                *("upload_id", "uid", "receiver_uid", "group_id", "caption", "ttl_seconds", "filetype", "placeholder"),
                *("length", "holder", "created_at", "expires_at"),
            )
        }
    )
)
_TAKE = Statement(update(uploads).where(_THIS, _IS_OPEN).values(holder=bindparam("by")))
_SAVE = Statement(
    update(uploads)
    .where(_IS_MINE)
    .values(
        received=bindparam("now_received"),
        stored=bindparam("now_stored"),
        held=bindparam("now_held", type_=uploads.c.held.type),
        expires_at=bindparam("until"),
    )
)
_SET_LENGTH = Statement(
    update(uploads).where(_THIS, _IS_OPEN, uploads.c.length.is_(None)).values(length=bindparam("now_length"))
)
_SET_THUMBNAIL = Statement(
    update(uploads).where(_THIS, _IS_OPEN).values(thumbnail=bindparam("now_thumbnail", type_=uploads.c.thumbnail.type))
)
_SETTLE = Statement(
    update(uploads)
    .where(_THIS, _IS_OPEN)
    .values(
        message_id=bindparam("became"),
        message_key=bindparam("became_key"),
        send_time=bindparam("sent_at"),
        received=bindparam("size"),
        length=bindparam("size"),
        stored=0,
        held=None,
        thumbnail=None,
        expires_at=bindparam("until"),
    )
)
_DELETE_OPEN = Statement(delete(uploads).where(_THIS, _IS_OPEN))
_DELETE = Statement(delete(uploads).where(_THIS))
_IS_OVER = uploads.c.expires_at <= bindparam("now")
_LIST_EXPIRED = Statement(
    select(uploads.c.upload_id).where(_IS_OVER).order_by(uploads.c.expires_at).limit(bindparam("at_most"))
)
_DELETE_EXPIRED = Statement(delete(uploads).where(_THIS, _IS_OVER))
_LIST_OPEN_IDS = Statement(
    select(uploads.c.upload_id).where(InList(uploads.c.upload_id, bindparam("ids")), _IS_OPEN), bulk=True
)
_STORED_BYTES = Statement(select(func.coalesce(func.sum(uploads.c.stored), 0)).where(_IS_OPEN), bulk=True)
_LIST_AFTER = Statement(
    select(*_COLUMNS)
    .where(uploads.c.upload_id > bindparam("after"))
    .order_by(uploads.c.upload_id)
    .limit(bindparam("at_most")),
    bulk=True,
)


async def find(reader: Reader, upload_id: str) -> Upload | None:
    rows = await reader.read(_FIND, this=upload_id)
    return Upload(**dict(zip(Upload.__slots__, rows[0], strict=True))) if rows else None


async def list_open(reader: Reader, uid: int) -> list[tuple[str, int]]:
    """A person's open uploads, the oldest first, each with how much of it has been told."""
    return [(upload_id, received) for upload_id, received in await reader.read(_LIST_OPEN, person=uid)]


async def insert_new(
    tx: Transaction,
    *,
    upload_id: str,
    uid: int,
    receiver_uid: int | None,
    group_id: int | None,
    caption: str | None,
    ttl_seconds: int | None,
    filetype: str | None,
    placeholder: str | None,
    length: int | None,
    holder: str,
    now: int,
    expires_at: int,
) -> None:
    """An upload of which nothing is there yet, and which `holder` alone may write. `length` in bytes, None while the
    client has not said it; the fields of the message as it gave them.
    """
    await tx.execute(
        _INSERT,
        upload_id=upload_id,
        uid=uid,
        receiver_uid=receiver_uid,
        group_id=group_id,
        caption=caption,
        ttl_seconds=ttl_seconds,
        filetype=filetype,
        placeholder=placeholder,
        length=length,
        holder=holder,
        created_at=now,
        expires_at=expires_at,
    )


async def take(tx: Transaction, upload_id: str, *, holder: str) -> None:
    """From now on this process alone may write; what others still save of it is refused."""
    await tx.execute(_TAKE, this=upload_id, by=holder)


async def save(
    tx: Transaction, upload_id: str, *, holder: str, received: int, stored: int, held: bytes | None, expires_at: int
) -> bool:
    """Say how far it is; False where it is over or another process's."""
    changed = await tx.execute(
        _SAVE,
        this=upload_id,
        by=holder,
        now_received=received,
        now_stored=stored,
        now_held=held,
        until=expires_at,
    )
    return changed.count == 1


async def set_length(tx: Transaction, upload_id: str, length: int) -> None:
    """Its length is known now."""
    await tx.execute(_SET_LENGTH, this=upload_id, now_length=length)


async def set_thumbnail(tx: Transaction, upload_id: str, thumbnail: bytes) -> bool:
    """Keep a preview for it; False where it is over."""
    return (await tx.execute(_SET_THUMBNAIL, this=upload_id, now_thumbnail=thumbnail)).count == 1


async def settle(
    tx: Transaction,
    upload_id: str,
    *,
    message_id: MessageId,
    message_key: str,
    send_time: int,
    size: int,
    expires_at: int,
) -> bool:
    """It has become this image; False where it is over already."""
    changed = await tx.execute(
        _SETTLE,
        this=upload_id,
        became=message_id,
        became_key=message_key,
        sent_at=send_time,
        size=size,
        until=expires_at,
    )
    return changed.count == 1


async def delete_open(tx: Transaction, upload_id: str) -> bool:
    """Forget one that has not ended; whether there was one."""
    return (await tx.execute(_DELETE_OPEN, this=upload_id)).count == 1


async def delete_one(tx: Transaction, upload_id: str) -> None:
    """Forget one, whether it has ended or not."""
    await tx.execute(_DELETE, this=upload_id)


async def delete_expired(tx: Transaction, *, now: int, limit: int) -> list[str]:
    """Forget those whose time is over, and those that nobody owns any more; which."""
    found = [upload_id for (upload_id,) in await tx.read(_LIST_EXPIRED, now=now, at_most=limit)]
    return [upload_id for upload_id in found if await _delete_expired(tx, upload_id, now)]


async def _delete_expired(tx: Transaction, upload_id: str, now: int) -> bool:
    return (await tx.execute(_DELETE_EXPIRED, this=upload_id, now=now)).count == 1


async def list_open_ids(reader: Reader, upload_ids: list[str]) -> set[str]:
    """Those of these that have not ended: their files are needed."""
    return {upload_id for (upload_id,) in await reader.read(_LIST_OPEN_IDS, ids=as_list(upload_ids))}


async def list_after(reader: Reader, *, after: str, limit: int) -> list[Upload]:
    """Open and ended ones by ascending id, from the first behind `after`."""
    rows = await reader.read(_LIST_AFTER, after=after, at_most=limit)
    return [Upload(**dict(zip(Upload.__slots__, row, strict=True))) for row in rows]


async def stored_bytes(reader: Reader) -> int:
    """Bytes in the files of open uploads."""
    return int((await reader.read(_STORED_BYTES))[0][0])
