# SPDX-License-Identifier: Apache-2.0
"""What an operator does with people and with the outbox, beside a running server."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from models.db.database import BATCH_ROWS, Database, Transaction
from models.db.tables import audit, devices, outbox_summary, uploads, users
from models.db.tables.outbox_summary import Wanted
from models.keys import KeyRing
from models.phone import is_phone_hash, phone_hash
from models.upload import Upload
from models.user import User, UserId
from services.accounts.account_deletion import AccountDeletion
from services.accounts.export import Export
from services.audit import record
from storage.base import BlobStore

DROPPED = "dropped by the operator"
UID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class About:
    """What an operator may know of a person: nothing that reaches or identifies them elsewhere.

    Times are in milliseconds. `devices` counts those that get pushes, by provider; `pending_pushes` are still to be
    sent.
    """

    uid: UserId
    nickname: str
    region_num: str | None
    reg_time: int
    seen_at: int
    disabled_at: int | None
    devices: dict[str, int]
    pending_images: int
    pending_bytes: int
    pending_pushes: int


async def describe(db: Database, uid: int) -> About:
    """Raises NotFound."""
    return await _about(db, await users.get(db, uid))


async def list_people(db: Database, *, before: int, limit: int) -> list[About]:
    """People with a lower uid, the newest first."""
    return [await _about(db, user) for user in await users.list_before(db, before=before, limit=limit)]


async def find_people(db: Database, part: str, *, before: int, limit: int) -> list[About]:
    """People with a lower uid whose nickname holds this text, whatever its case, the newest first.

    All nicknames are read, in batches: no index serves a search inside of a text.
    """
    found: list[About] = []
    wanted = part.casefold()
    while len(found) < limit and (batch := await users.list_before(db, before=before, limit=BATCH_ROWS)):
        before = batch[-1].uid
        hits = [user for user in batch if wanted in user.nickname.casefold()]
        found += [await _about(db, user) for user in hits[: limit - len(found)]]
    return found


async def _about(db: Database, user: User) -> About:
    found = await users.find_recipient(db, user.uid, user.uid)
    active = await devices.list_active(db, uid=user.uid)
    return About(
        uid=user.uid,
        nickname=user.nickname,
        region_num=user.region_num,
        reg_time=user.reg_time,
        seen_at=user.seen_at,
        disabled_at=user.disabled_at,
        devices=dict(Counter(device.provider for device in active)),
        pending_images=found.inbox.images if found else 0,
        pending_bytes=found.inbox.size if found else 0,
        pending_pushes=await outbox_summary.count_due(db, uid=user.uid),
    )


def names_one(what: str) -> bool:
    """Whether this is a uid, a number with its plus sign or a phone hash, and so one person or nobody."""
    return bool(UID.fullmatch(what) or _hash_of(what))


async def find_one(db: Database, what: str, *, keys: Callable[[bytes], KeyRing]) -> UserId | None:
    """Who has this uid, number or phone hash. `keys` opens the key ring, which some sealed number proves.

    Raises KeyRingError.
    """
    if UID.fullmatch(what):
        user = await users.find(db, int(what))
        return user.uid if user else None
    hashed, sealed = _hash_of(what), await users.find_phone_cipher(db)
    if hashed is None or sealed is None:
        return None
    return await users.find_uid_by_phone(db, keys(sealed).phone_digest(hashed))


def _hash_of(what: str) -> str | None:
    number = re.sub(r"[ ()-]", "", what)
    if E164.fullmatch(number):
        return phone_hash(number)
    return what if is_phone_hash(what) else None


async def search(db: Database, what: str, *, keys: Callable[[bytes], KeyRing], before: int, limit: int) -> list[About]:
    """Whoever has this uid, number or phone hash, and then whoever has it in their nickname. Raises KeyRingError."""
    uid = await find_one(db, what, keys=keys)
    found = [] if uid is None else [await describe(db, uid)]
    named = await find_people(db, what, before=before, limit=limit)
    return found + [about for about in named if about.uid != uid]


async def delete_person(db: Database, account_deletion: AccountDeletion, uid: int, *, operator: str, now: int) -> None:
    """End a person's account, on record, as when they leave by themselves. Raises DatabaseError."""
    await record(db, operator=operator, act="users delete", about=f"uid {uid}", now=now)
    await account_deletion.leave(uid)


async def export_person(db: Database, export: Export, uid: int, *, operator: str, now: int) -> AsyncIterator[str]:
    """The text of all that is kept about a person, on record. Raises NotFound before the first piece."""
    await users.get(db, uid)
    await record(db, operator=operator, act="users export", about=f"uid {uid}", now=now)
    async for piece in export.pieces(uid):
        yield piece


async def set_disabled(db: Database, uid: int, *, disabled: bool, operator: str, now: int) -> bool:
    """Shut a person out, or let them in again, on record; False when it was so already. Raises NotFound.

    When this returns, no credential of a disabled person is taken and no image to them is accepted.
    """

    async def unit(tx: Transaction) -> bool:
        user = await users.get(tx, uid)
        if (user.disabled_at is not None) == disabled:
            return False
        await users.set_disabled(tx, uid=uid, at=now if disabled else None)
        act = "users disable" if disabled else "users disable --undo"
        await audit.insert_act(tx, at=now, operator=operator, act=act, about=f"uid {uid}")
        return True

    return await db.write(unit)


async def retry_pushes(db: Database, ids: list[int], *, operator: str, now: int, give_up_ms: int) -> int:
    """Make dead notifications due now, and for `give_up_ms` from now on, on record; how many were dead."""
    done = 0
    for batch in _batches(ids):

        async def unit(tx: Transaction, batch: list[int] = batch) -> int:
            revived = await outbox_summary.revive(tx, batch, now=now, give_up_at=now + give_up_ms)
            if revived:
                about = _of_pushes(revived, batch)
                await audit.insert_act(tx, at=now, operator=operator, act="outbox retry", about=about)
            return revived

        done += await db.write(unit)
    return done


async def drop_pushes(db: Database, ids: list[int], *, operator: str, now: int) -> int:
    """End due notifications unsent, on record; how many were due."""
    done = 0
    for batch in _batches(ids):

        async def unit(tx: Transaction, batch: list[int] = batch) -> int:
            dropped = await outbox_summary.drop(tx, batch, reason=DROPPED, now=now)
            if dropped:
                about = _of_pushes(dropped, batch)
                await audit.insert_act(tx, at=now, operator=operator, act="outbox drop", about=about)
            return dropped

        done += await db.write(unit)
    return done


async def list_pushes(db: Database, wanted: Wanted) -> list[int]:
    """The id of every notification that is meant, newest first."""
    ids: list[int] = []
    before = outbox_summary.NEWEST
    while rows := await outbox_summary.list_some(db, wanted, before=before, limit=10 * BATCH_ROWS):
        before = rows[-1].outbox_id
        ids += [row.outbox_id for row in rows]
    return ids


async def list_open_uploads(db: Database, *, limit: int) -> list[Upload]:
    """Uploads that have not ended, at most so many."""
    found: list[Upload] = []
    after = ""
    while len(found) < limit and (batch := await uploads.list_after(db, after=after, limit=BATCH_ROWS)):
        after = batch[-1].upload_id
        found += [upload for upload in batch if upload.message_id is None]
    return found[:limit]


async def drop_uploads(db: Database, store: BlobStore, upload_ids: list[str], *, operator: str, now: int) -> int:
    """End uploads without an image, with their bytes, on record; how many there were. Who is sending to one is
    refused.
    """
    dropped = []
    for upload_id in upload_ids:

        async def unit(tx: Transaction, upload_id: str = upload_id) -> bool:
            was_open = await uploads.delete_open(tx, upload_id)
            if was_open:
                about = f"upload {upload_id}"
                await audit.insert_act(tx, at=now, operator=operator, act="uploads drop", about=about)
            return was_open

        if await db.write(unit):
            dropped.append(upload_id)
    await store.uploads.remove_many(dropped)
    return len(dropped)


def _of_pushes(count: int, asked: list[int]) -> str:
    if len(asked) == 1:
        return f"notification {asked[0]}"
    return f"{count} notifications of {min(asked)} to {max(asked)}"


def _batches(ids: list[int]) -> list[list[int]]:
    return [ids[start : start + BATCH_ROWS] for start in range(0, len(ids), BATCH_ROWS)]
