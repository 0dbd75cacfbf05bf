# SPDX-License-Identifier: Apache-2.0
"""What is kept about a person, section by section as they may see it: the tables that the schema calls `exported`, and
those that take more than a look at one column.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, bindparam, exists, literal_column, select

from models.db.database import InList, Reader, Row, Statement, as_list
from models.db.schema import (
    EXPORTED,
    PERSON,
    activations,
    blocks,
    conversations,
    deliveries,
    devices,
    events,
    group_members,
    groups,
    invitations,
    messages,
    metadata,
    outbox,
    shown,
    users,
)
from models.db.tables.messages import IS_HIDDEN, SAID_BYTES
from models.message import DeliveryState
from models.user import UserId

USUAL_BYTES = 200
"""Of a row that says nothing of its own."""


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


def _exported(table: Table) -> Section:
    """The rows whose first column that names people names this person. Whom else they name learns nothing of them."""
    whose = next(column for column in table.columns if PERSON in column.info)
    return _section(*table.info[EXPORTED], whose, *_but(table, whose))


def _but(table: Table, whose: Column[Any]) -> list[Column[Any]]:
    return [column for column in shown(table) if column is not whose]


PROFILE = tuple(shown(users))

SECTIONS = (
    *(_exported(table) for table in metadata.tables.values() if EXPORTED in table.info),
    _section(
        "pushes",
        "Notifications to these devices.",
        devices.c.uid,
        *shown(outbox),
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
        *_but(messages, messages.c.sender_uid),
        key=messages.c.message_id,
    ),
    _section(
        "received",
        "Messages to the person alone.",
        messages.c.receiver_uid,
        *_but(messages, messages.c.receiver_uid),
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
        *_but(deliveries, deliveries.c.receiver_uid),
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
        *_but(events, events.c.uid),
        key=events.c.event_id,
    ),
    _section(
        "conversations",
        "With whom, and how far they are read.",
        conversations.c.uid,
        *_but(conversations, conversations.c.uid),
        only=conversations.c.last_message_id > 0,
    ),
    _section(
        "groups",
        "Groups that the person is in.",
        group_members.c.uid,
        *_but(group_members, group_members.c.uid),
        groups.c.name,
        groups.c.room_gid,
        joined=groups.c.group_id == group_members.c.group_id,
    ),
    _section(
        "invitations",
        "Groups that the person was asked into.",
        invitations.c.uid,
        *_but(invitations, invitations.c.uid),
        only=~exists().where(blocks.c.uid == invitations.c.uid, blocks.c.blocked_uid == invitations.c.invited_by),
    ),
)

ACTIVATIONS = _section(
    "activations",
    "Codes that went to the number.",
    activations.c.phone_digest,
    *_but(activations, activations.c.phone_digest),
)
"""Of the person's number, which `person` stands for here by its digest."""

HOLD_JSON = frozenset({messages.c.body, events.c.data})

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
