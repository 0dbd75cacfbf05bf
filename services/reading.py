# SPDX-License-Identifier: Apache-2.0
"""What happens to an image after it was sent: fetched, handed over, acknowledged, recalled, asked about."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from models import fault, rules
from models.db.database import Database, DatabaseError, Transaction
from models.db.tables import deliveries, messages
from models.db.tables.deliveries import Pending
from models.errors import AppError, ContentLost, NoPendingImage, NotFound, NoThumbnail
from models.keys import KeyRing
from models.message import Delivery, DeliveryState, Message
from models.paging import IdRange, Page, fitting
from models.phone import phone_hash
from models.user import UserId
from services import consumption
from services.authentication import Caller, check_live
from services.consumption import TooLate
from services.previews import OpenPreview
from storage.base import Blob, BlobStore
from storage.keys import is_message_key, preview_key
from telemetry import metrics

log = logging.getLogger("glimpse.reading")

INBOX_BYTES = 64 * 1024
"""A page ends there: so much waits in memory until its reader has taken it."""
INBOX_ROWS = 64
"""Read at once: a usual page in one read, and no page of long captions in one."""
ITEM_BYTES = 500
"""Of an item of the inbox, but for its caption."""
URL_SECONDS = 60
"""Long enough to begin a download, which may then take longer."""
LOOK_SECONDS = 1.0
"""How soon a recall on another machine stops a download, at one read a second for each."""


class OpenImage:
    """An image on its way to a receiver. `recalled` turns true when its sender takes it back meanwhile."""

    def __init__(self, delivery: Delivery, blob: Blob) -> None:
        self.delivery = delivery
        self.blob = blob
        self.recalled = False
        self.looked_at = monotonic()

    @property
    def message(self) -> Message:
        """The message that the image came with."""
        return self.delivery.message


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Reading:
    """The use cases of a receiver, and of a sender who looks back."""

    db: Database
    store: BlobStore
    keys: KeyRing
    wake_retention: Callable[[], None]
    clock: Callable[[], int]
    ages: Callable[[], int]
    """The time by which files are removed, which a clock that jumps does not move."""
    _open: dict[int, set[OpenImage]] = field(init=False, default_factory=dict)

    async def find_image(self, uid: UserId, key: str) -> Delivery:
        """The caller's part of an image. Raises NotFound, and what `rules.check_can_read` raises."""
        delivery = await self._find(uid, key)
        if delivery is None:
            raise NotFound
        rules.check_can_read(delivery, self.clock())
        return delivery

    async def find_image_for(self, caller: Caller, key: str) -> Delivery:
        """As `find_image`, by one read. Raises Unauthenticated when the credential has ended since it was taken."""
        now = self.clock()
        delivery = None
        if is_message_key(key):
            delivery = await deliveries.find_of_caller(
                self.db, key, uid=caller.uid, credential_id=caller.credential_id, family=caller.family, now=now
            )
        if delivery is None:
            await check_live(self.db, caller, now)
        if delivery is None or not rules.is_addressed(delivery):
            raise NotFound
        rules.check_can_read(delivery, now)
        return delivery

    async def open_preview(self, delivery: Delivery) -> OpenPreview:
        """The image's preview. Raises NoThumbnail, or when it ended meanwhile as `find_image`."""
        message = delivery.message
        blob = await self.store.open(preview_key(message.message_key)) if message.preview_type else None
        if message.preview_type is None or blob is None:
            await self.find_image(delivery.receiver_uid, message.message_key)
            raise NoThumbnail
        with closing(blob):
            return OpenPreview(message.preview_type, await blob.read(0, message.preview_size))

    async def find_oldest(self, caller: Caller, sender_phone: str, receiver_phone: str) -> Delivery:
        """The oldest image from a sender that waits for the caller. Raises NotFound, NoPendingImage."""
        if caller.phone_hash is None or receiver_phone != caller.phone_hash:
            raise NotFound
        delivery = await deliveries.find_oldest_from(
            self.db, sender=self.keys.phone_digest(sender_phone), receiver_uid=caller.uid, now=self.clock()
        )
        if delivery is None:
            raise NoPendingImage
        return delivery

    async def open_image(self, delivery: Delivery) -> OpenImage:
        """The image's bytes; end with `close_image`. Raises ContentLost, or when it ended meanwhile as `find_image`."""
        message = delivery.message
        blob = await self.store.open(message.message_key)
        if blob is None:
            # Raises when the image has ended since it was found: then its file is rightly gone.
            await self.find_image(delivery.receiver_uid, message.message_key)
            report_lost(message)
            raise ContentLost
        image = OpenImage(delivery, blob)
        self._open.setdefault(message.message_id, set()).add(image)
        return image

    async def hand_over(self, delivery: Delivery, grace_ms: int) -> str | None:
        """A URL at which the receiver may fetch the bytes from the store itself for a minute, which consumes nothing
        and which no recall takes back; None where there is none: `open_image` then. A grace that runs begins anew.
        """
        url = await self.store.address(delivery.message.message_key, URL_SECONDS)
        if url is not None and delivery.state is DeliveryState.CONSUMED:
            await self._consume(delivery, grace_ms)
        return url

    async def is_recalled(self, image: OpenImage) -> bool:
        """Whether its sender has taken it back since it was opened. Another process may have served them where the
        database is shared: that is asked once a second.
        """
        now = monotonic()
        if self.db.shared and now >= image.looked_at + LOOK_SECONDS and _was_pending(image):
            image.looked_at = now
            with suppress(DatabaseError):  # whoever is fetching it is not to be troubled
                state = await deliveries.find_state(self.db, image.message.message_id, image.delivery.receiver_uid)
                image.recalled |= state is DeliveryState.RECALLED
        return image.recalled

    def close_image(self, image: OpenImage) -> None:
        """Give back what `open_image` took."""
        image.blob.close()
        running = self._open[image.message.message_id]
        running.discard(image)
        if not running:
            del self._open[image.message.message_id]

    async def finish_image(self, image: OpenImage, grace_ms: int) -> None:
        """The receiver has the last byte: consume, or let a grace that still runs begin anew.

        When this returns, the consumption and the sender's event are durable. Of racing calls one consumes.
        """
        await self._consume(image.delivery, grace_ms)

    async def restart_grace(self, image: OpenImage, grace_ms: int) -> None:
        """The receiver has fetched again, or a part of it, what was consumed: a grace that still runs begins anew."""
        if image.delivery.state is DeliveryState.CONSUMED:
            await self._consume(image.delivery, grace_ms)

    async def acknowledge(self, uid: UserId, key: str) -> None:
        """DELETE: a receiver has the image safely, or a sender takes it back. May be repeated.

        Raises NotFound, ImageExpired, ImageRecalled, ContentLost; to a sender who is too late ImageConsumed.
        """
        delivery = await self._find(uid, key)
        if delivery is not None:
            _check_can_acknowledge(delivery, self.clock())
            await self._consume(delivery, grace_ms=0)
        else:
            await self._recall(uid, key)
        self.wake_retention()

    async def status(self, uid: UserId, key: str) -> dict[str, Any]:
        """What became of an image, for its sender. Raises NotFound."""
        message = await self._sent(uid, key)
        now = self.clock()
        receipts = await deliveries.list_of_message(self.db, message.message_id)
        states = [rules.state_for_sender(receipt.state, message, now) for receipt in receipts]
        state, times = rules.state_of_all(states), [receipt.consumed_at or 0 for receipt in receipts]
        return {
            "message_id": message.message_id,
            "state": state.value,
            "send_time": message.send_time,
            "consumed_at": max(times) if state is DeliveryState.CONSUMED else None,
            "receivers": [
                {"uid": receipt.uid, "state": state.value, "consumed_at": receipt.consumed_at}
                for receipt, state in zip(receipts, states, strict=True)
            ],
        }

    async def inbox(self, caller: Caller, wanted: IdRange) -> Page[dict[str, Any]]:
        """The caller's pending images, oldest first. Of long captions a page may have fewer than it could.

        Raises Unauthenticated when the credential has ended since it was taken.
        """
        pending = await self._pending(caller, wanted)
        if not pending:
            await check_live(self.db, caller, self.clock())
        shown = fitting(pending[: wanted.limit], INBOX_BYTES, _shown_bytes)
        items = [self._inbox_item(*each) for each in shown]
        return Page(items, items[-1]["message_id"] if len(pending) > len(shown) else None)

    async def _pending(self, caller: Caller, wanted: IdRange) -> list[Pending]:
        """What a page of the inbox has, and at least one more if there is any."""
        pending: list[Pending] = []
        after, now = wanted.after, self.clock()
        while True:
            count = min(INBOX_ROWS, wanted.limit + 1 - len(pending))
            found = await deliveries.list_inbox(
                self.db,
                uid=caller.uid,
                credential_id=caller.credential_id,
                family=caller.family,
                after=after,
                before=wanted.before,
                now=now,
                limit=count,
            )
            pending += found
            enough = len(pending) > wanted.limit or sum(map(_shown_bytes, pending[:-1])) >= INBOX_BYTES
            if enough or len(found) < count:
                return pending
            after = pending[-1].message.message_id

    def _inbox_item(self, message: Message, region_num: str | None, phone_cipher: bytes | None) -> dict[str, Any]:
        return {
            "message_id": message.message_id,
            "message_key": message.message_key,
            "sender_uid": message.sender_uid,
            "sender_region": region_num,
            "sender_phone": phone_hash(self.keys.decrypt_phone(phone_cipher)) if phone_cipher else None,
            "group_id": message.group_id,
            "filetype": message.filetype,
            "size": message.size,
            "caption": message.caption,
            "placeholder": message.placeholder,
            "has_thumbnail": message.has_preview,
            "send_time": message.send_time,
            "expires_at": message.expires_at,
        }

    async def _find(self, uid: UserId, key: str) -> Delivery | None:
        """This person's part of an image, when they may know of it."""
        delivery = await deliveries.find(self.db, key, uid) if is_message_key(key) else None
        return delivery if delivery is not None and rules.is_addressed(delivery) else None

    async def _sent(self, uid: UserId, key: str) -> Message:
        message = await messages.find_sent(self.db, key, uid) if is_message_key(key) else None
        if message is None:
            raise NotFound
        return message

    async def _consume(self, delivery: Delivery, grace_ms: int) -> None:
        async def first(tx: Transaction) -> None:
            now = self.clock()
            # What is acknowledged may go at once, whatever the clock says.
            until = now + grace_ms if grace_ms else min(now, self.ages())
            await consumption.mark_consumed(tx, delivery, now=now, until=until)
            fault.point("before_consumption_commit")

        async def again(tx: Transaction) -> None:
            now = self.clock()
            until = now + grace_ms if grace_ms else min(now, self.ages())
            await consumption.restart_grace(tx, delivery, now=now, until=until)
            fault.point("before_consumption_commit")

        try:
            if delivery.state is not DeliveryState.PENDING:
                raise TooLate
            await self.db.write(first)
            metrics.image_consumed(delivery.message.size)
        except TooLate:
            await self.db.write(again)
        fault.point("after_consumption_commit")

    async def _recall(self, uid: UserId, key: str) -> None:
        message = await self._sent(uid, key)

        async def unit(tx: Transaction) -> AppError | None:
            return await consumption.recall(tx, message, now=self.clock())

        refusal = await self.db.write(unit)
        if refusal is not None:
            raise refusal
        for image in self._open.get(message.message_id, ()):
            image.recalled = _was_pending(image)


def _was_pending(image: OpenImage) -> bool:
    """Who has consumed an image may go on fetching it again: from them it is not taken back."""
    return image.delivery.state is DeliveryState.PENDING


@contextmanager
def opened(reading: Reading, image: OpenImage) -> Iterator[OpenImage]:
    """Close the image when its reply ends, whatever ended it."""
    try:
        yield image
    finally:
        reading.close_image(image)


def report_lost(message: Message) -> None:
    """Tell the operator of an image whose file is not what was accepted."""
    log.error("image lost", extra={"message_id": message.message_id, "key": message.message_key[:8]})
    metrics.image_lost()


def _check_can_acknowledge(delivery: Delivery, now: int) -> None:
    if rules.state_at(delivery.state, delivery.message.expires_at, now) is not DeliveryState.CONSUMED:
        rules.check_can_read(delivery, now)


def _shown_bytes(pending: Pending) -> int:
    return ITEM_BYTES + len(pending.message.caption.encode())
