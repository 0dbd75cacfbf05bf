# SPDX-License-Identifier: Apache-2.0
"""A person with an account, and the credential that speaks for them."""

from dataclasses import dataclass
from typing import NewType

UserId = NewType("UserId", int)


@dataclass(frozen=True, slots=True)
class User:
    """A row of `users` without its counters. `phone_cipher` opens with the key ring alone."""

    uid: UserId
    nickname: str
    region_num: str | None
    phone_cipher: bytes | None
    discoverable: bool
    terms_version: str | None
    reg_time: int
    seen_at: int
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class Recipient:
    """The facts about a receiver that decide whether an image may be sent to them. Bytes are of pending images.

    `has_way_in` is whether anybody can still sign in to the account, and so fetch what it is sent.
    """

    uid: UserId
    has_way_in: bool
    disabled_at: int | None
    pending_count: int
    pending_bytes: int
