# SPDX-License-Identifier: Apache-2.0
"""Sending an image: bytes durable first, then one transaction for everything that says so."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict

from models import fault, rules
from models.clock import DAY_MS, HOUR_MS
from models.db.database import CommitUnknown, Database, Transaction
from models.db.tables import idempotency, users
from models.errors import (
    AppError,
    IdempotencyConflict,
    InvalidField,
    RecipientUnavailable,
    Unavailable,
)
from models.group import GroupId
from models.ids import parse_id
from models.imagefile import HeaderReader
from models.keys import KeyRing
from models.phone import is_phone_hash
from models.user import UserId
from services import delivery
from services.authentication import Caller, check_live
from services.delivery import Draft, Sent, Stored
from services.discovery import Discovery
from services.limits import Limits
from storage.disk import DiskStore, DiskWriter, Reservation
from storage.keys import message_key
from telemetry import metrics

PERSONS = ("receiver_uid", "receiver_phone")
ADDRESSEES = (*PERSONS, "group_id")


class Sending:
    """The use cases of a sender before the image is with anybody."""

    def __init__(
        self,
        *,
        db: Database,
        store: DiskStore,
        keys: KeyRing,
        limits: Limits,
        discovery: Discovery,
        policy: rules.SendPolicy,
        push_give_up_hours: int,
        wake_relay: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._limits = limits
        self._discovery = discovery
        self._policy = policy
        self._push_give_up_ms = push_give_up_hours * HOUR_MS
        self._wake_relay = wake_relay
        self._clock = clock

    async def admit(self, uid: UserId) -> None:
        """Raises RateLimited when this person has sent enough."""
        await self._limits.check("send", address=None, uid=uid)

    def reserve(self, size: int) -> Reservation:
        """Room on the disk for an image on its way. Raises StorageFull."""
        return self._store.reserve(size)

    async def find_earlier(self, uid: UserId, key: str | None) -> bool:
        """Whether this person has used this Idempotency-Key for an image within a day."""
        return key is not None and await self._earlier(uid, key) is not None

    async def create(self, room: Reservation) -> DiskWriter:
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

    async def repeat(self, caller: Caller, key: str, fields: dict[str, str], sha256: bytes) -> Sent:
        """The first reply to this Idempotency-Key.

        Raises Unauthenticated, IdempotencyConflict when the content is another, Unavailable.
        """
        earlier = await self._earlier(caller.uid, key)
        if earlier is None:
            raise Unavailable("The Idempotency-Key has just run out; use a new one.")
        return await self._again(caller, earlier, content_digest(fields, sha256))

    async def finish_image(self, caller: Caller, draft: Draft, image: DiskWriter, rest: bytes, key: str | None) -> Sent:
        """Make the image durable, then say so in one transaction.

        When this returns, bytes and rows survive a power cut and the notification will be relayed. When it raises,
        nothing is left but, after a commit whose fate is unknown, the file: the sweep or the same Idempotency-Key
        settles that. Raises Unauthenticated when the credential has ended since it was taken, RecipientUnavailable,
        DiscoveryBudget, InboxFull, EmptyGroup, IdempotencyConflict, StorageFull, Unavailable.
        """
        try:
            return await self._finish_image(caller, draft, image, rest, key)
        except RecipientUnavailable:
            for name in draft.fields.keys() & PERSONS:
                await self._discovery.charge_unavailable(caller.uid, f"{name} {draft.fields[name]}")
            raise

    async def _finish_image(
        self, caller: Caller, draft: Draft, image: DiskWriter, rest: bytes, key: str | None
    ) -> Sent:
        receiver_uid, group_id = await self._addressee(caller, draft.fields)
        addressee = receiver_uid or group_id
        assert addressee
        name = message_key(caller.uid, addressee, time.time_ns(), os.urandom(16))
        await image.commit(name, rest)
        stored = Stored(draft, caller, receiver_uid, group_id, name, image.sha256, key)

        async def unit(tx: Transaction) -> Sent:
            return await self._record(tx, stored)

        try:
            sent = await self._db.write(unit)
        except CommitUnknown as error:
            raise Unavailable("The image may have been taken; ask again with the same Idempotency-Key.") from error
        except AppError:
            await self._store.remove(name)
            # The same key may have come twice at once: whoever is second is answered like the first.
            earlier = await self._earlier(caller.uid, key) if key is not None else None
            if earlier is None:
                raise
            return await self._again(caller, earlier, content_digest(draft.fields, image.sha256))
        fault.point("after_image_commit")
        metrics.image_sent(draft.size)
        self._wake_relay()
        return sent

    async def _record(self, tx: Transaction, image: Stored) -> Sent:
        now = self._clock()
        sent = await delivery.record(tx, image, self._policy, now=now, push_give_up_ms=self._push_give_up_ms)
        if image.idempotency_key is not None:
            await _remember(tx, image, sent)
        fault.point("before_image_commit")
        return sent

    async def _again(self, caller: Caller, earlier: idempotency.Earlier, digest: bytes) -> Sent:
        """The first reply to the same key. Raises Unauthenticated, IdempotencyConflict."""
        await check_live(self._db, caller, self._clock())
        if earlier.request_digest != digest:
            raise IdempotencyConflict
        return Sent(**json.loads(earlier.reply))

    async def _earlier(self, uid: UserId, key: str) -> idempotency.Earlier | None:
        return await idempotency.find(self._db, _name(uid, key), self._clock())

    async def _addressee(self, caller: Caller, fields: dict[str, str]) -> tuple[UserId | None, GroupId | None]:
        """Who is meant, a person or a group. Raises RecipientUnavailable for an unknown phone, InvalidField.

        Which phones are unknown is told to nobody whose credential has ended: Unauthenticated.
        """
        if "group_id" in fields:
            return None, GroupId(_id(fields, "group_id"))
        if "receiver_uid" in fields:
            return UserId(_id(fields, "receiver_uid")), None
        if not is_phone_hash(fields["receiver_phone"]):
            raise InvalidField(fields=[("receiver_phone", "64 lower-case hex digits")])
        uid = await users.find_uid_by_phone(self._db, self._keys.phone_digest(fields["receiver_phone"]))
        if uid is None:
            await check_live(self._db, caller, self._clock())
            raise RecipientUnavailable
        return uid, None


def _id(fields: dict[str, str], name: str) -> int:
    wanted = parse_id(fields[name])
    if wanted is None:
        raise InvalidField(fields=[(name, "a positive integer")])
    return wanted


async def _remember(tx: Transaction, image: Stored, sent: Sent) -> None:
    assert image.idempotency_key is not None
    await idempotency.insert(
        tx,
        key_digest=_name(image.sender.uid, image.idempotency_key),
        request_digest=content_digest(image.draft.fields, image.sha256),
        uid=image.sender.uid,
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
