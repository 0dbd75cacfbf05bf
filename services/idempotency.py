# SPDX-License-Identifier: Apache-2.0
"""Requests that may be repeats: what an Idempotency-Key stood for, and what was answered to it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.db.database import Reader, Transaction
from models.db.tables import idempotency
from models.errors import IdempotencyConflict
from models.user import UserId
from services.authentication import Caller, check_live


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came with an Idempotency-Key: the key, and all that makes the request this one, as digests."""

    key_digest: bytes
    request_digest: bytes


def request(operation: str, scope: str, key: str | None, request_digest: Callable[[], bytes]) -> Request | None:
    """The request as it is remembered; None without a key, and no digest is made. A key stands for itself in its
    operation and scope alone: the caller's uid, or what the request is about where nobody has authenticated.
    """
    return None if key is None else Request(idempotency.key_digest(operation, scope, key), request_digest())


async def is_used(reader: Reader, operation: str, scope: str, key: str | None, now: int) -> bool:
    """Whether the key stands for some request already."""
    if key is None:
        return False
    return await idempotency.find(reader, idempotency.key_digest(operation, scope, key), now) is not None


async def find_reply(
    reader: Reader, request: Request | None, now: int, *, caller: Caller | None = None
) -> dict[str, Any] | None:
    """What was answered to the same request before; None when this is not a repeat.

    Raises IdempotencyConflict when the key stood for another request. What was answered to a caller is not told again
    by a credential that has ended since: Unauthenticated.
    """
    earlier = await idempotency.find(reader, request.key_digest, now) if request is not None else None
    if request is None or earlier is None:
        return None
    if caller is not None:
        await check_live(reader, caller, now)
    if earlier.request_digest != request.request_digest:
        raise IdempotencyConflict
    reply: dict[str, Any] = json.loads(earlier.reply)
    return reply


async def remember(
    tx: Transaction, request: Request | None, reply: Mapping[str, object], *, uid: UserId | None, now: int, keep_ms: int
) -> None:
    """Keep what is answered, never a secret. Raises UniqueViolation when a repeat was quicker."""
    if request is not None:
        await idempotency.insert(
            tx,
            key_digest=request.key_digest,
            request_digest=request.request_digest,
            uid=uid,
            reply=json.dumps(reply, ensure_ascii=False),
            now=now,
            expires_at=now + keep_ms,
        )


async def forget(tx: Transaction, request: Request) -> None:
    """Let the key stand for nothing again."""
    await idempotency.remove(tx, request.key_digest)
