# SPDX-License-Identifier: Apache-2.0
"""Agora: accounts at its chat REST interface, and tokens for Chat, RTM and RTC that are made here.

Source: https://docs.agora.io/en/agora-chat/restful-api/user-system-registration
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from chat import agora_token
from chat.agora_token import MAX_SALT, MAX_SECONDS, Service, Token
from chat.base import ChatFailed, ChatToken, ChatUser
from httpclient.http1 import Answer, HttpClient, NoAnswer

APP_TOKEN_SECONDS = 3600
"""Renewed at half of it."""
EXISTS = "duplicate_unique_property_exists"
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class AgoraCredentials:
    """One Agora project. Without `org_name` and `app_name` the paths go by the app id."""

    base_url: str
    app_id: str
    app_certificate: str = field(repr=False)
    org_name: str
    app_name: str

    @property
    def users_url(self) -> str:
        if self.org_name:
            return f"{self.base_url}/{quote(self.org_name)}/{quote(self.app_name)}/users"
        return f"{self.base_url}/app-id/{self.app_id}/users"


class Agora:
    """`chat.base.ChatService` over Agora. `clock` gives milliseconds."""

    name = "agora"

    def __init__(
        self,
        credentials: AgoraCredentials,
        http: HttpClient,
        *,
        clock: Callable[[], int],
        token_seconds: int = MAX_SECONDS,
    ) -> None:
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._token_seconds = token_seconds
        self._app_token = ("", 0)

    async def create(self, user: ChatUser) -> None:
        """As `ChatService.create`. The account's password is thrown away: clients log in with tokens."""
        body = {"username": user.username, "password": secrets.token_urlsafe(24), "nickname": user.nickname}
        answer = await self._post(json.dumps(body).encode())
        if answer.status == UNAUTHORIZED:
            self._app_token = ("", 0)
            answer = await self._post(json.dumps(body).encode())
        error = _error(answer)
        if answer.status != 200 and error != EXISTS:
            raise ChatFailed(f"agora answered {answer.status} {error}")

    async def token(self, user: ChatUser, *, channel: str | None, publisher: bool) -> ChatToken:
        """As `ChatService.token`: for Chat and RTM, and for one RTC channel when it is named. Asks nobody."""
        seconds = self._token_seconds
        services = [agora_token.chat_user(user.username, seconds), agora_token.rtm(user.username, seconds)]
        if channel is not None:
            services.append(agora_token.rtc(channel, user.uid, seconds, publisher=publisher))
        issued_at = self._clock() // 1000
        return ChatToken(self._build(issued_at, seconds, services), (issued_at + seconds) * 1000)

    async def close(self) -> None:
        await self._http.close()

    async def _post(self, content: bytes) -> Answer:
        headers = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/json"}
        answer = await self._http.post(self._credentials.users_url, content=content, headers=headers)
        if isinstance(answer, NoAnswer):
            raise ChatFailed(f"agora: {answer.reason}")
        return answer

    def _bearer(self) -> str:
        """The token of the app itself, kept for half of its life."""
        text, made_at = self._app_token
        now = self._clock() // 1000
        if not text or now >= made_at + APP_TOKEN_SECONDS // 2:
            text = self._build(now, APP_TOKEN_SECONDS, [agora_token.chat_app(APP_TOKEN_SECONDS)])
            self._app_token = (text, now)
        return text

    def _build(self, issued_at: int, seconds: int, services: list[Service]) -> str:
        salt = 1 + secrets.randbelow(MAX_SALT)
        token = Token(self._credentials.app_id, issued_at, seconds, salt, tuple(services))
        return agora_token.build(token, self._credentials.app_certificate)


def _error(answer: Answer) -> str:
    """Agora's word for what went wrong."""
    error = answer.json_object().get("error")
    return error[:64] if isinstance(error, str) else ""
