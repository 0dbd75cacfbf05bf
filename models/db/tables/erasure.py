# SPDX-License-Identifier: Apache-2.0
"""What becomes of every mention of a person who leaves: a rule for each column that names people, as the schema says.

Rows are found in batches and changed one by one, by primary key, so that a transaction beside a server stays short on
every engine.
"""

from dataclasses import dataclass

from sqlalchemy import Column, Delete, Select, Update, bindparam, case, delete, func, null, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import (
    credentials,
    devices,
    group_members,
    idempotency,
    messages,
    naming_people,
    outbox,
    phone_index,
    uploads,
    users,
)
from models.user import UserId


@dataclass(frozen=True, slots=True)
class Rule:
    """How one column's mentions of a person end. `find` gives primary keys, and `change` takes one."""

    column: Column[int]
    find: Statement
    change: Statement
    count: Statement

    @property
    def name(self) -> str:
        return f"{self.column.table.name}.{self.column.name}"


def _rule(column: Column[int], found: Select[int], change: Delete | Update) -> Rule:
    table = column.table
    for key in table.primary_key:
        change = change.where(key == bindparam(f"key_{key.name}"))
    return Rule(
        column,
        Statement(found.with_only_columns(*table.primary_key).limit(bindparam("at_most"))),
        Statement(change),
        Statement(found.with_only_columns(func.count()), bulk=True),
    )


def _deleted(column: Column[int]) -> Rule:
    return _rule(column, select(column).where(column == bindparam("person")), delete(column.table))


def _forgotten(column: Column[int], **more: object) -> Rule:
    found = select(column).where(column == bindparam("person"))
    return _rule(column, found, update(column.table).values({column.name: null(), **more}))


def _message_forgotten(column: Column[int], other: Column[int]) -> Rule:
    """A message without the person; of one that is nobody's any more, what it said goes too."""
    is_nobodys = other.is_(null()) & messages.c.group_id.is_(null())
    return _forgotten(
        column,
        caption=case((is_nobodys, ""), else_=messages.c.caption),
        body=case((is_nobodys, null()), else_=messages.c.body),
        placeholder=case((is_nobodys, null()), else_=messages.c.placeholder),
    )


_PUSHES = _rule(
    outbox.c.device_id,
    select(outbox.c.device_id)
    .join(devices, devices.c.device_id == outbox.c.device_id)
    .where(devices.c.uid == bindparam("person")),
    delete(outbox),
)

MEMBERSHIPS = _deleted(group_members.c.uid)
"""Not applied but to see what is left: who goes out of a group leaves it, so that the others learn of it."""

WAYS_IN = (_deleted(credentials.c.uid), _deleted(phone_index.c.uid))
"""A few rows each, which go with the closing."""

_OTHERWISE = (
    MEMBERSHIPS,
    _deleted(idempotency.c.uid),
    _forgotten(uploads.c.uid, expires_at=0),
    _message_forgotten(messages.c.sender_uid, messages.c.receiver_uid),
    _message_forgotten(messages.c.receiver_uid, messages.c.sender_uid),
)
"""Of columns of which more is to be said than `_usual` does."""


def _usual(column: Column[int]) -> Rule:
    return _forgotten(column) if column.nullable else _deleted(column)


_OF_COLUMN = {rule.column: rule for rule in _OTHERWISE}

# In this order: rows go before those that they refer to.
RULES = (_PUSHES, *(_OF_COLUMN.get(column) or _usual(column) for column in naming_people()))

_THIS = users.c.uid == bindparam("person")
_CLOSE = Statement(
    update(users)
    .where(_THIS, users.c.leaving_at.is_(null()))
    .values(
        leaving_at=bindparam("now"),
        disabled_at=func.coalesce(users.c.disabled_at, bindparam("now")),
        nickname="",
        region_num=null(),
        phone_cipher=null(),
        email=null(),
        login=null(),
        password_hash=null(),
        terms_version=null(),
        discoverable=0,
    )
)
_LIST_LEAVING = Statement(
    select(users.c.uid)
    .where(users.c.leaving_at.is_not(null()))
    .order_by(users.c.leaving_at)
    .limit(bindparam("at_most"))
)
_COUNT_LEAVING = Statement(select(func.count()).where(users.c.leaving_at.is_not(null())), bulk=True)
_HOLD = Statement(select(users.c.uid).where(_THIS).with_for_update())
_ERASE = Statement(delete(users).where(_THIS, users.c.leaving_at.is_not(null())))


async def close(tx: Transaction, *, uid: UserId, now: int) -> bool:
    """Let nobody into the account ever again and forget who it was; False when that was done before.

    The number, the address and the name are free for somebody else once this is committed, with `phone_index`.
    """
    return (await tx.execute(_CLOSE, person=uid, now=now)).count == 1


async def list_leaving(reader: Reader, *, limit: int) -> list[UserId]:
    """Accounts that are closed and not yet erased, the longest closed first."""
    return [UserId(uid) for (uid,) in await reader.read(_LIST_LEAVING, at_most=limit)]


async def count_leaving(reader: Reader) -> int:
    """Accounts that are closed and not yet erased."""
    [(count,)] = await reader.read(_COUNT_LEAVING)
    return int(count)


async def apply(tx: Transaction, rule: Rule, *, uid: UserId, limit: int) -> int:
    """End up to `limit` of the person's mentions in this rule's column; how many there were."""
    rows = await tx.read(rule.find, person=uid, at_most=limit)
    keys = [f"key_{key.name}" for key in rule.column.table.primary_key]
    for row in rows:
        await tx.execute(rule.change, **dict(zip(keys, row, strict=True)))
    return len(rows)


async def erase(tx: Transaction, *, uid: UserId) -> bool:
    """Erase a closed account of which nothing is left but its own row; False when a rule still finds something."""
    await tx.read(_HOLD, person=uid)  # a row that refers to it and comes from here on waits, and finds it gone
    for rule in RULES:
        if await tx.read(rule.find, person=uid, at_most=1):
            return False
    await tx.execute(_ERASE, person=uid)
    return True


async def count(reader: Reader, rule: Rule, *, uid: UserId) -> int:
    """How many mentions of the person this rule would end."""
    [(rows,)] = await reader.read(rule.count, person=uid)
    return int(rows)
