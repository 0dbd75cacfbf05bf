# SPDX-License-Identifier: Apache-2.0
"""An image on its way: the message, its delivery to one person, and the states of that delivery."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from models.user import UserId

MessageId = NewType("MessageId", int)


class DeliveryState(StrEnum):
    """Where one person stands with one image. Only `PENDING` leads anywhere."""

    PENDING = "pending"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    RECALLED = "recalled"
    LOST = "lost"
    """The server has lost the bytes."""


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `messages`. `sha256` is of the stored bytes, `size` their number; times are in milliseconds;
    `stored` is 0 when the file is gone.
    """

    message_id: MessageId
    message_key: str
    sender_uid: UserId | None
    receiver_uid: UserId | None
    send_time: int
    filetype: str
    size: int
    sha256: bytes
    caption: str
    expires_at: int
    recalled_at: int | None
    stored: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One person's part of a message. `readable_until` ends the grace after consumption."""

    message: Message
    receiver_uid: UserId
    state: DeliveryState
    consumed_at: int | None
    readable_until: int | None
