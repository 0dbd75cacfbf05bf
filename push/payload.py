# SPDX-License-Identifier: Apache-2.0
"""The notification's JSON and its dedupe id, made at send time so that no phone hash is ever stored."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.db.tables.outbox import Claimed, Kind
from models.message import DeliveryState, MessageKind
from models.thumbnail_token import ThumbnailToken
from push.base import Push

PhoneHashOf = Callable[[bytes], str]

LONGEST_WITH_PICTURE = 2048
"""Bytes. All vendors take so much, with what they want beside it; of what is longer the picture is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What a notification shows of an image. `picture` is none, placeholder or preview; None is a preview where the
    vendor cannot read it, else none. Without `public_url` nothing can be fetched. `sign` makes a preview's token.
    """

    picture: str | None = None
    public_url: str = ""
    sign: Callable[[ThumbnailToken], str] | None = None

    def shown(self, row: Claimed) -> dict[str, str]:
        """The fields of this notification."""
        picture = self.picture or ("preview" if row.provider in UNREADABLE else "none")
        if picture == "none":
            return {}
        fields = {} if row.placeholder is None else {"placeholder": row.placeholder}
        if picture == "preview" and self.public_url and self.sign and row.preview_type and row.message_id:
            token = self.sign(ThumbnailToken(row.message_id, row.device_id, row.expires_at or 0))
            fields["thumbnail_url"] = f"{self.public_url}/v1/thumbnails/{token}"
        return fields


NO_PICTURES = Pictures(picture="none")
UNREADABLE = frozenset({"webpush"})
"""Providers whose payload only the device can read."""


def dedupe_id(kind: str, subject_id: int, device_id: int, token_digest: bytes) -> str:
    """32 lower-case hex digits: the same for every attempt at this notification, device and token, and no other.

    `subject_id` is the message's id, or the outbox row's where there is no message.
    """
    return hashlib.sha256(f"{kind}|{subject_id}|{device_id}|".encode() + token_digest).hexdigest()[:32]


def render(row: Claimed, phone_hash_of: PhoneHashOf, pictures: Pictures = NO_PICTURES) -> str:
    """The JSON document that the device gets."""
    if row.kind == Kind.ACCOUNT_RETRIEVED:
        return '{"type":"account_retrieved"}'
    document: dict[str, int | str | None] = {
        "sender_region": row.sender_region,
        "sender_phone": phone_hash_of(row.sender_phone) if row.sender_phone is not None else None,
        "sender_uid": row.sender_uid,
        "message_id": row.message_id,
        "message_key": row.message_key,
        "send_time": row.send_time,
    }
    if row.group_id is not None:
        document["group_id"] = row.group_id
    if row.message_kind != MessageKind.IMAGE:
        document["kind"] = row.message_kind
    whole = _text({**document, **pictures.shown(row)})
    return whole if len(whole) <= LONGEST_WITH_PICTURE else _text(document)


def _text(document: Mapping[str, int | str | None]) -> str:
    return json.dumps(document, separators=(",", ":"))


def push_for(row: Claimed, phone_hash_of: PhoneHashOf, now: int, pictures: Pictures = NO_PICTURES) -> Push:
    """The push for one claimed row; its TTL ends when the message expires or the relay gives up. Times are in ms."""
    until = min(row.give_up_at, row.expires_at or row.give_up_at)
    subject_id = row.message_id if row.message_id is not None else row.outbox_id
    return Push(
        token=row.token,
        payload=render(row, phone_hash_of, pictures),
        dedupe_id=dedupe_id(row.kind, subject_id, row.device_id, row.token_digest),
        ttl_seconds=max((until - now) // 1000, 1),
        device_type=row.device_type,
        person=row.uid,
    )


def unsendable(row: Claimed, now: int) -> str | None:
    """Why this device is not to be told any more, or None."""
    if row.kind == Kind.ACCOUNT_RETRIEVED:
        return "registered anew" if row.registered_at > row.created_at else None
    if row.delivery_state is None:
        return "not this person's message"
    if row.delivery_state not in (DeliveryState.PENDING, DeliveryState.SENT):
        return row.delivery_state
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "device ended" if row.ended_at is not None else None
