# SPDX-License-Identifier: Apache-2.0
"""Sendbird: users and session tokens by its Platform API v3.

Source: https://sendbird.com/docs/chat/platform-api/v3/user/creating-users/create-a-user
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from chat.base import ChatFailed, ChatToken, ChatUser
from httpclient.http1 import HttpClient, NoAnswer

TOKEN_SECONDS = 86_400
EXISTS = 400202


@dataclass(frozen=True, slots=True)
class SendbirdCredentials:
    """One Sendbird application; `base_url` ends in /v3."""

    base_url: str
    api_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sendbird:
    """`chat.base.ChatService` over Sendbird. `clock` gives milliseconds."""

    name = "sendbird"

    credentials: SendbirdCredentials
    http: HttpClient
    clock: Callable[[], int]

    async def create(self, user: ChatUser) -> None:
        """As `ChatService.create`."""
        body = {"user_id": user.username, "nickname": user.nickname, "profile_url": ""}
        status, answer = await self._post("/users", body)
        if status != 200 and answer.get("code") != EXISTS:
            raise _failed(status, answer)

    async def token(self, user: ChatUser, *, channel: str | None, publisher: bool) -> ChatToken:  # noqa: ARG002 - it has no calls
        """As `ChatService.token`: a session token of a day."""
        expires_at = self.clock() + TOKEN_SECONDS * 1000
        path = f"/users/{quote(user.username, safe='')}/token"
        status, answer = await self._post(path, {"expires_at": expires_at})
        token = answer.get("token")
        if status != 200 or not isinstance(token, str) or not token:
            raise _failed(status, answer)
        told = answer.get("expires_at")
        return ChatToken(token, told if isinstance(told, int) else expires_at)

    async def close(self) -> None:
        await self.http.close()

    async def _post(self, path: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        headers = {"Api-Token": self.credentials.api_token, "Content-Type": "application/json; charset=utf8"}
        url = self.credentials.base_url + path
        answer = await self.http.post(url, content=json.dumps(body).encode(), headers=headers)
        if isinstance(answer, NoAnswer):
            raise ChatFailed(f"sendbird: {answer.reason}")
        return answer.status, answer.json_object()


def _failed(status: int, answer: dict[str, Any]) -> ChatFailed:
    code = answer.get("code")
    return ChatFailed(f"sendbird answered {status} {code if isinstance(code, int) else ''}".rstrip())
