# SPDX-License-Identifier: Apache-2.0
"""Pure decisions: facts in, decision out. No I/O, no clock, no configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from models.errors import (
    ContentLost,
    Forbidden,
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
from models.group import Member, Role
from models.imagefile import HeaderReader
from models.message import Delivery, DeliveryState, Message
from models.user import Recipient, Room

OPAQUE = "opaque"
MIN_TTL_SECONDS = 60
"""With less an image would be over before its notification has arrived."""
MAX_CAPTION_CHARACTERS = 500
HIDDEN = (DeliveryState.WITHHELD, DeliveryState.BLOCKED)


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """What the operator allows people to send: the keys of these names in the sections `images`, `inbox` and
    `messaging` of config.yaml, which says what each means.
    """

    max_pixels: int
    ttl_seconds: int
    allow_opaque: bool
    max_pending: int
    max_pending_bytes: int
    per_friend_percent: int
    per_stranger_percent: int
    strangers_percent: int
    friends_only: bool

    def part(self, percent: int) -> Room:
        """A part of an inbox, an image at least."""
        return Room(ceil(self.max_pending * percent / 100), ceil(self.max_pending_bytes * percent / 100))


def check_can_send(recipient: Recipient | None, policy: SendPolicy) -> Recipient:
    """The person, if something may go to them. Whether they block the sender is not asked: it would tell.

    Raises RecipientUnavailable.
    """
    if recipient is None or not _has_account(recipient):
        raise RecipientUnavailable
    if policy.friends_only and not recipient.is_friend:
        raise RecipientUnavailable
    return recipient


def check_has_room(recipient: Recipient, size: int | None, policy: SendPolicy) -> None:
    """Whether there is room for an image of `size` bytes; None is a text, which takes none. Raises InboxFull."""
    if not _has_room(recipient, size, policy):
        raise InboxFull


def can_be_invited(recipient: Recipient, policy: SendPolicy) -> bool:
    """Whether somebody may be asked into a group by this person. Whether they block them is not asked: it would tell.

    Where friendship is required to send it is required here: a group must not be the way around it.
    """
    return _has_account(recipient) and (recipient.is_friend or not policy.friends_only)


def first_state(recipient: Recipient, reached: DeliveryState) -> DeliveryState:
    """How somebody begins with what may go to them, `reached` being how they do unless they block its sender."""
    if not recipient.blocks_sender:
        return reached
    return DeliveryState.BLOCKED if reached is DeliveryState.PENDING else DeliveryState.WITHHELD


def first_state_in_group(
    recipient: Recipient, size: int | None, reached: DeliveryState, policy: SendPolicy
) -> DeliveryState:
    """How a member begins with what another member sends to their group. They need not be friends: `can_be_invited`."""
    if _has_account(recipient) and _has_room(recipient, size, policy):
        return first_state(recipient, reached)
    return DeliveryState.WITHHELD


def _has_account(recipient: Recipient) -> bool:
    """Whether anybody can fetch what they are sent."""
    return recipient.has_way_in and recipient.disabled_at is None


def _has_room(recipient: Recipient, size: int | None, policy: SendPolicy) -> bool:
    if size is None:
        return True
    inbox, shares, common = recipient.inbox, recipient.shares, _common(recipient, policy)
    if not _fits(size, inbox, policy.part(100)):
        return False
    own = policy.part(policy.per_friend_percent if recipient.is_friend else policy.per_stranger_percent)
    # One image fits whatever the shares are: else somebody could not be sent a large one, whoever sends it.
    if is_filling(recipient, policy) and shares.own.images and not _fits(size, shares.own, own):
        return False
    return recipient.is_friend or not _reaches(inbox, common) or _fits(size, shares.strangers, common)


def is_filling(recipient: Recipient, policy: SendPolicy) -> bool:
    """Whether so much waits for somebody that shares count: half of what people like this sender have in common.

    Below that nobody is kept from using an inbox that nobody else uses; `Recipient.shares` need not be known.
    """
    common = _common(recipient, policy)
    return _reaches(recipient.inbox, Room(ceil(common.images / 2), ceil(common.size / 2)))


def _common(recipient: Recipient, policy: SendPolicy) -> Room:
    """The part of an inbox in which this sender has a share: strangers must leave room for friends."""
    return policy.part(100 if recipient.is_friend else policy.strangers_percent)


def _fits(size: int, held: Room, limit: Room) -> bool:
    return held.images < limit.images and held.size + size <= limit.size


def _reaches(held: Room, limit: Room) -> bool:
    return held.images >= limit.images or held.size >= limit.size


def check_image(size: int, header: HeaderReader, wanted: str | None, policy: SendPolicy) -> str:
    """The filetype of an image. Raises MissingImage, UnsupportedImage, ImageDimensions, InvalidField."""
    if size == 0:
        raise MissingImage
    check_filetype(wanted, policy)
    if wanted is not None:
        return wanted
    if header.filetype is None or not header.width or not header.height:
        raise UnsupportedImage
    if header.width * header.height > policy.max_pixels:
        raise ImageDimensions(f"An image has at most {policy.max_pixels} pixels.")
    return header.filetype


def check_filetype(wanted: str | None, policy: SendPolicy) -> None:
    """What a sender may say of an image's type. Raises InvalidField."""
    if wanted is not None and (wanted != OPAQUE or not policy.allow_opaque):
        raise InvalidField(fields=[("filetype", "only opaque, where the server allows it")])


def check_ttl(text: str | None, policy: SendPolicy) -> int:
    """The lifetime of an image in seconds. Raises InvalidField."""
    if text is None:
        return policy.ttl_seconds
    if text.isascii() and text.isdigit() and len(text) <= 10 and MIN_TTL_SECONDS <= int(text) <= policy.ttl_seconds:
        return int(text)
    raise InvalidField(fields=[("ttl_seconds", f"a number from {MIN_TTL_SECONDS} to {policy.ttl_seconds}")])


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


def state_for_sender(state: DeliveryState, message: Message, now: int) -> DeliveryState:
    """The state that the sender sees: somebody it was withheld from looks like somebody who does not fetch it."""
    if state in HIDDEN:
        state = DeliveryState.PENDING if message.recalled_at is None else DeliveryState.RECALLED
    return state_at(state, message.expires_at, now)


def is_addressed(delivery: Delivery) -> bool:
    """Whether this person may know of the image at all: it was sent to them, and to a group they have not left."""
    return delivery.is_member and delivery.state not in (*HIDDEN, DeliveryState.RELEASED)


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
    """The state of a message whose receivers stand like this: pending while anybody is.

    One whose receivers have all left the group is expired: nobody can fetch it any more.
    """
    for state in (DeliveryState.PENDING, DeliveryState.RECALLED, DeliveryState.EXPIRED, DeliveryState.CONSUMED):
        if state in states:
            return state
    return DeliveryState.EXPIRED


def check_may_manage(actor: Role, *, admins_too: bool = True) -> None:
    """Raises Forbidden unless this is the group's owner, or an admin where they may too."""
    if actor is not Role.OWNER and not (admins_too and actor is Role.ADMIN):
        raise Forbidden


def check_may_set_role(actor: Role, before: Role | None, after: Role) -> None:
    """Raises Forbidden when the actor may not make this member, or newcomer (None), an admin or a plain member.

    The owner alone makes and unmakes admins, and stays the owner until they leave.
    """
    check_may_manage(actor, admins_too=Role.ADMIN not in (before or Role.MEMBER, after) or before is after)
    if before is Role.OWNER:
        raise Forbidden


def check_may_remove(actor: Role, target: Role) -> None:
    """Raises Forbidden when the actor may not put this other member out."""
    check_may_manage(actor, admins_too=target is Role.MEMBER)


def heir(members: Sequence[Member]) -> Member | None:
    """Who owns the group when its owner is gone: the longest-standing admin, else the longest-standing member."""
    return min(members, key=lambda member: (member.role is not Role.ADMIN, member.joined_at, member.uid), default=None)
