# SPDX-License-Identifier: Apache-2.0
"""Sending an image: bytes durable first, then one transaction for everything that says so."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from models import fault, rules
from models.addressee import Addressee, Receiver, ToPerson, ToPhone
from models.clock import DAY_MS
from models.db.database import CommitUnknown, Database, Transaction
from models.db.tables import messages, uploads, users
from models.errors import AppError, InvalidField, NotFound, RecipientUnavailable, Unavailable
from models.imagefile import HeaderReader
from models.keys import KeyRing
from models.message import DeliveryState, MessageId, Preview
from models.metadata import MetadataRemover
from models.user import NOBODY, UserId
from services import delivery, idempotency
from services.authentication import Caller, check_live
from services.discovery import Discovery
from services.fields import addressed_by, addressee
from services.idempotency import Request
from services.limits import Limits
from services.previews import NOTHING, Previews, Shown, read_placeholder
from services.removal import digest_as_sent, mends_of
from storage.base import BlobStore, Data, DiskWriter, Mend, Reservation
from storage.keys import message_key, preview_key
from telemetry import metrics

ADDRESSEES = ("receiver_uid", "receiver_phone", "group_id")
CONTENT = (*ADDRESSEES, "caption", "ttl_seconds", "filetype")
OPERATION = "image"


class ImageBytes(Protocol):
    """The bytes of an image, taken whole: in this request, or in several."""

    @property
    def sha256(self) -> bytes: ...

    @property
    def received_sha256(self) -> bytes: ...

    async def commit(self, key: str, rest: Data = b"", mends: Sequence[Mend] = ()) -> None: ...


@dataclass(frozen=True, slots=True)
class ImageDraft:
    """An image as its sender described it, checked but for what only the database knows. `size` is in bytes, `content`
    what `read_content` reads from the same form, `remover` what cleaned its bytes, `given` what its sender shows of it.
    It ends the upload `upload_id`.
    """

    to: Addressee
    filetype: str
    ttl_seconds: int
    caption: str
    size: int
    content: str
    remover: MetadataRemover | None = None
    given: Shown = NOTHING
    upload_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingImage(delivery.Outgoing):
    """An image whose bytes are durable under `message_key`, and those of its preview beside them."""

    event = "image"
    reached = DeliveryState.PENDING

    size: int
    message_key: str
    filetype: str
    caption: str
    sha256: bytes
    placeholder: str | None = None
    preview: Preview | None = None

    async def insert(self, tx: Transaction, now: int, states: Collection[DeliveryState]) -> MessageId:
        return await messages.insert_image(
            tx,
            message_key=self.message_key,
            sender_uid=self.sender.uid,
            receiver_uid=self.to.receiver_uid,
            group_id=self.to.group_id,
            send_time=now,
            filetype=self.filetype,
            size=self.size,
            sha256=self.sha256,
            caption=self.caption,
            expires_at=now + self.lifetime_ms,
            exist=DeliveryState.PENDING in states or DeliveryState.BLOCKED in states,
            purge_at=None if DeliveryState.PENDING in states else now,
            placeholder=self.placeholder,
            preview=self.preview,
        )


@dataclass(frozen=True, slots=True)
class SentImage:
    """The reply to an accepted image. `send_time` is in milliseconds."""

    message_id: MessageId
    message_key: str
    send_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The use cases of a sender before the image is with anybody. `clock` gives milliseconds."""

    db: Database
    store: BlobStore
    keys: KeyRing
    limits: Limits
    discovery: Discovery
    previews: Previews
    policy: rules.SendPolicy
    push_give_up_hours: int
    wake_relay: Callable[[], None]
    clock: Callable[[], int]

    async def admit(self, uid: UserId, size: int | None) -> None:
        """`size` is how many bytes are to come, None where nobody knows. Raises RateLimited to who has sent enough."""
        await self.limits.check("send", address=None, uid=uid)
        self.charge_bytes(uid, size or 0)

    def charge_bytes(self, uid: UserId, size: int) -> None:
        """Count the bytes of an image against its sender. Raises RateLimited."""
        self.limits.charge("image_bytes", uid, size)

    def reserve(self, size: int) -> Reservation:
        """Room on the disk for an image on its way. Raises StorageFull."""
        return self.store.reserve(size)

    async def find_earlier(self, uid: UserId, key: str | None) -> bool:
        """Whether this person has used this Idempotency-Key for an image within a day."""
        return await idempotency.is_used(self.db, OPERATION, str(uid), key, self.clock())

    async def create(self, reservation: Reservation) -> DiskWriter:
        """A place for the bytes of an image on its way."""
        return await self.store.create(reservation)

    def draft(
        self,
        fields: Mapping[str, str],
        header: HeaderReader,
        size: int,
        remover: MetadataRemover | None = None,
        preview: Preview | None = None,
    ) -> ImageDraft:
        """What the form says, checked; `preview` is what `read_preview` makes of the rest.

        Raises InvalidField, MissingImage, UnsupportedImage, ImageDimensions.
        """
        name = addressed_by(fields, ADDRESSEES)
        ttl_seconds = rules.check_ttl(fields.get("ttl_seconds"), self.policy)
        caption = rules.check_caption(fields.get("caption"))
        filetype = rules.check_image(size, header, fields.get("filetype"), self.policy)
        if filetype == rules.OPAQUE and remover is not None and remover.changed:
            raise InvalidField(fields=[("filetype", "must come before bytes that look like an image")])
        to = addressee(name, fields[name])
        given = Shown(read_placeholder(fields.get("placeholder")), preview)
        return ImageDraft(to, filetype, ttl_seconds, caption, size, read_content(fields), remover, given)

    async def repeat(self, caller: Caller, key: str, content: str, sha256: bytes) -> SentImage:
        """The first reply to this Idempotency-Key, for what `read_content` reads and the digest of the image's bytes.

        Raises Unauthenticated, IdempotencyConflict when the content is another, Unavailable.
        """
        sent = await self._first_reply(caller, _request(caller, key, content, sha256))
        if sent is None:
            raise Unavailable("The Idempotency-Key has just run out; use a new one.")
        return sent

    async def finish_image(
        self, caller: Caller, draft: ImageDraft, image: ImageBytes, rest: Data, key: str | None, *, address: str
    ) -> SentImage:
        """Make the image durable, then say so in one transaction.

        When this returns, bytes and rows survive a power cut and the notification will be relayed. When it raises,
        nothing is left but, after a commit whose fate is unknown, the file: the sweep or the same Idempotency-Key
        settles that. `address` is the sender's. Raises Unauthenticated when the credential has ended since it was
        taken, PhoneRequired, RecipientUnavailable, DiscoveryBudget, InboxFull, EmptyGroup, IdempotencyConflict,
        StorageFull, Unavailable, NotFound for an upload that has ended.
        """
        try:
            return await self._publish(caller, draft, image, rest, key, address=address)
        except RecipientUnavailable:
            await self.discovery.charge_unavailable(caller.uid, draft.to, address)
            raise

    async def _publish(
        self, caller: Caller, draft: ImageDraft, image: ImageBytes, rest: Data, key: str | None, *, address: str
    ) -> SentImage:
        to = await self.receiver(caller, draft.to, address)
        await delivery.charge(self.db, self.limits, caller.uid, to)
        addressed = to.receiver_uid if isinstance(to, ToPerson) else to.group_id
        name = message_key(caller.uid, addressed, time.time_ns(), os.urandom(16))
        await image.commit(name, rest, mends_of(draft.remover))
        shown = await self.previews.complete(draft.given, key=name, filetype=draft.filetype, whose=caller.uid)
        await self._put_preview(name, shown.preview)
        outgoing = OutgoingImage(
            sender=caller,
            to=to,
            size=draft.size,
            lifetime_ms=draft.ttl_seconds * 1000,
            message_key=name,
            filetype=draft.filetype,
            caption=draft.caption,
            sha256=image.sha256,
            placeholder=shown.placeholder,
            preview=shown.preview,
        )
        sent_sha256 = digest_as_sent(image.received_sha256, draft.remover)
        request = _request(caller, key, draft.content, sent_sha256)

        async def unit(tx: Transaction) -> tuple[SentImage, int]:
            sent, pushes = await self._record(tx, outgoing, request)
            if draft.upload_id is not None:
                await _settle(tx, draft.upload_id, sent, draft.size)
            return sent, pushes

        try:
            sent, pushes = await self.db.write(unit)
        except CommitUnknown as error:
            raise Unavailable("The image may have been taken; ask again with the same Idempotency-Key.") from error
        except AppError:
            await self._discard(name)
            # The same key may have come twice at once: whoever is second is answered like the first.
            first = await self._first_reply(caller, request)
            if first is None:
                raise
            return first
        fault.point("after_image_commit")
        metrics.image_sent(draft.size)
        if pushes:
            self.wake_relay()
        return sent

    async def _put_preview(self, name: str, preview: Preview | None) -> None:
        """Make the preview durable beside its image; when it cannot be, the image goes too."""
        if preview is not None:
            try:
                await self.store.put(preview_key(name), preview.data)
            except AppError:
                await self._discard(name)
                raise

    async def _discard(self, name: str) -> None:
        await self.store.remove_many([name, preview_key(name)])

    async def _record(self, tx: Transaction, image: OutgoingImage, request: Request | None) -> tuple[SentImage, int]:
        """The reply, and how many pushes are to be sent."""
        now = self.clock()
        recorded = await delivery.record(tx, image, self.policy, now=now, push_give_up_hours=self.push_give_up_hours)
        sent = SentImage(recorded.message_id, image.message_key, now)
        if request is not None:
            await idempotency.remember(tx, request, asdict(sent), uid=image.sender.uid, now=now, keep_ms=DAY_MS)
        fault.point("before_image_commit")
        return sent, recorded.pushes

    async def _first_reply(self, caller: Caller, request: Request | None) -> SentImage | None:
        """What this request was answered before. Raises Unauthenticated, IdempotencyConflict."""
        reply = await idempotency.find_reply(self.db, request, self.clock(), caller=caller)
        return SentImage(**reply) if reply is not None else None

    async def receiver(self, caller: Caller, to: Addressee, address: str) -> Receiver:
        """Who is meant, nobody by an unknown phone: sending goes the same way and takes the same time for everybody who
        is not available. Raises Unauthenticated when the credential has ended, PhoneRequired, DiscoveryBudget.
        """
        if not isinstance(to, ToPhone):
            return to
        await check_live(self.db, caller, self.clock())  # a number is looked up, and budgets are spent
        await self.discovery.meet(caller, to.phone_hash, address)
        uid = await users.find_uid_by_phone(self.db, self.keys.phone_digest(to.phone_hash))
        return ToPerson(uid or NOBODY)


def read_content(fields: Mapping[str, str]) -> str:
    """All in a form, beside the picture, that makes this image this image, in JSON: as given and before any check, so
    that what is checked may change while an Idempotency-Key stands.
    """
    return json.dumps({name: fields[name] for name in CONTENT if name in fields})


def image_digest(content: str, sha256: bytes) -> bytes:
    """SHA-256 over what `read_content` reads and the picture: what an Idempotency-Key stands for."""
    return hashlib.sha256(f'["{sha256.hex()}", {content}]'.encode()).digest()


async def _settle(tx: Transaction, upload_id: str, sent: SentImage, size: int) -> None:
    """The upload has become this image, once."""
    until = sent.send_time + DAY_MS
    if not await uploads.settle(tx, upload_id, **asdict(sent), size=size, expires_at=until):
        raise NotFound


def _request(caller: Caller, key: str | None, content: str, sha256: bytes) -> Request | None:
    return idempotency.request(OPERATION, str(caller.uid), key, lambda: image_digest(content, sha256))
