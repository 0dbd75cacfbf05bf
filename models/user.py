# SPDX-License-Identifier: Apache-2.0
"""A person with an account, and the credential that speaks for them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

UserId = NewType("UserId", int)

NOBODY = UserId(0)
"""No account has this id. What is said about nobody changes nothing, and takes as long as it takes about somebody."""


class FriendState(StrEnum):
    """How one person stands with another, as the first sees it."""

    FRIENDS = "friends"
    INCOMING = "incoming"
    OUTGOING = "outgoing"


@dataclass(frozen=True, slots=True)
class User:
    """A row of `users` without its counters. `phone_cipher` opens with the key ring alone; `email`, `login`: folded."""

    uid: UserId
    nickname: str
    region_num: str | None
    phone_cipher: bytes | None
    discoverable: bool
    terms_version: str | None
    reg_time: int
    seen_at: int
    disabled_at: int | None
    email: str | None
    login: str | None
    read_receipts: bool
    has_password: bool

    @property
    def can_log_in(self) -> bool:
        """Whether a password is a way into the account."""
        return self.has_password and not (self.email is None and self.login is None)


@dataclass(frozen=True, slots=True)
class Room:
    """So many images, of so many bytes together."""

    images: int
    size: int


NOTHING = Room(0, 0)


@dataclass(frozen=True, slots=True)
class Shares:
    """Of what one sender would find waiting in an inbox: `own` is what they sent, `strangers` all from people who are
    no friends of the receiver.
    """

    own: Room = NOTHING
    strangers: Room = NOTHING


@dataclass(frozen=True, slots=True)
class Recipient:
    """The facts about a receiver that decide whether a certain sender may send to them.

    `has_way_in` is whether anybody can still sign in to the account, and so fetch what it is sent; `blocks_sender`
    is about the sender who was asked for, and so is `is_friend`: whether that sender takes them for a friend, which a
    block does not end. `inbox` is what waits for them, as far as it was asked for also what that sender would have
    waiting there but for a block, and `shares` how that is divided; `is_let_in` is whether the credential that was
    asked for is theirs and lets them in. `has_device` is whether there is anything to tell of a message by push, true
    where it was not asked for.
    """

    uid: UserId
    has_way_in: bool
    disabled_at: int | None
    inbox: Room
    blocks_sender: bool
    is_friend: bool
    is_let_in: bool = False
    has_device: bool = True
    shares: Shares = Shares()
