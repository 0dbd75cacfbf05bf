# SPDX-License-Identifier: Apache-2.0
"""Statements of `refresh_tokens`: chains of single-use tokens, one family per login.

A family lives as long as its newest token does; it ends when its rows are deleted. A used token stays until its own
end, so that its reuse is seen.
"""

from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, insert, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import refresh_tokens, users
from models.user import UserId

_THIS_TOKEN = refresh_tokens.c.token_id == bindparam("this")
_OF_FAMILY = refresh_tokens.c.family == bindparam("of_family")
_OF_PERSON = refresh_tokens.c.uid == bindparam("person")

_INSERT = Statement(
    insert(refresh_tokens).values(
        uid=bindparam("person"),
        family=bindparam("of_family"),
        digest=bindparam("new_digest"),
        created_at=bindparam("now"),
        expires_at=bindparam("end"),
    )
)
_FIND = Statement(
    select(
        refresh_tokens.c.token_id,
        refresh_tokens.c.uid,
        refresh_tokens.c.family,
        refresh_tokens.c.expires_at,
        refresh_tokens.c.used_at,
        users.c.seen_at,
        users.c.disabled_at,
    )
    .join_from(refresh_tokens, users, users.c.uid == refresh_tokens.c.uid)
    .where(refresh_tokens.c.digest == bindparam("of_digest"))
)
_LIST_AFTER = Statement(
    select(refresh_tokens.c.token_id, refresh_tokens.c.used_at)
    .where(_OF_FAMILY, refresh_tokens.c.token_id > bindparam("after"))
    .order_by(refresh_tokens.c.token_id)
    .limit(bindparam("at_most"))
)
_NEWEST = Statement(
    select(refresh_tokens.c.uid, refresh_tokens.c.expires_at, users.c.phone_cipher, users.c.disabled_at)
    .join_from(refresh_tokens, users, users.c.uid == refresh_tokens.c.uid)
    .where(_OF_FAMILY)
    .order_by(refresh_tokens.c.token_id.desc())
    .limit(bindparam("at_most"))
)
_MARK_USED = Statement(
    update(refresh_tokens).where(_THIS_TOKEN, refresh_tokens.c.used_at.is_(None)).values(used_at=bindparam("now"))
)
_PROLONG = Statement(update(refresh_tokens).where(_THIS_TOKEN).values(expires_at=bindparam("end")))
_DELETE = Statement(delete(refresh_tokens).where(_THIS_TOKEN))
_DELETE_FAMILY = Statement(delete(refresh_tokens).where(_OF_FAMILY, _OF_PERSON))
_DELETE_OTHERS = Statement(delete(refresh_tokens).where(_OF_PERSON, refresh_tokens.c.family != bindparam("kept")))
_LIST_UNUSED = Statement(
    select(refresh_tokens.c.family)
    .where(_OF_PERSON, refresh_tokens.c.used_at.is_(None))
    .order_by(refresh_tokens.c.token_id.desc())
    .limit(bindparam("at_most"))
)
_DELETE_FAMILIES = Statement(delete(refresh_tokens).where(InList(refresh_tokens.c.family, bindparam("families"))))

MANY = 1000
"""More unused tokens than a person has: each session leaves one, and the oldest sessions end."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token's row, and what its person's row says about letting them in. Times are in milliseconds."""

    token_id: int
    uid: UserId
    family: str = field(repr=False)
    expires_at: int
    used_at: int | None
    seen_at: int
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose family it is. `phone_cipher` opens with the key ring alone."""

    uid: UserId
    phone_cipher: bytes | None = field(repr=False)


async def insert_token(tx: Transaction, *, uid: UserId, family: str, digest: bytes, now: int, expires_at: int) -> None:
    """Add a token to a family. `digest` is of the token, which is not stored."""
    await tx.execute(_INSERT, person=uid, of_family=family, new_digest=digest, now=now, end=expires_at)


async def find(reader: Reader, *, digest: bytes) -> RefreshToken | None:
    """The token of this digest, used or expired ones too."""
    rows = await reader.read(_FIND, of_digest=digest)
    return RefreshToken(*rows[0]) if rows else None


async def find_holder(reader: Reader, *, family: str, now: int) -> Holder | None:
    """Whose family it is; None when it has ended or its person is shut out."""
    rows = await reader.read(_NEWEST, of_family=family, at_most=1)
    if not rows:
        return None
    uid, expires_at, phone_cipher, disabled_at = rows[0]
    return Holder(UserId(uid), phone_cipher) if expires_at > now and disabled_at is None else None


async def find_unused_successor(reader: Reader, token: RefreshToken) -> int | None:
    """The token_id of what this token was exchanged for; None when that was used, or there is no such token."""
    rows = await reader.read(_LIST_AFTER, of_family=token.family, after=token.token_id, at_most=2)
    if len(rows) != 1 or rows[0][1] is not None:
        return None
    token_id: int = rows[0][0]
    return token_id


async def mark_used(tx: Transaction, *, token_id: int, now: int) -> bool:
    """Exchange the token; False when it was before, or has ended."""
    return (await tx.execute(_MARK_USED, this=token_id, now=now)).count == 1


async def prolong(tx: Transaction, *, token_id: int, expires_at: int) -> None:
    """Have the token end at `expires_at` instead."""
    await tx.execute(_PROLONG, this=token_id, end=expires_at)


async def remove(tx: Transaction, *, token_id: int) -> None:
    await tx.execute(_DELETE, this=token_id)


async def end_family(tx: Transaction, *, uid: UserId, family: str) -> None:
    """End a session: every token that came of one login."""
    await tx.execute(_DELETE_FAMILY, person=uid, of_family=family)


async def end_all(tx: Transaction, *, uid: UserId, except_family: str | None = None) -> None:
    """End every family of the person but that one."""
    await tx.execute(_DELETE_OTHERS, person=uid, kept=except_family or "")


async def end_oldest(tx: Transaction, *, uid: UserId, kept: int) -> None:
    """End the families of the person but for the `kept` that were used last."""
    rows = await tx.read(_LIST_UNUSED, person=uid, at_most=MANY)
    if len(rows) > kept:
        await tx.execute(_DELETE_FAMILIES, families=as_list([family for (family,) in rows[kept:]]))
