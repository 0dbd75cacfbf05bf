# SPDX-License-Identifier: Apache-2.0
"""Statements of `idempotency`: which request a key stood for, and what was answered. Never a secret."""

from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import bindparam, delete, select
from sqlalchemy import insert as insert_into

from models.db.database import Reader, Statement, Transaction, UniqueViolation, Value
from models.db.schema import idempotency

_FIND = Statement(
    select(idempotency.c.request_digest, idempotency.c.uid, idempotency.c.reply).where(
        idempotency.c.key_digest == bindparam("key"), idempotency.c.expires_at > bindparam("now")
    )
)
_DELETE_EXPIRED = Statement(
    delete(idempotency).where(
        idempotency.c.key_digest == bindparam("key"), idempotency.c.expires_at <= bindparam("now")
    )
)
_DELETE = Statement(delete(idempotency).where(idempotency.c.key_digest == bindparam("key")))
_INSERT = Statement(insert_into(idempotency))


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was answered to the same key before. `reply` is JSON; `request_digest` tells the same request."""

    request_digest: bytes
    uid: int | None
    reply: str


def key_digest(operation: str, caller: str, key: str) -> bytes:
    """SHA-256 over operation, caller and the client's key; `caller` is empty where nobody has authenticated."""
    return sha256("\n".join((operation, caller, key)).encode()).digest()


async def find(reader: Reader, key_digest: bytes, now: int) -> Earlier | None:
    """What was answered to this key, as long as that is kept."""
    rows = await reader.read(_FIND, key=key_digest, now=now)
    return Earlier(*rows[0]) if rows else None


async def insert(
    tx: Transaction, *, key_digest: bytes, request_digest: bytes, uid: int | None, reply: str, now: int, expires_at: int
) -> None:
    """Keep a reply. Raises UniqueViolation while the key still stands for an earlier one."""
    row: dict[str, Value] = {
        "key_digest": key_digest,
        "request_digest": request_digest,
        "uid": uid,
        "reply": reply,
        "created_at": now,
        "expires_at": expires_at,
    }
    try:
        await tx.execute(_INSERT, **row)
    except UniqueViolation:
        if not (await tx.execute(_DELETE_EXPIRED, key=key_digest, now=now)).count:
            raise
        await tx.execute(_INSERT, **row)


async def remove(tx: Transaction, key_digest: bytes) -> None:
    """Let the key stand for nothing again."""
    await tx.execute(_DELETE, key=key_digest)
