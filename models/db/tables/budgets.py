# SPDX-License-Identifier: Apache-2.0
"""Statements of `budgets`: how much of something was used within a window, counted across processes and restarts."""

import json
import os
from hashlib import sha256

from sqlalchemy import bindparam, insert, update

from models.db.database import Statement, Transaction, UniqueViolation
from models.db.schema import budgets

_ADD = Statement(
    update(budgets)
    .where(budgets.c.key_digest == bindparam("key"), budgets.c.spent <= bindparam("most"))
    .values(spent=budgets.c.spent + bindparam("amount"))
)
_INSERT = Statement(insert(budgets))
_TAKE_BACK = Statement(
    update(budgets)
    .where(budgets.c.key_digest == bindparam("key"), budgets.c.spent > 0)
    .values(spent=budgets.c.spent - 1)
)


def key_digest(*parts: str | int) -> bytes:
    """SHA-256 over what is counted, for whom, and its window: a window's number in the key ends it by itself."""
    return sha256(json.dumps(parts).encode()).digest()


async def spend(tx: Transaction, *, key_digest: bytes, amount: int, limit: int, expires_at: int) -> bool:
    """Add `amount` (1 or more) to what was spent under the key, unless that would exceed `limit`.

    False when it would: then nothing has changed. A new key stands until `expires_at`, in milliseconds.
    """
    if amount > limit:
        return False
    if await _add(tx, key_digest, amount, limit):
        return True
    try:
        await tx.execute(_INSERT, key_digest=key_digest, spent=amount, expires_at=expires_at)
    except UniqueViolation:
        # It is spent, or another transaction has only just begun it.
        return await _add(tx, key_digest, amount, limit)
    return True


async def insert_decoy(tx: Transaction, *, now: int) -> None:
    """A row that counts nothing and goes with those that are over: written where another row must not be, so that the
    transaction takes as long.
    """
    await tx.execute(_INSERT, key_digest=os.urandom(32), spent=0, expires_at=now)


async def take_back(tx: Transaction, *, key_digest: bytes) -> None:
    """Undo one that was spent under the key, if it still stands."""
    await tx.execute(_TAKE_BACK, key=key_digest)


async def _add(tx: Transaction, key_digest: bytes, amount: int, limit: int) -> bool:
    return (await tx.execute(_ADD, key=key_digest, amount=amount, most=limit - amount)).count == 1
