# SPDX-License-Identifier: Apache-2.0
"""The `devices` table: where a person's pushes go.

A token stands in one row per provider and app. A row is one person's for good: a token that moves to another person
leaves its row, which ends, for a new one. A row that has ended gets no new pushes.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import NewType

from sqlalchemy import bindparam, delete, exists, insert, null, select, update

from models.db.database import InList, Reader, Row, Statement, Transaction, Value, as_list
from models.db.schema import devices, outbox
from models.user import UserId

DeviceId = NewType("DeviceId", int)


@dataclass(frozen=True, slots=True)
class Device:
    """A row of `devices` without its token. Times are in milliseconds."""

    device_id: DeviceId
    uid: UserId
    provider: str
    app: str
    device_type: str
    registered_at: int
    stale_at: int | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device's pushes go, and since when."""

    provider: str
    app: str
    token: str = field(repr=False)
    token_digest: bytes
    device_type: str
    registered_at: int


_THIS_TOKEN = (
    (devices.c.provider == bindparam("at_provider"))
    & (devices.c.app == bindparam("at_app"))
    & (devices.c.token_digest == bindparam("digest"))
)
_THIS_DEVICE = devices.c.device_id == bindparam("device")
_ACTIVE = devices.c.ended_at.is_(null())
_OF_PERSON = devices.c.uid == bindparam("person")
_THESE = InList(devices.c.device_id, bindparam("ids"))
_FIELDS = (
    devices.c.device_id,
    devices.c.uid,
    devices.c.provider,
    devices.c.app,
    devices.c.device_type,
    devices.c.registered_at,
    devices.c.stale_at,
)

_INSERT = Statement(
    insert(devices).values(
        uid=bindparam("person"),
        provider=bindparam("at_provider"),
        app=bindparam("at_app"),
        token=bindparam("new_token"),
        token_digest=bindparam("digest"),
        device_type=bindparam("kind"),
        registered_at=bindparam("now"),
    )
)
_RENEW = Statement(
    update(devices)
    .where(_THIS_DEVICE)
    .values(device_type=bindparam("kind"), registered_at=bindparam("now"), stale_at=null(), ended_at=null())
)
_REPLACE_TOKEN = Statement(
    update(devices)
    .where(_THIS_DEVICE)
    .values(
        token=bindparam("new_token"),
        token_digest=bindparam("digest"),
        device_type=bindparam("kind"),
        registered_at=bindparam("now"),
        stale_at=null(),
    )
)
_RETIRE = Statement(
    update(devices)
    .where(_THIS_DEVICE)
    .values(token="", token_digest=bindparam("nothing"), registered_at=bindparam("now"), ended_at=bindparam("now"))
)
_BY_TOKEN = Statement(select(devices.c.device_id, devices.c.uid).where(_THIS_TOKEN).with_for_update())
_ADDRESS = Statement(
    select(
        devices.c.provider,
        devices.c.app,
        devices.c.token,
        devices.c.token_digest,
        devices.c.device_type,
        devices.c.registered_at,
    ).where(_THIS_DEVICE, _OF_PERSON, _ACTIVE)
)
_LIST_ACTIVE = Statement(select(*_FIELDS).where(_OF_PERSON, _ACTIVE).order_by(devices.c.device_id))
_OTHERS = Statement(
    select(devices.c.device_id).where(_OF_PERSON, _ACTIVE, devices.c.device_id != bindparam("except_device"))
)
_END_THESE = Statement(update(devices).where(_THESE).values(ended_at=bindparam("now")))
_MARK_STALE = Statement(update(devices).where(_THESE, _ACTIVE).values(stale_at=bindparam("now")))
_END_IF_NOT_NEWER = Statement(
    update(devices)
    .where(
        _THIS_DEVICE,
        devices.c.token_digest == bindparam("digest"),
        devices.c.registered_at < bindparam("before"),
        _ACTIVE,
    )
    .values(ended_at=bindparam("now"))
)
_PURGEABLE = Statement(
    select(devices.c.device_id)
    .where(devices.c.ended_at < bindparam("before"), ~exists().where(outbox.c.device_id == devices.c.device_id))
    .order_by(devices.c.ended_at)
    .limit(bindparam("at_most"))
)
_PURGE = Statement(delete(devices).where(_THESE))


def token_digest(token: str) -> bytes:
    """SHA-256 of the token: what finds it and what its dedupe ids hang on."""
    return hashlib.sha256(token.encode()).digest()


async def register(
    tx: Transaction, *, uid: UserId, provider: str, app: str, token: str, device_type: str, now: int
) -> DeviceId:
    """Make this token a device of this person and of nobody else; registering it again updates its row.

    Raises UniqueViolation when another transaction was quicker to the token.
    """
    key: dict[str, Value] = {"at_provider": provider, "at_app": app, "digest": token_digest(token)}
    holder = await tx.read(_BY_TOKEN, **key)
    if holder and holder[0][1] == uid:
        device_id = DeviceId(holder[0][0])
        await tx.execute(_RENEW, device=device_id, kind=device_type, now=now)
        return device_id
    for other_id, _ in holder:
        await _retire(tx, other_id, now)
    inserted = await tx.execute(_INSERT, **key, person=uid, kind=device_type, now=now, new_token=token)
    return DeviceId(inserted.last_id)


async def replace_token(
    tx: Transaction, *, device_id: DeviceId, provider: str, app: str, token: str, device_type: str, now: int
) -> None:
    """Give a device of that provider and app another token; a device that has it already ends.

    Raises UniqueViolation when another transaction was quicker to the token.
    """
    key: dict[str, Value] = {"at_provider": provider, "at_app": app, "digest": token_digest(token)}
    for other_id, _ in await tx.read(_BY_TOKEN, **key):
        if other_id != device_id:
            await _retire(tx, other_id, now)
    await tx.execute(_REPLACE_TOKEN, device=device_id, new_token=token, digest=key["digest"], kind=device_type, now=now)


async def _retire(tx: Transaction, device_id: int, now: int) -> None:
    """End a device and part it from its token, whose digest nothing can have that it gets instead."""
    await tx.execute(_RETIRE, device=device_id, nothing=secrets.token_bytes(32), now=now)


async def find_address(reader: Reader, *, uid: UserId, device_id: int) -> Address | None:
    """Where the pushes of this device of the person go; None when they have no such device, or it has ended."""
    rows = await reader.read(_ADDRESS, device=device_id, person=uid)
    return Address(*rows[0]) if rows else None


async def list_active(reader: Reader, *, uid: UserId) -> list[Device]:
    """The person's devices that get pushes, oldest first."""
    return [_device(row) for row in await reader.read(_LIST_ACTIVE, person=uid)]


async def end_all(
    tx: Transaction, *, uid: UserId, now: int, except_device_id: DeviceId | None = None
) -> list[DeviceId]:
    """End the person's devices but one; the ids of those that ended."""
    rows = await tx.read(_OTHERS, person=uid, except_device=except_device_id or 0)
    ended = [DeviceId(device_id) for (device_id,) in rows]
    await end(tx, device_ids=ended, now=now)
    return ended


async def end(tx: Transaction, *, device_ids: list[DeviceId], now: int) -> None:
    """No new pushes for these devices."""
    await tx.execute(_END_THESE, ids=as_list(device_ids), now=now)


async def mark_stale(tx: Transaction, *, device_ids: list[DeviceId], now: int) -> None:
    """Note that the provider took a push and will not send it; the devices stay."""
    await tx.execute(_MARK_STALE, ids=as_list(device_ids), now=now)


async def end_if_not_newer(
    tx: Transaction, *, device_id: int, token_digest: bytes, registered_before: int, now: int
) -> bool:
    """End a device whose token a provider called dead, unless a token was registered since the asking began."""
    params: dict[str, Value] = {"device": device_id, "digest": token_digest, "before": registered_before}
    return (await tx.execute(_END_IF_NOT_NEWER, **params, now=now)).count == 1


async def purge_ended(tx: Transaction, *, before: int, limit: int) -> int:
    """Erase devices that ended before then and have no outbox row left; how many."""
    ids = [device_id for (device_id,) in await tx.read(_PURGEABLE, before=before, at_most=limit)]
    return (await tx.execute(_PURGE, ids=as_list(ids))).count


def _device(row: Row) -> Device:
    return Device(*row)
