# SPDX-License-Identifier: Apache-2.0
"""What the server says, as values. Members that came later than this version are left out, never an error.

Times are milliseconds since the Unix epoch, by the server's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def read(kind: type[T], document: Mapping[str, Any]) -> T:
    """The value of this dataclass that a JSON object describes. Raises TypeError when a required member is missing."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True)
class Credentials:
    """A phone's account: who it is and the key that proves it. The server shows `ukey` this once."""

    uid: int
    phone_hash: str
    ukey: str = field(repr=False)
    retrieved: bool = False
    """Whether the number had this account already: its other devices and keys have ended."""


@dataclass(frozen=True)
class Session:
    """A login by password. The client exchanges it for a fresh one before `expires_at`."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True)
class Activation:
    """A code is on its way to the phone: hand it to `activate`."""

    activation_id: str
    expires_at: int
    resend_at: int


@dataclass(frozen=True)
class Profile:
    uid: int
    nickname: str
    region_num: str | None
    phone_hash: str | None
    email: str | None
    login: str | None
    discoverable: bool
    reg_time: int
    read_receipts: bool = True


@dataclass(frozen=True)
class Sent:
    """An image that the server has: its bytes and rows survive a crash of the server."""

    message_id: int
    message_key: str
    send_time: int
    metadata_removed: str | None = None


@dataclass(frozen=True)
class SentMessage:
    message_id: int
    send_time: int


@dataclass(frozen=True)
class Receipt:
    uid: int
    state: str
    consumed_at: int | None


@dataclass(frozen=True)
class ImageStatus:
    message_id: int
    state: str
    send_time: int
    consumed_at: int | None
    receivers: tuple[Receipt, ...]


@dataclass(frozen=True)
class PendingImage:
    """An image in the inbox, which nobody but the caller can fetch."""

    message_id: int
    message_key: str
    sender_uid: int | None
    sender_phone: str | None
    group_id: int | None
    filetype: str
    size: int
    caption: str
    send_time: int
    expires_at: int
    placeholder: str | None = None
    has_thumbnail: bool = False


@dataclass(frozen=True)
class Arrival:
    """An image that waits to be received: from the inbox, or from an event of a moment ago."""

    message_id: int
    message_key: str
    sender_uid: int | None
    group_id: int | None = None


@dataclass(frozen=True)
class Event:
    """One of the person's log; what `data` holds, `type` says. Skip types that you do not know."""

    id: int
    type: str
    at: int
    data: dict[str, Any]


@dataclass(frozen=True)
class Match:
    phone_hash: str
    uid: int
    nickname: str


@dataclass(frozen=True)
class Friend:
    uid: int
    nickname: str
    state: str
    since: int


@dataclass(frozen=True)
class Blocked:
    uid: int
    nickname: str
    since: int


@dataclass(frozen=True)
class GroupMade:
    group_id: int
    room_gid: str


@dataclass(frozen=True)
class GroupSummary:
    group_id: int
    room_gid: str
    name: str
    join: str
    role: str
    member_count: int


@dataclass(frozen=True)
class Member:
    uid: int
    nickname: str
    role: str


@dataclass(frozen=True)
class Group:
    group_id: int
    room_gid: str
    name: str
    join: str
    members: tuple[Member, ...]
    invited: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Message:
    """One entry of a history. `text` and `url` as its `kind` has them; an image has a key and a state."""

    message_id: int
    kind: str
    sender_uid: int | None
    receiver_uid: int | None
    group_id: int | None
    send_time: int
    text: str | None = None
    url: str | None = None
    message_key: str | None = None
    caption: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class Conversation:
    """With a person (`peer_uid`, `nickname`) or of a group (`group_id`, `name`)."""

    unread: int
    read_up_to: int
    last: Message | None
    peer_uid: int | None = None
    nickname: str | None = None
    group_id: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class PushOutcome:
    outcome: str
    provider: str
    reason: str | None
    latency_ms: int | None
