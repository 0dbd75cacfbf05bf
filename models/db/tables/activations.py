# SPDX-License-Identifier: Apache-2.0
"""Statements of `activations`: numbers that are being proved by a code, and how often codes went to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import activations


@dataclass(frozen=True, slots=True)
class Pending:
    """A row of `activations`. Times are in milliseconds; `sends` counts the codes that went out."""

    activation_id: str
    phone_digest: bytes
    phone_cipher: bytes
    nickname: str
    cid: str | None = field(repr=False)
    push_provider: str
    device_type: str
    terms_version: str | None
    code_hmac: bytes
    attempts_left: int
    sends: int
    resend_at: int
    created_at: int
    expires_at: int
    used_at: int | None


_COLUMNS = [activations.c[name] for name in Pending.__slots__]
_THIS = activations.c.activation_id == bindparam("this")
_OPEN = _THIS & activations.c.used_at.is_(None) & (activations.c.expires_at > bindparam("now"))

_FIND = Statement(select(*_COLUMNS).where(_THIS))
_LIST_SENDS = Statement(
    select(activations.c.created_at, activations.c.sends)
    .where(InList(activations.c.phone_digest, bindparam("digests")), activations.c.created_at > bindparam("since"))
    .order_by(activations.c.created_at)
)
_INSERT = Statement(insert(activations).values({column.name: bindparam(column.name) for column in _COLUMNS}))
_SPEND_TRY = Statement(
    update(activations)
    .where(_OPEN, activations.c.attempts_left > 0)
    .values(attempts_left=activations.c.attempts_left - 1)
)
_MARK_USED = Statement(update(activations).where(_OPEN).values(used_at=bindparam("now")))
_SET_CODE = Statement(
    update(activations)
    .where(_OPEN, activations.c.attempts_left > 0, activations.c.sends == bindparam("sends_before"))
    .values(code_hmac=bindparam("hmac"), sends=activations.c.sends + 1, resend_at=bindparam("next_resend"))
)
_DELETE_FOR_PHONE = Statement(delete(activations).where(activations.c.phone_digest == bindparam("digest")))


async def find(reader: Reader, *, activation_id: str) -> Pending | None:
    """The activation, used and expired ones too."""
    rows = await reader.read(_FIND, this=activation_id)
    return Pending(*rows[0]) if rows else None


async def list_sends(reader: Reader, *, phone_digests: Iterable[bytes], since: int) -> list[tuple[int, int]]:
    """(created_at, sends) of the number's activations after that time, the oldest first.

    The digests are all that stand for the number: while peppers change there are two.
    """
    rows = await reader.read(_LIST_SENDS, digests=as_list(phone_digests), since=since)
    return [(created_at, sends) for created_at, sends in rows]


async def insert_one(tx: Transaction, pending: Pending) -> None:
    await tx.execute(_INSERT, **{name: getattr(pending, name) for name in Pending.__slots__})


async def spend_try(tx: Transaction, *, activation_id: str, now: int) -> Pending | None:
    """Count one guess, and the activation after it; None when it is unknown, used or expired, or has no tries left."""
    changed = await tx.execute(_SPEND_TRY, this=activation_id, now=now)
    return await find(tx, activation_id=activation_id) if changed.count else None


async def mark_used(tx: Transaction, *, activation_id: str, now: int) -> bool:
    """Use the activation up; False when it is unknown, used or expired."""
    return (await tx.execute(_MARK_USED, this=activation_id, now=now)).count == 1


async def set_code(tx: Transaction, pending: Pending, *, code_hmac: bytes, resend_at: int, now: int) -> bool:
    """Change the code and count one more sending; False when the activation has ended or changed since it was read."""
    changed = await tx.execute(
        _SET_CODE,
        this=pending.activation_id,
        now=now,
        sends_before=pending.sends,
        hmac=code_hmac,
        next_resend=resend_at,
    )
    return changed.count == 1


async def delete_for_phone(tx: Transaction, *, phone_digest: bytes) -> None:
    """Forget every activation of the number, open ones too."""
    await tx.execute(_DELETE_FOR_PHONE, digest=phone_digest)
