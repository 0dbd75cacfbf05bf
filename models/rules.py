# SPDX-License-Identifier: Apache-2.0
"""Pure decisions: facts in, decision out. No I/O, no clock, no configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import (
    ContentLost,
    ImageConsumed,
    ImageDimensions,
    ImageExpired,
    ImageRecalled,
    InboxFull,
    InvalidField,
    MissingImage,
    RecipientUnavailable,
    UnsupportedImage,
)
from models.imagefile import HeaderReader
from models.message import Delivery, DeliveryState
from models.user import Recipient

OPAQUE = "opaque"
MIN_TTL_SECONDS = 60
MAX_CAPTION_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """What the operator allows. Sizes in bytes, times in seconds."""

    max_pixels: int
    max_ttl_seconds: int
    allow_opaque: bool
    max_pending: int
    max_pending_bytes: int
    friends_only: bool


def check_can_send(recipient: Recipient | None, size: int, policy: SendPolicy) -> Recipient:
    """The recipient, if an image of `size` bytes may go to them. Raises RecipientUnavailable, InboxFull."""
    if recipient is None or not recipient.has_way_in or recipient.disabled_at is not None or recipient.blocks_sender:
        raise RecipientUnavailable
    if policy.friends_only and not recipient.is_friend:
        raise RecipientUnavailable
    if recipient.pending_count >= policy.max_pending or recipient.pending_bytes + size > policy.max_pending_bytes:
        raise InboxFull
    return recipient


def check_image(size: int, header: HeaderReader, wanted: str | None, policy: SendPolicy) -> str:
    """The filetype of an image. Raises MissingImage, UnsupportedImage, ImageDimensions, InvalidField."""
    if size == 0:
        raise MissingImage
    if wanted is not None:
        if wanted != OPAQUE or not policy.allow_opaque:
            raise InvalidField(fields=[("filetype", "only opaque, where the server allows it")])
        return OPAQUE
    if header.filetype is None or not header.width or not header.height:
        raise UnsupportedImage
    if header.width * header.height > policy.max_pixels:
        raise ImageDimensions(f"An image has at most {policy.max_pixels} pixels.")
    return header.filetype


def check_ttl(text: str | None, policy: SendPolicy) -> int:
    """The lifetime of an image in seconds. Raises InvalidField."""
    if text is None:
        return policy.max_ttl_seconds
    if text.isascii() and text.isdigit() and len(text) <= 10 and MIN_TTL_SECONDS <= int(text) <= policy.max_ttl_seconds:
        return int(text)
    raise InvalidField(fields=[("ttl_seconds", f"a number from {MIN_TTL_SECONDS} to {policy.max_ttl_seconds}")])


def check_caption(text: str | None) -> str:
    """The caption, as it came. Raises InvalidField."""
    if text is not None and (len(text) > MAX_CAPTION_CHARACTERS or "\0" in text):
        raise InvalidField(fields=[("caption", f"at most {MAX_CAPTION_CHARACTERS} characters, no NUL")])
    return text or ""


def state_at(state: DeliveryState, expires_at: int, now: int) -> DeliveryState:
    """The state that the world sees: what is past its time is expired before anything has swept it, and so is what was
    lost, of which only its receiver is told more.
    """
    overdue = state is DeliveryState.PENDING and expires_at <= now
    return DeliveryState.EXPIRED if overdue or state is DeliveryState.LOST else state


def check_can_read(delivery: Delivery, now: int) -> None:
    """Raises ContentLost, ImageConsumed, ImageExpired or ImageRecalled when the image may not be fetched (again)."""
    if delivery.state is DeliveryState.LOST:
        raise ContentLost
    state = state_at(delivery.state, delivery.message.expires_at, now)
    if state is DeliveryState.EXPIRED:
        raise ImageExpired
    if state is DeliveryState.RECALLED:
        raise ImageRecalled
    if state is DeliveryState.CONSUMED and (delivery.readable_until or 0) <= now:
        raise ImageConsumed


def state_of_all(states: Sequence[DeliveryState]) -> DeliveryState:
    """The state of a message whose receivers stand like this: pending while anybody is."""
    for state in (DeliveryState.PENDING, DeliveryState.RECALLED, DeliveryState.EXPIRED):
        if state in states:
            return state
    return DeliveryState.CONSUMED
