# SPDX-License-Identifier: Apache-2.0
"""Whom a message is sent to."""

from dataclasses import dataclass, field

from models.group import GroupId
from models.user import UserId


@dataclass(frozen=True, slots=True)
class ToPerson:
    """One person."""

    receiver_uid: UserId
    group_id: None = field(default=None, init=False)


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Everybody else who is in a group at that moment."""

    group_id: GroupId
    receiver_uid: None = field(default=None, init=False)


@dataclass(frozen=True, slots=True)
class ToPhone:
    """Whoever has the number of this phone hash."""

    phone_hash: str = field(repr=False)


Receiver = ToPerson | ToGroup
Addressee = Receiver | ToPhone
"""As a request names it: which person has a number only the database knows."""
