# SPDX-License-Identifier: Apache-2.0
"""An image on its way: the message, its delivery to each receiver, and the states of such a delivery."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

from models.group import GroupId
from models.user import UserId

MessageId = NewType("MessageId", int)


class MessageKind(StrEnum):
    """What a message is. All but an image is kept in the history with what it says."""

    IMAGE = "image"
    TEXT = "text"
    IMAGE_LINK = "image_link"
    VIDEO_LINK = "video_link"


class DeliveryState(StrEnum):
    """Where one person stands with one image. `PENDING` and `BLOCKED` lead anywhere, and `WITHHELD` to `RELEASED`."""

    PENDING = "pending"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    RECALLED = "recalled"
    LOST = "lost"
    """The server has lost the bytes."""
    WITHHELD = "withheld"
    """Sent to the person or their group, but not to them. They know nothing of it, and the sender not that they do
    not."""
    BLOCKED = "blocked"
    """An image that would wait for the person if they did not block its sender. They know nothing of it either, but
    until its time is over it takes of its sender's share of their inbox, as if it waited; then it is `WITHHELD`."""
    SENT = "sent"
    """A text or a link: there is nothing to fetch."""
    RELEASED = "released"
    """The person has left the group that it was sent to, or the group is gone."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A small picture that is kept beside an image: its filetype, its bytes and their SHA-256."""

    filetype: str
    data: bytes
    sha256: bytes


class Message(NamedTuple):
    """A row of `messages`, to one receiver or one group. `sha256` is of the stored bytes, `size` their number; times
    are in milliseconds; `stored` is 0 when the file is gone. `placeholder` is a ThumbHash in base64, `preview_type` the
    filetype of the preview: both None when there is none, and when the file is gone.
    """

    message_id: MessageId
    message_key: str
    sender_uid: UserId | None
    receiver_uid: UserId | None
    group_id: GroupId | None
    send_time: int
    filetype: str
    size: int
    sha256: bytes
    caption: str
    expires_at: int
    recalled_at: int | None
    stored: int
    placeholder: str | None = None
    preview_type: str | None = None
    preview_size: int = 0

    @property
    def has_preview(self) -> bool:
        return self.preview_type is not None


@dataclass(frozen=True, slots=True)
class MeasuredMessage:
    """A message and how many bytes it says, which are not read yet."""

    message_id: MessageId
    size: int


class Delivery(NamedTuple):
    """One person's part of a message. `readable_until` ends the grace after consumption.

    `is_member` is whether they are in the group that it was sent to, and true where it was sent to them alone.
    """

    message: Message
    receiver_uid: UserId
    state: DeliveryState
    consumed_at: int | None
    readable_until: int | None
    is_member: bool
