# SPDX-License-Identifier: Apache-2.0
"""Statements of `users` that are about passwords: who has a name to log in with, and the hash that is kept for it.

Emails and logins come folded (`models.login`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import bindparam, insert, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import users
from models.login import Name, NameKind
from models.user import UserId

_COLUMN = {NameKind.EMAIL: users.c.email, NameKind.LOGIN: users.c.login}
_FIELDS = (users.c.uid, users.c.password_hash, users.c.disabled_at)
_THIS = users.c.uid == bindparam("this")

_FIND: Mapping[NameKind, Statement] = {
    kind: Statement(select(*_FIELDS).where(column == bindparam("named"))) for kind, column in _COLUMN.items()
}
_GET = Statement(select(*_FIELDS).where(_THIS))
_HOLD = Statement(select(*_FIELDS).where(_THIS).with_for_update())
_SET_NAME: Mapping[NameKind, Statement] = {
    kind: Statement(update(users).where(_THIS).values({column: bindparam("named")})) for kind, column in _COLUMN.items()
}
_INSERT = Statement(
    insert(users).values(
        nickname=bindparam("nickname"),
        email=bindparam("email"),
        login=bindparam("login"),
        password_hash=bindparam("password_hash"),
        reg_time=bindparam("now"),
        seen_at=bindparam("now"),
    )
)
_SET_HASH = Statement(update(users).where(_THIS).values(password_hash=bindparam("password_hash")))


@dataclass(frozen=True, slots=True)
class Password:
    """What decides whether a password lets its person in; the hash is None where none is set."""

    uid: UserId
    password_hash: str | None = field(repr=False)
    disabled_at: int | None


async def find(reader: Reader, name: Name) -> Password | None:
    """The password of whoever has this email or login."""
    rows = await reader.read(_FIND[name.kind], named=name.text)
    return Password(*rows[0]) if rows else None


async def find_of(reader: Reader, *, uid: UserId) -> Password | None:
    """The password of this person; None for an account that is not there."""
    rows = await reader.read(_GET, this=uid)
    return Password(*rows[0]) if rows else None


async def hold(tx: Transaction, *, uid: UserId) -> Password | None:
    """As `find_of`, and the person is held as `users.hold` does."""
    rows = await tx.read(_HOLD, this=uid)
    return Password(*rows[0]) if rows else None


async def insert_user(tx: Transaction, *, name: Name, nickname: str, password_hash: str, now: int) -> UserId:
    """A new person without a phone. Raises UniqueViolation when the name is somebody's."""
    email, login = (name.text if name.kind is kind else None for kind in (NameKind.EMAIL, NameKind.LOGIN))
    changed = await tx.execute(
        _INSERT, nickname=nickname, email=email, login=login, password_hash=password_hash, now=now
    )
    return UserId(changed.last_id)


async def set_name(tx: Transaction, *, uid: UserId, name: Name) -> None:
    """Give the person this email or login. Raises UniqueViolation when it is somebody else's."""
    await tx.execute(_SET_NAME[name.kind], this=uid, named=name.text)


async def set_hash(tx: Transaction, *, uid: UserId, password_hash: str | None) -> None:
    """With None the person has no password any more; the names they had for it stay theirs."""
    await tx.execute(_SET_HASH, this=uid, password_hash=password_hash)
