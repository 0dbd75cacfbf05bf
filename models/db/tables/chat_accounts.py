# SPDX-License-Identifier: Apache-2.0
"""Statements of `chat_accounts`: a person's name at a hosted chat service."""

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update

from models.db.database import Reader, Statement, Transaction
from models.db.schema import chat_accounts
from models.user import UserId

_THIS = (chat_accounts.c.uid == bindparam("person")) & (chat_accounts.c.provider == bindparam("at_provider"))
_FIND = Statement(select(chat_accounts.c.username, chat_accounts.c.created_at).where(_THIS))
_INSERT = Statement(
    insert(chat_accounts).values(uid=bindparam("person"), provider=bindparam("at_provider"), username=bindparam("name"))
)
_MARK_CREATED = Statement(update(chat_accounts).where(_THIS).values(created_at=bindparam("now")))


@dataclass(frozen=True, slots=True)
class ChatAccount:
    """`created_at` (ms) is null until the service has said that the account is there."""

    username: str
    created_at: int | None


async def find(reader: Reader, *, uid: UserId, provider: str) -> ChatAccount | None:
    rows = await reader.read(_FIND, person=uid, at_provider=provider)
    return ChatAccount(*rows[0]) if rows else None


async def insert_account(tx: Transaction, *, uid: UserId, provider: str, username: str) -> None:
    """Raises UniqueViolation when the person has a name there."""
    await tx.execute(_INSERT, person=uid, at_provider=provider, name=username)


async def mark_created(tx: Transaction, *, uid: UserId, provider: str, now: int) -> None:
    """Note that the service has said that the account is there."""
    await tx.execute(_MARK_CREATED, person=uid, at_provider=provider, now=now)
