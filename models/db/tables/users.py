# SPDX-License-Identifier: Apache-2.0
"""Statements of `users`: people with an account. Their counters are moved by `events`."""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, insert, literal, or_, select, update

from models.db.database import InList, Reader, Row, Statement, Transaction, as_list
from models.db.schema import blocks, deliveries, devices, friendships, messages, phone_index, users
from models.db.tables.credentials import LETS_IN
from models.errors import NotFound
from models.keys import PhoneDigest
from models.message import DeliveryState
from models.user import FriendState, Recipient, Room, Shares, User, UserId

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
    users.c.read_receipts,
    users.c.password_hash.is_not(None),
)

_THIS = users.c.uid == bindparam("this")
_FIND = Statement(select(*COLUMNS).where(_THIS, users.c.leaving_at.is_(None)))
_LIST_BEFORE = Statement(
    select(*COLUMNS)
    .where(users.c.uid < bindparam("before"), users.c.leaving_at.is_(None))
    .order_by(users.c.uid.desc())
    .limit(bindparam("at_most")),
    bulk=True,
)
_COUNT = Statement(select(func.count(), func.count(users.c.disabled_at)).where(users.c.leaving_at.is_(None)), bulk=True)
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
RECIPIENT = select(
    users.c.uid,
    or_(users.c.phone_cipher.is_not(None), _CAN_LOG_IN),
    users.c.disabled_at,
    users.c.pending_count,
    users.c.pending_bytes,
    exists().where(blocks.c.uid == users.c.uid, blocks.c.blocked_uid == bindparam("sender")),
    exists().where(
        friendships.c.uid == bindparam("sender"),
        friendships.c.other_uid == users.c.uid,
        friendships.c.state == FriendState.FRIENDS.value,
    ),
)
_FIND_RECIPIENT = Statement(RECIPIENT.where(_THIS))


def _kept_back(total: ColumnElement[int]) -> ColumnElement[int]:
    """A total over the sender's images that would wait for somebody but for a block; 0 unless an image is sent."""
    return (
        select(total)
        .select_from(deliveries)
        .join(messages, messages.c.message_id == deliveries.c.message_id)
        .where(
            deliveries.c.receiver_uid == users.c.uid,
            deliveries.c.sender_uid == bindparam("sender"),
            deliveries.c.state == DeliveryState.BLOCKED.value,
            bindparam("for_image") == 1,
        )
        .correlate(users)
        .scalar_subquery()
    )


RECEIVER_OR_CALLER = RECIPIENT.add_columns(
    LETS_IN,
    _kept_back(func.count()),
    _kept_back(func.coalesce(func.sum(messages.c.size), 0)),
    exists().where(devices.c.uid == users.c.uid, devices.c.ended_at.is_(None)),
)
_IS_OWN = deliveries.c.sender_uid == bindparam("sender")
# By the sender's row of the friendship, as everywhere: a block does not end it.
_IS_STRANGERS = friendships.c.uid.is_(None)


def _total(condition: ColumnElement[bool], amount: ColumnElement[int]) -> ColumnElement[int]:
    return func.sum(case((condition, amount), else_=0))


_LIST_SHARES = Statement(
    select(
        deliveries.c.receiver_uid,
        _total(_IS_OWN, literal(1)),
        _total(_IS_OWN, messages.c.size),
        _total(_IS_STRANGERS, literal(1)),
        _total(_IS_STRANGERS, messages.c.size),
    )
    .select_from(
        deliveries.join(messages, messages.c.message_id == deliveries.c.message_id).outerjoin(
            friendships,
            and_(
                friendships.c.uid == deliveries.c.sender_uid,
                friendships.c.other_uid == deliveries.c.receiver_uid,
                friendships.c.state == FriendState.FRIENDS.value,
            ),
        )
    )
    .where(
        InList(deliveries.c.receiver_uid, bindparam("uids")),
        or_(deliveries.c.state == DeliveryState.PENDING.value, deliveries.c.state == DeliveryState.BLOCKED.value),
        or_(deliveries.c.state == DeliveryState.PENDING.value, _IS_OWN),
    )
    .group_by(deliveries.c.receiver_uid)
)
_LOCK_BOTH = Statement(
    RECEIVER_OR_CALLER.where(users.c.uid.in_([bindparam("this"), bindparam("sender")]))
    .order_by(users.c.uid)
    .with_for_update()
)
_LOCK_RECIPIENTS = Statement(
    RECIPIENT.where(InList(users.c.uid, bindparam("uids"))).order_by(users.c.uid).with_for_update()
)
_LOCK = Statement(select(users.c.uid).where(_THIS, users.c.leaving_at.is_(None)).with_for_update())
_PARTNER = phone_index.c.uid
_HAVE_MET = Statement(
    select(phone_index.c.uid).where(
        phone_index.c.version == bindparam("version"),
        phone_index.c.digest == bindparam("digest"),
        or_(
            exists().where(
                friendships.c.uid == bindparam("this"),
                friendships.c.other_uid == _PARTNER,
                friendships.c.state == FriendState.FRIENDS.value,
            ),
            exists().where(deliveries.c.receiver_uid == bindparam("this"), deliveries.c.sender_uid == _PARTNER),
            exists().where(deliveries.c.receiver_uid == _PARTNER, deliveries.c.sender_uid == bindparam("this")),
        ),
    )
)
_LIST_DISCOVERABLE = Statement(
    select(phone_index.c.digest, users.c.uid, users.c.nickname)
    .join_from(phone_index, users, users.c.uid == phone_index.c.uid)
    .where(
        phone_index.c.version == bindparam("version"),
        InList(phone_index.c.digest, bindparam("digests")),
        users.c.discoverable == 1,
        users.c.disabled_at.is_(None),
        users.c.uid != bindparam("asker"),
    ),
    bulk=True,
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
    update(users)
    .where(_THIS)
    .values(
        nickname=func.coalesce(bindparam("nickname"), users.c.nickname),
        discoverable=func.coalesce(bindparam("discoverable"), users.c.discoverable),
        read_receipts=func.coalesce(bindparam("read_receipts"), users.c.read_receipts),
    )
)
_MARK_SEEN = Statement(update(users).where(_THIS).values(seen_at=bindparam("now")))
_SET_TERMS = Statement(
    update(users).where(_THIS).values(terms_version=func.coalesce(bindparam("terms_version"), users.c.terms_version))
)
_SET_DISABLED = Statement(update(users).where(_THIS).values(disabled_at=bindparam("at")))
_DELETE_PHONE = Statement(update(users).where(_THIS).values(region_num=None, phone_cipher=None))


def _user(row: Row) -> User:
    uid, nickname, region_num, phone_cipher, discoverable, *rest, read_receipts, has_password = row
    rest += [bool(read_receipts), bool(has_password)]
    return User(UserId(uid), nickname, region_num, phone_cipher, bool(discoverable), *rest)


def recipient_of(row: Row) -> Recipient:
    """A row of RECIPIENT."""
    uid, has_way_in, disabled_at, count, size, blocks_sender, is_friend = row
    inbox = Room(count, size)
    return Recipient(UserId(uid), bool(has_way_in), disabled_at, inbox, bool(blocks_sender), bool(is_friend))


def receiver_of(row: Row) -> Recipient:
    """A row of RECEIVER_OR_CALLER. What is kept back from the inbox is in it, as far as its sender may know."""
    uid, has_way_in, disabled_at, count, size, blocks_sender, is_friend, *rest = row
    is_let_in, kept_back, kept_back_bytes, has_device = rest
    return Recipient(
        UserId(uid),
        bool(has_way_in),
        disabled_at,
        Room(count + int(kept_back), size + int(kept_back_bytes)),
        bool(blocks_sender),
        bool(is_friend),
        is_let_in=bool(is_let_in),
        has_device=bool(has_device),
    )


async def find(reader: Reader, uid: int) -> User | None:
    rows = await reader.read(_FIND, this=uid)
    return _user(rows[0]) if rows else None


async def get(reader: Reader, uid: int) -> User:
    """Raises NotFound."""
    user = await find(reader, uid)
    if user is None:
        raise NotFound
    return user


async def list_before(reader: Reader, *, before: int, limit: int) -> list[User]:
    """People with a lower uid, the newest first."""
    return [_user(row) for row in await reader.read(_LIST_BEFORE, before=before, at_most=limit)]


async def count(reader: Reader) -> tuple[int, int]:
    """How many people have an account, and how many of them are disabled."""
    [(people, disabled)] = await reader.read(_COUNT)
    return int(people), int(disabled)


async def find_by_phone(reader: Reader, digest: PhoneDigest) -> User | None:
    """Whose number this is."""
    rows = await reader.read(_FIND_BY_PHONE, version=digest.version, digest=digest.digest)
    return _user(rows[0]) if rows else None


async def find_uid_by_phone(reader: Reader, digest: PhoneDigest) -> UserId | None:
    """The uid of whose number this is."""
    rows = await reader.read(_FIND_UID, version=digest.version, digest=digest.digest)
    return UserId(rows[0][0]) if rows else None


async def have_met(reader: Reader, *, uid: UserId, digest: PhoneDigest) -> bool:
    """Whether this is a number of somebody who is this person's friend, or with whom they share a message."""
    return bool(await reader.read(_HAVE_MET, this=uid, version=digest.version, digest=digest.digest))


async def find_recipient(reader: Reader, uid: int, sender_uid: UserId) -> Recipient | None:
    """The person as a receiver of what this sender sends."""
    rows = await reader.read(_FIND_RECIPIENT, this=uid, sender=sender_uid)
    return recipient_of(rows[0]) if rows else None


async def lock_both(
    tx: Transaction,
    uid: int,
    sender_uid: UserId,
    *,
    credential_id: int | None,
    family: str | None,
    for_image: bool,
    now: int,
) -> dict[UserId, Recipient]:
    """One person as the receiver of what this sender sends, and the sender, who came with this ukey or this family of
    tokens; kept as they are until the transaction ends. Somebody who does not exist is not there.
    """
    rows = await tx.read(
        _LOCK_BOTH,
        this=uid,
        sender=sender_uid,
        credential_id=credential_id,
        family=family,
        for_image=int(for_image),
        now=now,
    )
    return {UserId(row[0]): receiver_of(row) for row in rows}


async def list_shares(tx: Transaction, uids: Iterable[int], sender_uid: UserId) -> dict[UserId, Shares]:
    """How the inboxes of these people, who are locked, are divided as this sender may know; empty ones are left out."""
    rows = await tx.read(_LIST_SHARES, uids=as_list(sorted(uids)), sender=sender_uid)
    found = [(UserId(uid), map(int, totals)) for uid, *totals in rows]
    return {
        uid: Shares(Room(own, own_size), Room(strangers, strangers_size))
        for uid, (own, own_size, strangers, strangers_size) in found
    }


async def lock_recipients(tx: Transaction, uids: Iterable[int], sender_uid: UserId) -> dict[UserId, Recipient]:
    """Those of these people who exist, as receivers of what this sender sends, kept as they are until the
    transaction ends. They are locked in ascending uid.
    """
    rows = await tx.read(_LOCK_RECIPIENTS, uids=as_list(sorted(uids)), sender=sender_uid)
    return {UserId(row[0]): recipient_of(row) for row in rows}


async def hold(tx: Transaction, uid: int) -> bool:
    """Let no other transaction that does the same in until this one ends; False when the person is nobody or leaving.

    What is read of the person from then on stays as it is. Before any other row of theirs is written.
    """
    return bool(await tx.read(_LOCK, this=uid))


async def lock(tx: Transaction, *uids: int) -> None:
    """Hold several people, in ascending uid, so that no two transactions wait for each other in a circle.

    Raises NotFound when one of them is nobody.
    """
    for uid in sorted(uids):
        if not await hold(tx, uid):
            raise NotFound


async def hold_by_phone(tx: Transaction, digest: PhoneDigest) -> User | None:
    """Whose number this is, held; the number may have passed on before they could be."""
    uid = await find_uid_by_phone(tx, digest)
    if uid is None or not await hold(tx, uid):
        return None
    user = await find_by_phone(tx, digest)
    return user if user is None or user.uid == uid else await hold_by_phone(tx, digest)


async def list_discoverable(
    reader: Reader, digests: Sequence[PhoneDigest], *, asker_uid: UserId
) -> list[tuple[bytes, UserId, str]]:
    """(digest, uid, nickname) of those whose numbers these are and whom the asker may find.

    The digests are of one version.
    """
    rows = await reader.read(
        _LIST_DISCOVERABLE,
        version=digests[0].version,
        digests=as_list(digest.digest for digest in digests),
        asker=asker_uid,
    )
    return [(digest, UserId(uid), nickname) for digest, uid, nickname in rows]


async def find_phone_cipher(reader: Reader) -> bytes | None:
    """The newest stored number, to see whether the key ring at hand opens it; None when no number is stored."""
    rows = await reader.read(_FIND_CIPHER)
    return rows[0][0] if rows else None


async def insert_user(
    tx: Transaction, *, nickname: str, region_num: str, phone_cipher: bytes, terms_version: str | None, now: int
) -> UserId:
    """A new account with a phone, which the key ring has encrypted to `phone_cipher`."""
    changed = await tx.execute(
        _INSERT,
        nickname=nickname,
        region_num=region_num,
        phone_cipher=phone_cipher,
        terms_version=terms_version,
        now=now,
    )
    return UserId(changed.last_id)


async def set_profile(
    tx: Transaction, *, uid: int, nickname: str | None, discoverable: bool | None, read_receipts: bool | None
) -> None:
    """None leaves what is there."""
    flags = {"discoverable": discoverable, "read_receipts": read_receipts}
    await tx.execute(
        _SET_PROFILE,
        this=uid,
        nickname=nickname,
        **{name: None if flag is None else int(flag) for name, flag in flags.items()},
    )


async def mark_seen(tx: Transaction, *, uid: int, now: int) -> None:
    """Note that the person was here. Holds their row as `hold` does, on every node of a cluster: the row is written."""
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
