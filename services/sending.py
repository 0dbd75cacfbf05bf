# SPDX-License-Identifier: Apache-2.0
"""Sending an image: bytes durable first, then one transaction for everything that says so."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from models import fault, rules
from models.clock import DAY_MS
from models.db import deliveries, events, idempotency, messages, outbox, users
from models.db.database import CommitUnknown, Database, Transaction
from models.errors import (
    AppError,
    IdempotencyConflict,
    InvalidField,
    RecipientUnavailable,
    Unavailable,
)
from models.ids import parse_id
from models.imagefile import HeaderReader
from models.keys import KeyRing
from models.message import MessageId
from models.phone import is_phone_hash
from models.user import UserId
from services.limits import Limits
from storage.disk import DiskStore, DiskWriter, Room
from storage.keys import message_key
from telemetry import metrics

ADDRESSEES = ("receiver_uid", "receiver_phone", "group_id")


@dataclass(frozen=True, slots=True)
class Sent:
    """The reply to an accepted image. `send_time` is in milliseconds."""

    message_id: MessageId
    message_key: str
    send_time: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An image as its sender described it, checked but for what only the database knows. `size` is in bytes."""

    fields: dict[str, str]
    filetype: str
    ttl_seconds: int
    caption: str
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """An image whose bytes are durable and of which no row speaks yet."""

    draft: Draft
    sender_uid: UserId
    receiver_uid: UserId
    message_key: str
    sha256: bytes
    idempotency_key: str | None


class Sending:
    """The use cases of a sender before the image is with anybody."""

    def __init__(
        self,
        *,
        db: Database,
        store: DiskStore,
        keys: KeyRing,
        limits: Limits,
        policy: rules.SendPolicy,
        push_give_up_ms: int,
        wake_relay: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._limits = limits
        self._policy = policy
        self._push_give_up_ms = push_give_up_ms
        self._wake_relay = wake_relay
        self._clock = clock

    def admit(self, uid: UserId) -> None:
        """Raises RateLimited when this person has sent enough."""
        self._limits.check("send", address=None, uid=uid)

    def reserve(self, size: int) -> Room:
        """Room on the disk for an image on its way. Raises StorageFull."""
        return self._store.reserve(size)

    async def find_earlier(self, uid: UserId, key: str | None) -> bool:
        """Whether this person has used this Idempotency-Key for an image within a day."""
        return key is not None and await self._earlier(uid, key) is not None

    async def create(self, room: Room) -> DiskWriter:
        """A place for the bytes of an image on its way."""
        return await self._store.create(room)

    def draft(self, fields: dict[str, str], header: HeaderReader, size: int) -> Draft:
        """What the form says, checked. Raises InvalidField, MissingImage, UnsupportedImage, ImageDimensions."""
        if sum(name in fields for name in ADDRESSEES) != 1:
            raise InvalidField(fields=[("receiver_uid", "exactly one of receiver_uid, receiver_phone, group_id")])
        ttl_seconds = rules.check_ttl(fields.get("ttl_seconds"), self._policy)
        caption = rules.check_caption(fields.get("caption"))
        filetype = rules.check_image(size, header, fields.get("filetype"), self._policy)
        return Draft(fields, filetype, ttl_seconds, caption, size)

    async def repeat(self, uid: UserId, key: str, fields: dict[str, str], sha256: bytes) -> Sent:
        """The first reply to this Idempotency-Key. Raises IdempotencyConflict when the content is another."""
        earlier = await self._earlier(uid, key)
        if earlier is None:
            raise Unavailable("The Idempotency-Key has just run out; use a new one.")
        return _same(earlier, content_digest(fields, sha256))

    async def finish_image(self, uid: UserId, draft: Draft, image: DiskWriter, rest: bytes, key: str | None) -> Sent:
        """Make the image durable, then say so in one transaction.

        When this returns, bytes and rows survive a power cut and the notification will be relayed. When it raises,
        nothing is left but, after a commit whose fate is unknown, the file: the sweep or the same Idempotency-Key
        settles that. Raises RecipientUnavailable, InboxFull, IdempotencyConflict, StorageFull, Unavailable.
        """
        receiver_uid = await self._receiver(draft.fields)
        name = message_key(uid, receiver_uid, time.time_ns(), os.urandom(16))
        await image.commit(name, rest)
        stored = Stored(draft, uid, receiver_uid, name, image.sha256, key)

        async def unit(tx: Transaction) -> Sent:
            return await self._record(tx, stored)

        try:
            sent = await self._db.write(unit)
        except CommitUnknown as error:
            raise Unavailable("The image may have been taken; ask again with the same Idempotency-Key.") from error
        except AppError:
            await self._store.remove(name)
            raise
        fault.point("after_image_commit")
        if sent.message_key != name:
            await self._store.remove(name)
        else:
            metrics.image_sent(draft.size)
        self._wake_relay()
        return sent

    async def _record(self, tx: Transaction, image: Stored) -> Sent:
        now = self._clock()
        if image.idempotency_key is not None:
            earlier = await idempotency.find(tx, _name(image.sender_uid, image.idempotency_key), now)
            if earlier is not None:
                return _same(earlier, content_digest(image.draft.fields, image.sha256))
        rules.check_can_send(await users.find_recipient(tx, image.receiver_uid, image.sender_uid), image.draft.size, self._policy)
        sent = await _insert(tx, image, now)
        await self._notify(tx, image, sent)
        if image.idempotency_key is not None:
            await _remember(tx, image, sent)
        fault.point("before_image_commit")
        return sent

    async def _notify(self, tx: Transaction, image: Stored, sent: Sent) -> None:
        now, uid = sent.send_time, image.receiver_uid
        data = {"message_id": sent.message_id, "message_key": sent.message_key, "sender_uid": image.sender_uid}
        size = image.draft.size
        await events.append(tx, uid=uid, kind="image", at=now, data=data, pending_count=1, pending_bytes=size)
        give_up_at = now + min(image.draft.ttl_seconds * 1000, self._push_give_up_ms)
        await outbox.insert_for_person(
            tx, kind=outbox.Kind.MESSAGE, message_id=sent.message_id, uid=uid, now=now, give_up_at=give_up_at
        )

    async def _earlier(self, uid: UserId, key: str) -> idempotency.Earlier | None:
        return await idempotency.find(self._db, _name(uid, key), self._clock())

    async def _receiver(self, fields: dict[str, str]) -> UserId:
        """Who is meant. Raises RecipientUnavailable for a phone or group that is not known, InvalidField."""
        if "receiver_uid" in fields:
            wanted = parse_id(fields["receiver_uid"])
            if wanted is not None:
                return UserId(wanted)
            raise InvalidField(fields=[("receiver_uid", "a positive integer")])
        if "receiver_phone" in fields and not is_phone_hash(fields["receiver_phone"]):
            raise InvalidField(fields=[("receiver_phone", "64 lower-case hex digits")])
        uid = None
        if "receiver_phone" in fields:
            uid = await users.find_uid_by_phone(self._db, self._keys.phone_digest(fields["receiver_phone"]))
        if uid is None:
            raise RecipientUnavailable
        return uid


async def _insert(tx: Transaction, image: Stored, now: int) -> Sent:
    draft = image.draft
    message_id = await messages.insert_image(
        tx,
        message_key=image.message_key,
        sender_uid=image.sender_uid,
        receiver_uid=image.receiver_uid,
        send_time=now,
        filetype=draft.filetype,
        size=draft.size,
        sha256=image.sha256,
        caption=draft.caption,
        expires_at=now + draft.ttl_seconds * 1000,
    )
    await deliveries.insert_pending(
        tx, message_id=message_id, receiver_uid=image.receiver_uid, sender_uid=image.sender_uid
    )
    return Sent(message_id, image.message_key, now)


async def _remember(tx: Transaction, image: Stored, sent: Sent) -> None:
    assert image.idempotency_key is not None
    await idempotency.insert(
        tx,
        key_digest=_name(image.sender_uid, image.idempotency_key),
        request_digest=content_digest(image.draft.fields, image.sha256),
        uid=image.sender_uid,
        reply=json.dumps(asdict(sent)),
        now=sent.send_time,
        expires_at=sent.send_time + DAY_MS,
    )


def _name(uid: UserId, key: str) -> bytes:
    return idempotency.key_digest("image", str(uid), key)


def content_digest(fields: dict[str, str], sha256: bytes) -> bytes:
    """SHA-256 over all that makes an image this image: what an Idempotency-Key stands for."""
    said = {name: fields[name] for name in (*ADDRESSEES, "caption", "ttl_seconds", "filetype") if name in fields}
    return hashlib.sha256(json.dumps([sha256.hex(), said]).encode()).digest()


def _same(earlier: idempotency.Earlier, digest: bytes) -> Sent:
    if earlier.request_digest != digest:
        raise IdempotencyConflict
    return Sent(**json.loads(earlier.reply))
