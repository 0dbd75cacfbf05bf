# SPDX-License-Identifier: Apache-2.0
"""A group of people who send each other images, and what each of them may do there."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from models.user import UserId

GroupId = NewType("GroupId", int)


class Role(StrEnum):
    """What one person is in a group. Each group has one owner."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class JoinPolicy(StrEnum):
    """How people come in: added by an owner or admin alone, or also by themselves with the group's `room_gid`."""

    INVITE = "invite"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Group:
    """A row of `groups`. `created_at` is in milliseconds."""

    group_id: GroupId
    room_gid: str
    name: str
    join: JoinPolicy
    created_at: int


@dataclass(frozen=True, slots=True)
class Member:
    """One person in a group. `joined_at` is in milliseconds."""

    uid: UserId
    nickname: str
    role: Role
    joined_at: int
