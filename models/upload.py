# SPDX-License-Identifier: Apache-2.0
"""An image that is on its way in several requests."""

from dataclasses import dataclass, field

from models.message import MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload. `received` bytes have been told; `stored` of them are in its file and synced, the rest is in `held`,
    sealed. Times are in milliseconds. `message_id`, `message_key` and `send_time` are there once it has ended.
    """

    upload_id: str
    uid: int | None
    receiver_uid: int | None
    group_id: int | None
    caption: str | None
    ttl_seconds: int | None
    filetype: str | None
    placeholder: str | None
    length: int | None
    received: int
    stored: int
    holder: str
    created_at: int
    expires_at: int
    message_id: MessageId | None
    message_key: str | None
    send_time: int | None
    held: bytes | None = field(repr=False)
    thumbnail: bytes | None = field(repr=False)
