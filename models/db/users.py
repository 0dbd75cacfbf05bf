# SPDX-License-Identifier: Apache-2.0
"""Statements of `users`: people with an account. Their counters are moved by `events`."""

from sqlalchemy import and_, bindparam, exists, func, insert, or_, select, update

from models.db.database import Reader, Row, Statement, Transaction
from models.db.schema import blocks, friendships, phone_index, users
from models.errors import NotFound
from models.keys import PhoneDigest
from models.user import FriendState, Recipient, User, UserId

COLUMNS = (
    users.c.uid,
    users.c.nickname,
    users.c.region_num,
    users.c.phone_cipher,
    users.c.discoverable,
    users.c.terms_version,
    users.c.reg_time,
    users.c.seen_at,
    users.c.disabled_at,
    users.c.email,
    users.c.login,
    users.c.password_hash.is_not(None),
)

_THIS = users.c.uid == bindparam("this")
_FIND = Statement(select(*COLUMNS).where(_THIS))
_FIND_UID = Statement(
    select(phone_index.c.uid).where(
        phone_index.c.version == bindparam("version"), phone_index.c.digest == bindparam("digest")
    )
)
_FIND_BY_PHONE = Statement(
    select(*COLUMNS)
    .join_from(phone_index, users, phone_index.c.uid == users.c.uid)
    .where(phone_index.c.version == bindparam("version"), phone_index.c.digest == bindparam("digest"))
)
_CAN_LOG_IN = and_(users.c.password_hash.is_not(None), or_(users.c.email.is_not(None), users.c.login.is_not(None)))
_FIND_RECIPIENT = Statement(
    select(
        users.c.uid,
        or_(users.c.phone_cipher.is_not(None), _CAN_LOG_IN),
        users.c.disabled_at,
        users.c.pending_count,
        users.c.pending_bytes,
        exists().where(blocks.c.uid == users.c.uid, blocks.c.blocked_uid == bindparam("sender")),
        exists().where(
            friendships.c.uid == users.c.uid,
            friendships.c.other_uid == bindparam("sender"),
            friendships.c.state == FriendState.FRIENDS.value,
        ),
    ).where(_THIS)
)
_FIND_CIPHER = Statement(
    select(users.c.phone_cipher).where(users.c.phone_cipher.is_not(None)).order_by(users.c.uid.desc()).limit(1),
    bulk=True,
)
_INSERT = Statement(
    insert(users).values(
        nickname=bindparam("nickname"),
        region_num=bindparam("region_num"),
        phone_cipher=bindparam("phone_cipher"),
        terms_version=bindparam("terms_version"),
        reg_time=bindparam("now"),
        seen_at=bindparam("now"),
    )
)
_SET_PROFILE = Statement(
    update(users).where(_THIS).values(nickname=bindparam("nickname"), discoverable=bindparam("discoverable"))
)
_MARK_SEEN = Statement(update(users).where(_THIS).values(seen_at=bindparam("now")))
_SET_TERMS = Statement(
    update(users).where(_THIS).values(terms_version=func.coalesce(bindparam("terms_version"), users.c.terms_version))
)
_SET_DISABLED = Statement(update(users).where(_THIS).values(disabled_at=bindparam("at")))
_DELETE_PHONE = Statement(update(users).where(_THIS).values(region_num=None, phone_cipher=None))


def _user(row: Row) -> User:
    uid, nickname, region_num, phone_cipher, discoverable, *rest, has_password = row
    return User(UserId(uid), nickname, region_num, phone_cipher, bool(discoverable), *rest, bool(has_password))


async def find(reader: Reader, uid: int) -> User | None:
    rows = await reader.read(_FIND, this=uid)
    return _user(rows[0]) if rows else None


async def get(reader: Reader, uid: int) -> User:
    """Raises NotFound."""
    user = await find(reader, uid)
    if user is None:
        raise NotFound
    return user


async def find_by_phone(reader: Reader, digest: PhoneDigest) -> User | None:
    """Whose number this is."""
    rows = await reader.read(_FIND_BY_PHONE, version=digest.version, digest=digest.digest)
    return _user(rows[0]) if rows else None


async def find_uid_by_phone(reader: Reader, digest: PhoneDigest) -> UserId | None:
    """The uid of whose number this is."""
    rows = await reader.read(_FIND_UID, version=digest.version, digest=digest.digest)
    return UserId(rows[0][0]) if rows else None


async def find_recipient(reader: Reader, uid: int, sender_uid: UserId) -> Recipient | None:
    """The person as a receiver of what this sender sends."""
    rows = await reader.read(_FIND_RECIPIENT, this=uid, sender=sender_uid)
    if not rows:
        return None
    found, has_way_in, *counters, blocks_sender, is_friend = rows[0]
    return Recipient(UserId(found), bool(has_way_in), *counters, bool(blocks_sender), bool(is_friend))


async def find_phone_cipher(reader: Reader) -> bytes | None:
    """The newest stored number, to see whether the key ring at hand opens it; None when no number is stored."""
    rows = await reader.read(_FIND_CIPHER)
    return rows[0][0] if rows else None


async def insert_user(
    tx: Transaction, *, nickname: str, region_num: str, phone_cipher: bytes, terms_version: str | None, now: int
) -> UserId:
    changed = await tx.execute(
        _INSERT,
        nickname=nickname,
        region_num=region_num,
        phone_cipher=phone_cipher,
        terms_version=terms_version,
        now=now,
    )
    return UserId(changed.last_id)


async def set_profile(tx: Transaction, *, uid: int, nickname: str, discoverable: bool) -> None:
    await tx.execute(_SET_PROFILE, this=uid, nickname=nickname, discoverable=int(discoverable))


async def mark_seen(tx: Transaction, *, uid: int, now: int) -> None:
    await tx.execute(_MARK_SEEN, this=uid, now=now)


async def set_terms(tx: Transaction, *, uid: int, terms_version: str | None) -> None:
    """Note the terms that were accepted last; None leaves what is there."""
    await tx.execute(_SET_TERMS, this=uid, terms_version=terms_version)


async def set_disabled(tx: Transaction, *, uid: int, at: int | None) -> None:
    """Shut a person out from then on; None lets them in again."""
    await tx.execute(_SET_DISABLED, this=uid, at=at)


async def delete_phone(tx: Transaction, *, uid: int) -> None:
    """Forget the person's number here; `phone_index` forgets its own."""
    await tx.execute(_DELETE_PHONE, this=uid)
