# SPDX-License-Identifier: Apache-2.0
"""What the use cases and a hosted chat service say to each other."""

from dataclasses import dataclass, field
from typing import Protocol


class ChatFailed(Exception):
    """The service did not do what it was asked. `reason` is for the log: the service's own word, never a secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ChatUser:
    """A person as the service knows them: `username` is random, so that it tells nothing of phone or email."""

    uid: int
    username: str
    nickname: str


@dataclass(frozen=True, slots=True)
class ChatToken:
    """What the client's SDK logs in with, until `expires_at` (milliseconds since the Unix epoch)."""

    token: str = field(repr=False)
    expires_at: int


class ChatService(Protocol):
    """A hosted chat service with one app's credentials."""

    name: str

    async def create(self, user: ChatUser) -> None:
        """Make the account; one that is there already is as good. Raises ChatFailed."""

    async def token(self, user: ChatUser, *, channel: str | None, publisher: bool) -> ChatToken:
        """A fresh token; `channel` and `publisher` are for services that have calls. Raises ChatFailed."""

    async def close(self) -> None: ...
