# SPDX-License-Identifier: Apache-2.0
"""Statements of `credentials`: the digests of the ukeys that speak for people; and what lets people in at all."""

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, delete, exists, insert, or_, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import credentials, phone_index, refresh_tokens, users
from models.keys import PhoneDigest
from models.user import UserId

UKEY = "ukey"

_OF_PERSON = (credentials.c.uid == bindparam("this")) & (credentials.c.kind == UKEY)
_LIST_FOR_PHONE = Statement(
    select(
        credentials.c.credential_id,
        credentials.c.digest,
        credentials.c.expires_at,
        users.c.uid,
        users.c.seen_at,
        users.c.disabled_at,
    )
    .join_from(phone_index, users, phone_index.c.uid == users.c.uid)
    .join(credentials, (credentials.c.uid == users.c.uid) & (credentials.c.kind == UKEY))
    .where(phone_index.c.version == bindparam("version"), phone_index.c.digest == bindparam("digest"))
    .order_by(credentials.c.credential_id.desc())
)
_NEWEST = Statement(select(credentials.c.credential_id).where(_OF_PERSON).order_by(credentials.c.credential_id.desc()))
_OLDEST = Statement(
    select(credentials.c.credential_id)
    .where(_OF_PERSON, or_(credentials.c.expires_at.is_(None), credentials.c.expires_at > bindparam("now")))
    .order_by(credentials.c.credential_id)
)
_INSERT = Statement(
    insert(credentials).values(
        uid=bindparam("uid"), kind=UKEY, digest=bindparam("digest"), created_at=bindparam("now"), expires_at=None
    )
)
_REPLACE = Statement(
    update(credentials)
    .where(_OF_PERSON, credentials.c.credential_id == bindparam("replaced"), credentials.c.expires_at.is_(None))
    .values(digest=bindparam("fresh"), created_at=bindparam("now"))
)
_EXPIRE = Statement(
    update(credentials)
    .where(_OF_PERSON, or_(credentials.c.expires_at.is_(None), credentials.c.expires_at > bindparam("end")))
    .values(expires_at=bindparam("end"))
)
_DELETE = Statement(delete(credentials).where(_OF_PERSON))
_DELETE_OTHERS = Statement(delete(credentials).where(_OF_PERSON, credentials.c.credential_id != bindparam("kept")))
_DELETE_OLDER = Statement(delete(credentials).where(_OF_PERSON, credentials.c.credential_id < bindparam("newest")))

# Not by its key: MariaDB would read that row as it plans, and so see all as it was before it waits for a lock.
_UKEY_STANDS = exists().where(
    credentials.c.uid == users.c.uid,
    credentials.c.credential_id + 0 == bindparam("credential_id"),
    or_(credentials.c.expires_at.is_(None), credentials.c.expires_at > bindparam("now")),
)
_FAMILY_STANDS = (
    select(refresh_tokens.c.expires_at > bindparam("now"))
    .where(refresh_tokens.c.uid == users.c.uid, refresh_tokens.c.family == bindparam("family"))
    .order_by(refresh_tokens.c.token_id.desc())
    .limit(1)
    .scalar_subquery()
)
LETS_IN = and_(users.c.disabled_at.is_(None), or_(_UKEY_STANDS, _FAMILY_STANDS))
"""Of a row of `users`: whether its person is still let in by a ukey or a family of tokens, whichever is not null."""
IS_CALLER_LET_IN = exists(select(users.c.uid).where(users.c.uid == bindparam("caller_uid"), LETS_IN).correlate(None))
"""The same of one person, for a statement about something else: who is not let in finds nothing by it."""
_LIVE = Statement(select(users.c.uid).where(users.c.uid == bindparam("this"), LETS_IN))


@dataclass(frozen=True, slots=True)
class Ukey:
    """One ukey's row, and what its person's row says about letting them in."""

    credential_id: int
    digest: bytes
    expires_at: int | None
    uid: UserId
    seen_at: int
    disabled_at: int | None


async def list_for_phone(reader: Reader, digest: PhoneDigest) -> list[Ukey]:
    """The ukeys of whoever has this number, the newest first; expired ones too."""
    return [Ukey(*row) for row in await reader.read(_LIST_FOR_PHONE, version=digest.version, digest=digest.digest)]


async def is_live(reader: Reader, *, uid: UserId, credential_id: int | None, family: str | None, now: int) -> bool:
    """Whether this ukey or this family of tokens is the person's and still lets them in."""
    return bool(await reader.read(_LIVE, this=uid, credential_id=credential_id, family=family, now=now))


async def find_newest(reader: Reader, *, uid: int) -> int | None:
    """The credential_id of the person's newest ukey, expired ones too."""
    rows = await reader.read(_NEWEST, this=uid)
    return rows[0][0] if rows else None


async def find_oldest(reader: Reader, *, uid: int, now: int) -> int | None:
    """The oldest ukey that has not expired."""
    rows = await reader.read(_OLDEST, this=uid, now=now)
    return rows[0][0] if rows else None


async def insert_ukey(tx: Transaction, *, uid: int, digest: bytes, now: int) -> int:
    """The new row's credential_id."""
    return (await tx.execute(_INSERT, uid=uid, digest=digest, now=now)).last_id


async def replace_ukey(tx: Transaction, *, uid: int, credential_id: int, digest: bytes, now: int) -> bool:
    """Put a fresh ukey in the place of one that still is the person's current one; False when it is not."""
    changed = await tx.execute(_REPLACE, this=uid, replaced=credential_id, fresh=digest, now=now)
    return changed.count == 1


async def expire_all(tx: Transaction, *, uid: int, expires_at: int) -> None:
    """End every ukey of the person at that time, if not sooner."""
    await tx.execute(_EXPIRE, this=uid, end=expires_at)


async def delete_all(tx: Transaction, *, uid: int) -> None:
    """End every ukey of the person."""
    await tx.execute(_DELETE, this=uid)


async def delete_others(tx: Transaction, *, uid: int, credential_id: int) -> None:
    """End every ukey of the person but this one."""
    await tx.execute(_DELETE_OTHERS, this=uid, kept=credential_id)


async def delete_older(tx: Transaction, *, uid: int, credential_id: int) -> None:
    """End the ukeys that came before this one."""
    await tx.execute(_DELETE_OLDER, this=uid, newest=credential_id)
