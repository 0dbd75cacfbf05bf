# SPDX-License-Identifier: Apache-2.0
"""What is kept about a person, section by section as they may see it, and what they are not shown and why.

A test holds both against the schema: every column of a table that names people is shown or stands in `NOT_EXPORTED`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, bindparam, exists, literal_column, select

from models.db.database import InList, Reader, Row, Statement, as_list
from models.db.schema import (
    activations,
    blocks,
    chat_accounts,
    conversations,
    credentials,
    deliveries,
    devices,
    events,
    friendships,
    group_members,
    groups,
    idempotency,
    invitations,
    messages,
    outbox,
    phone_index,
    refresh_tokens,
    reports,
    uploads,
    users,
)
from models.db.tables.messages import IS_HIDDEN, SAID_BYTES
from models.message import DeliveryState
from models.user import UserId

SECRET, DIGEST, INTERNAL = "a secret", "finds a row and says nothing", "how the server works, not what it knows"
OF_OTHERS = "another person's act, which this one must not learn of"
USUAL_BYTES = 200
"""Of a row that says nothing of its own."""
ELSEWHERE = "is shown by another section"


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one table that speak of a person, under this `name` in their export, whose description says what they are
    `about`. `keys` lists them where they are many; `rows` then takes a page.
    """

    name: str
    about: str
    whose: Column[Any]
    columns: tuple[Column[Any], ...]
    keys: Statement | None
    rows: Statement


def _section(
    name: str,
    about: str,
    whose: Column[Any],
    *columns: Column[Any],
    key: Column[int] | None = None,
    joined: ColumnElement[bool] | None = None,
    only: ColumnElement[bool] | None = None,
) -> Section:
    """`key`: an integer that tells one of the person's rows from another, for tables where they may have many.

    `joined` ties a second table that `columns` or `whose` belong to; `only` leaves rows out.
    """
    table = columns[0].table
    found: Select[Any] = select(*columns).where(whose == bindparam("person"))
    for condition in (joined, only):
        if condition is not None:
            found = found.where(condition)
    if key is None:
        return Section(name, about, whose, columns, None, Statement(found.order_by(*table.primary_key), bulk=True))
    size = SAID_BYTES if messages in {column.table for column in columns} else literal_column(str(USUAL_BYTES))
    keys = Statement(found.with_only_columns(key, size).order_by(key), bulk=True)
    rows = Statement(found.where(InList(key, bindparam("page"))).order_by(key))
    return Section(name, about, whose, columns, keys, rows)


_SAID = (
    messages.c.message_id,
    messages.c.kind,
    messages.c.message_key,
    messages.c.group_id,
    messages.c.send_time,
    messages.c.filetype,
    messages.c.size,
    messages.c.sha256,
    messages.c.caption,
    messages.c.body,
    messages.c.expires_at,
    messages.c.recalled_at,
    messages.c.placeholder,
    messages.c.preview_type,
    messages.c.preview_size,
    messages.c.preview_sha256,
)

PROFILE = (
    users.c.uid,
    users.c.nickname,
    users.c.region_num,
    users.c.email,
    users.c.login,
    users.c.discoverable,
    users.c.read_receipts,
    users.c.terms_version,
    users.c.reg_time,
    users.c.seen_at,
    users.c.disabled_at,
    users.c.pending_count,
    users.c.pending_bytes,
)

SECTIONS = (
    _section(
        "ukeys",
        "The account's keys, by their times.",
        credentials.c.uid,
        credentials.c.kind,
        credentials.c.created_at,
        credentials.c.expires_at,
    ),
    _section(
        "sessions",
        "Refresh tokens, by their times.",
        refresh_tokens.c.uid,
        refresh_tokens.c.created_at,
        refresh_tokens.c.expires_at,
        refresh_tokens.c.used_at,
    ),
    _section(
        "devices",
        "Devices, without their tokens.",
        devices.c.uid,
        devices.c.device_id,
        devices.c.provider,
        devices.c.app,
        devices.c.device_type,
        devices.c.registered_at,
        devices.c.stale_at,
        devices.c.ended_at,
    ),
    _section(
        "pushes",
        "Notifications to these devices.",
        devices.c.uid,
        outbox.c.outbox_id,
        outbox.c.kind,
        outbox.c.message_id,
        outbox.c.device_id,
        outbox.c.provider,
        outbox.c.app,
        outbox.c.state,
        outbox.c.attempts,
        outbox.c.reason,
        outbox.c.created_at,
        outbox.c.settled_at,
        key=outbox.c.outbox_id,
        joined=devices.c.device_id == outbox.c.device_id,
        only=~exists().where(
            deliveries.c.message_id == outbox.c.message_id, deliveries.c.receiver_uid == devices.c.uid, IS_HIDDEN
        ),
    ),
    _section(
        "sent",
        "Messages that the person sent.",
        messages.c.sender_uid,
        *_SAID,
        messages.c.receiver_uid,
        key=messages.c.message_id,
    ),
    _section(
        "received",
        "Messages to the person alone.",
        messages.c.receiver_uid,
        *_SAID,
        messages.c.sender_uid,
        key=messages.c.message_id,
        only=~exists().where(
            deliveries.c.message_id == messages.c.message_id,
            deliveries.c.receiver_uid == messages.c.receiver_uid,
            IS_HIDDEN,
        ),
    ),
    _section(
        "deliveries",
        "Where the person stands with each image that was for them, also in groups.",
        deliveries.c.receiver_uid,
        deliveries.c.message_id,
        deliveries.c.sender_uid,
        deliveries.c.state,
        deliveries.c.consumed_at,
        deliveries.c.readable_until,
        messages.c.kind,
        messages.c.message_key,
        messages.c.group_id,
        messages.c.send_time,
        messages.c.filetype,
        messages.c.size,
        messages.c.caption,
        messages.c.body,
        key=deliveries.c.message_id,
        joined=messages.c.message_id == deliveries.c.message_id,
        only=~IS_HIDDEN & (deliveries.c.state != DeliveryState.RELEASED.value),
    ),
    _section(
        "events",
        "The event log as far as it is kept.",
        events.c.uid,
        events.c.event_id,
        events.c.type,
        events.c.at,
        events.c.data,
        events.c.message_id,
        key=events.c.event_id,
    ),
    _section(
        "friends",
        "Friends, and requests both ways.",
        friendships.c.uid,
        friendships.c.other_uid,
        friendships.c.state,
        friendships.c.since,
    ),
    _section(
        "conversations",
        "With whom, and how far they are read.",
        conversations.c.uid,
        conversations.c.peer_uid,
        conversations.c.last_message_id,
        conversations.c.read_up_to,
        only=conversations.c.last_message_id > 0,
    ),
    _section("blocks", "Whom the person blocks.", blocks.c.uid, blocks.c.blocked_uid, blocks.c.created_at),
    _section(
        "groups",
        "Groups that the person is in.",
        group_members.c.uid,
        group_members.c.group_id,
        group_members.c.role,
        group_members.c.joined_at,
        group_members.c.last_message_id,
        group_members.c.read_up_to,
        groups.c.name,
        groups.c.room_gid,
        joined=groups.c.group_id == group_members.c.group_id,
    ),
    _section(
        "invitations",
        "Groups that the person was asked into.",
        invitations.c.uid,
        invitations.c.group_id,
        invitations.c.role,
        invitations.c.invited_by,
        invitations.c.invited_at,
        only=~exists().where(blocks.c.uid == invitations.c.uid, blocks.c.blocked_uid == invitations.c.invited_by),
    ),
    _section(
        "reports",
        "Reports that the person made.",
        reports.c.reporter_uid,
        reports.c.report_id,
        reports.c.reported_uid,
        reports.c.message_id,
        reports.c.reason,
        reports.c.created_at,
        reports.c.resolved_at,
    ),
    _section(
        "chat_accounts",
        "Accounts at hosted chat services.",
        chat_accounts.c.uid,
        chat_accounts.c.provider,
        chat_accounts.c.username,
        chat_accounts.c.created_at,
    ),
    _section(
        "uploads",
        "Images sent in several requests, a day back.",
        uploads.c.uid,
        uploads.c.receiver_uid,
        uploads.c.group_id,
        uploads.c.caption,
        uploads.c.ttl_seconds,
        uploads.c.filetype,
        uploads.c.placeholder,
        uploads.c.length,
        uploads.c.received,
        uploads.c.created_at,
        uploads.c.expires_at,
        uploads.c.message_id,
    ),
    _section(
        "requests",
        "When an `Idempotency-Key` was used.",
        idempotency.c.uid,
        idempotency.c.created_at,
        idempotency.c.expires_at,
    ),
)

ACTIVATIONS = _section(
    "activations",
    "Codes that went to the number.",
    activations.c.phone_digest,
    activations.c.nickname,
    activations.c.push_provider,
    activations.c.device_type,
    activations.c.terms_version,
    activations.c.sends,
    activations.c.created_at,
    activations.c.expires_at,
    activations.c.used_at,
)
"""Of the person's number, which `person` stands for here by its digest."""

HOLD_JSON = frozenset({messages.c.body, events.c.data})

NOT_EXPORTED: dict[Column[Any], str] = {
    users.c.phone_cipher: "the number itself is shown",
    users.c.password_hash: SECRET,
    users.c.event_seq: INTERNAL,
    users.c.leaving_at: INTERNAL,
    phone_index.c.uid: "an index of the number, which the profile shows",
    phone_index.c.version: INTERNAL,
    phone_index.c.digest: DIGEST,
    credentials.c.credential_id: INTERNAL,
    credentials.c.digest: SECRET,
    refresh_tokens.c.token_id: INTERNAL,
    refresh_tokens.c.family: INTERNAL,
    refresh_tokens.c.digest: SECRET,
    devices.c.token: SECRET,
    devices.c.token_digest: SECRET,
    outbox.c.next_at: INTERNAL,
    outbox.c.give_up_at: INTERNAL,
    outbox.c.lease: INTERNAL,
    activations.c.activation_id: SECRET,
    activations.c.phone_cipher: "the number itself is shown",
    activations.c.cid: SECRET,
    activations.c.code_hmac: SECRET,
    activations.c.attempts_left: INTERNAL,
    activations.c.resend_at: INTERNAL,
    messages.c.exist: INTERNAL,
    messages.c.purge_at: INTERNAL,
    messages.c.stored: INTERNAL,
    deliveries.c.sender_uid: OF_OTHERS,
    friendships.c.other_uid: OF_OTHERS,
    group_members.c.joined_after: INTERNAL,
    invitations.c.invitation_id: INTERNAL,
    invitations.c.invited_by: ELSEWHERE,
    blocks.c.blocked_uid: OF_OTHERS,
    conversations.c.peer_uid: OF_OTHERS,
    reports.c.reported_uid: OF_OTHERS,
    reports.c.resolution: "the operator's word to the operator",
    idempotency.c.key_digest: DIGEST,
    idempotency.c.request_digest: DIGEST,
    idempotency.c.reply: ELSEWHERE,
    uploads.c.receiver_uid: OF_OTHERS,
    uploads.c.upload_id: INTERNAL,
    uploads.c.thumbnail: "is on its way to somebody, and shown with the image",
    uploads.c.held: "is on its way to somebody",
    uploads.c.stored: INTERNAL,
    uploads.c.holder: INTERNAL,
    uploads.c.message_key: ELSEWHERE,
    uploads.c.send_time: ELSEWHERE,
}

_FIND_PROFILE = Statement(
    select(*PROFILE, users.c.phone_cipher, users.c.password_hash.is_not(None)).where(
        users.c.uid == bindparam("person"), users.c.leaving_at.is_(None)
    )
)


@dataclass(frozen=True, slots=True)
class Profile:
    """The person's own row: what is shown of it by name, their sealed number, and whether there is a password."""

    shown: dict[str, Any]
    phone_cipher: bytes | None
    has_password: bool


async def find_profile(reader: Reader, *, uid: UserId) -> Profile | None:
    """The person's own row; None when they are leaving or gone."""
    rows = await reader.read(_FIND_PROFILE, person=uid)
    if not rows:
        return None
    *shown, phone_cipher, has_password = rows[0]
    return Profile(named(PROFILE, shown), phone_cipher, bool(has_password))


async def list_keys(reader: Reader, section: Section, *, uid: UserId) -> list[tuple[int, int]]:
    """What tells the rows of a section with `keys` apart, and how many bytes each says."""
    assert section.keys
    return [(key, size) for key, size in await reader.read(section.keys, person=uid)]


async def list_page(reader: Reader, section: Section, *, uid: UserId, keys: Sequence[int]) -> list[dict[str, Any]]:
    """These rows of a section with `keys`, as far as they are still there."""
    rows = await reader.read(section.rows, person=uid, page=as_list(keys))
    return [named(section.columns, row) for row in rows]


async def list_all(reader: Reader, section: Section, *, person: int | bytes) -> list[dict[str, Any]]:
    """All rows of a section without `keys`."""
    return [named(section.columns, row) for row in await reader.read(section.rows, person=person)]


def named(columns: Sequence[Column[Any]], row: Row | Sequence[Any]) -> dict[str, Any]:
    """A row by the names of its columns; of those in HOLD_JSON, what the JSON says."""
    return {
        column.name: json.loads(value) if value and column in HOLD_JSON else value
        for column, value in zip(columns, row, strict=True)
    }
