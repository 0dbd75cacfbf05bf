# SPDX-License-Identifier: Apache-2.0
"""Tokens for hosted chat services."""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chat.base import ChatFailed, ChatService, ChatToken, ChatUser
from models.db.database import Database, Transaction, write_retrying
from models.db.tables import chat_accounts, users
from models.db.tables.chat_accounts import ChatAccount
from models.errors import ProviderNotConfigured, Unavailable
from models.user import UserId
from services.fields import raise_if_any, unknown

PROVIDERS = ("agora", "sendbird")
USERNAME_BYTES = 12
"""Lower-case hex passes both services' rules for names."""
MAX_CHANNEL_BYTES = 64
"""Agora's limit: https://docs.agora.io/en/video-calling/reference/glossary#channel"""

log = logging.getLogger("glimpse.chat")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for a token. `publisher` and `channel` are for calls."""

    provider: str
    channel: str | None
    publisher: bool


def read_wanted(fields: Mapping[str, Any]) -> Wanted:
    """Raises InvalidField with every field that is wrong."""
    problems = unknown(fields, {"provider", "channel", "publisher"})
    provider, channel, publisher = fields.get("provider"), fields.get("channel"), fields.get("publisher", False)
    if provider not in PROVIDERS:
        problems.append(("provider", "must be one of " + ", ".join(PROVIDERS)))
    if channel is not None and not _is_channel(channel):
        problems.append(("channel", f"must be 1 to {MAX_CHANNEL_BYTES} visible ASCII characters"))
    if not isinstance(publisher, bool):
        problems.append(("publisher", "must be true or false"))
    raise_if_any(problems)
    assert isinstance(provider, str)
    return Wanted(provider, channel, publisher)


def _is_channel(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_CHANNEL_BYTES and all("!" <= c <= "~" for c in value)


@dataclass(frozen=True, slots=True)
class Pass:
    """A token and who it speaks for there."""

    token: ChatToken
    chat_username: str


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Chat:
    """The person's way into the configured services, which go by name. `clock` gives milliseconds."""

    db: Database
    services: Mapping[str, ChatService]
    clock: Callable[[], int]

    def check_configured(self, provider: str) -> None:
        """Raises ProviderNotConfigured."""
        if provider not in self.services:
            raise ProviderNotConfigured

    async def username(self, uid: UserId, provider: str) -> str:
        """What the person is called there. The account is made as well, where the service is configured and up.

        Else it is made with the first token.
        """
        account = await self._account(uid, provider)
        service = self.services.get(provider)
        if service is not None:
            try:
                await self._make(service, uid, account)
            except ChatFailed as error:
                log.warning("chat service failed", extra={"provider": provider, "reason": error.reason})
        return account.username

    async def token(self, uid: UserId, wanted: Wanted) -> Pass:
        """A token of the person's account there, which is made on first use.

        Raises ProviderNotConfigured, and Unavailable when the service does not do what it should.
        """
        provider = wanted.provider
        service = self.services.get(provider)
        if service is None:
            raise ProviderNotConfigured
        account = await self._account(uid, provider)
        try:
            user = await self._make(service, uid, account)
            token = await service.token(user, channel=wanted.channel, publisher=wanted.publisher)
        except ChatFailed as error:
            log.warning("chat service failed", extra={"provider": provider, "reason": error.reason})
            raise Unavailable("The chat service cannot be reached or refuses.") from error
        return Pass(token, user.username)

    async def _make(self, service: ChatService, uid: UserId, account: ChatAccount) -> ChatUser:
        """The person as the service knows them, from now on if not before. Raises ChatFailed."""
        user = ChatUser(uid, account.username, (await users.get(self.db, uid)).nickname)
        if account.created_at is None:
            await service.create(user)
            await self._mark_created(uid, service.name)
        return user

    async def _account(self, uid: UserId, provider: str) -> ChatAccount:
        """The name under which the person is or will be known there: decided once, before the service is asked."""

        async def unit(tx: Transaction) -> ChatAccount:
            found = await chat_accounts.find(tx, uid=uid, provider=provider)
            if found is None:
                found = ChatAccount(secrets.token_hex(USERNAME_BYTES), None)
                await chat_accounts.insert_account(tx, uid=uid, provider=provider, username=found.username)
            return found

        found = await chat_accounts.find(self.db, uid=uid, provider=provider)
        if found is None:
            found = await write_retrying(self.db, unit)
        return found

    async def _mark_created(self, uid: UserId, provider: str) -> None:
        async def unit(tx: Transaction) -> None:
            await chat_accounts.mark_created(tx, uid=uid, provider=provider, now=self.clock())

        await self.db.write(unit)
