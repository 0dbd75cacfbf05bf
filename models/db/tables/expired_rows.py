# SPDX-License-Identifier: Apache-2.0
"""Rows that have outlived their time, in whichever table: counted before a purge, and erased where nothing hangs on
them. What takes more than a look at one column (events, outbox, devices, messages) is erased by its own file.
"""

from sqlalchemy import Column, bindparam, delete, func, select

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import (
    activations,
    audit,
    budgets,
    credentials,
    devices,
    events,
    idempotency,
    invitations,
    messages,
    outbox,
    refresh_tokens,
    uploads,
)

ENDED_AT: dict[str, Column[int]] = {
    "outbox": outbox.c.settled_at,
    "events": events.c.at,
    "activations": activations.c.expires_at,
    "idempotency": idempotency.c.expires_at,
    "credentials": credentials.c.expires_at,
    "refresh_tokens": refresh_tokens.c.expires_at,
    "budgets": budgets.c.expires_at,
    "invitations": invitations.c.invited_at,
    "devices": devices.c.ended_at,
    "messages": messages.c.send_time,
    "uploads": uploads.c.expires_at,
    "audit": audit.c.at,
}
ERASABLE = ("activations", "idempotency", "credentials", "refresh_tokens", "budgets", "invitations", "audit")


def _oldest(ended_at: Column[int]) -> Statement:
    is_over = ended_at < bindparam("before")
    return Statement(select(*ended_at.table.primary_key).where(is_over).order_by(ended_at).limit(bindparam("at_most")))


def _erase(ended_at: Column[int]) -> Statement:
    [key] = ended_at.table.primary_key
    return Statement(delete(key.table).where(InList(key, bindparam("these")), ended_at < bindparam("before")))


def _count(ended_at: Column[int]) -> Statement:
    is_over = ended_at < bindparam("before")
    if ended_at is messages.c.send_time:
        is_over &= messages.c.stored == 0  # the others end as images
    return Statement(select(func.count()).select_from(ended_at.table).where(is_over), bulk=True)


_LIST_OLDEST = {name: _oldest(ENDED_AT[name]) for name in ERASABLE}
_DELETE = {name: _erase(ENDED_AT[name]) for name in ERASABLE}
_COUNT = {name: _count(ended_at) for name, ended_at in ENDED_AT.items()}
_COUNT_EXPIRED = Statement(
    select(func.count()).select_from(messages).where(messages.c.exist == 1, messages.c.expires_at <= bindparam("now")),
    bulk=True,
)
_COUNT_FILES = Statement(
    select(func.count()).select_from(messages).where(messages.c.purge_at <= bindparam("now")), bulk=True
)


async def erase(tx: Transaction, *, table: str, before: int, limit: int) -> int:
    """Erase rows of an ERASABLE table that ended before then, the oldest first; how many."""
    keys = [key for (key,) in await tx.read(_LIST_OLDEST[table], before=before, at_most=limit)]
    # A key may have come to stand for something newer since it was read.
    return (await tx.execute(_DELETE[table], these=as_list(keys), before=before)).count if keys else 0


async def count(reader: Reader, *, table: str, before: int) -> int:
    """Rows of a table in ENDED_AT that ended before then."""
    [(rows,)] = await reader.read(_COUNT[table], before=before)
    return int(rows)


async def count_expired(reader: Reader, *, now: int) -> int:
    """Images past their time that nothing has swept yet."""
    [(rows,)] = await reader.read(_COUNT_EXPIRED, now=now)
    return int(rows)


async def count_files(reader: Reader, *, now: int) -> int:
    """Files that may be removed now."""
    [(rows,)] = await reader.read(_COUNT_FILES, now=now)
    return int(rows)
