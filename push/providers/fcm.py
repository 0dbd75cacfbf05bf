# SPDX-License-Identifier: Apache-2.0
"""The `fcm` push provider: Firebase Cloud Messaging, HTTP v1.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages. One call is one message.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from httpclient.http1 import HttpClient, NoAnswer
from push.base import CALLS_AT_ONCE, Delivered, Outcome, Push, Rejected, Retry, VisibleText, now_ms
from push.providers.blame import Blame, Limited
from push.providers.fcm_auth import FcmAuth, FcmCredentials, read_service_account
from push.providers.fcm_codes import Failure, outcome_of, read_answer
from push.tokens import visible
from push.vendor import Settings, Tools, Vendor

LONGEST_DATA_BYTES = 4096
LONGEST_TTL_SECONDS = 2_419_200
# HTTP/1.1 has one message at a time on a connection, so this is how many connections there are.
AT_ONCE = 64
# Below the time that the relay gives a call, which would else judge the whole batch by its slowest push.
SEND_SECONDS = 25.0


class FcmProvider:
    """One Firebase project. Raises ValueError for an invalid private key.

    `clock` is in milliseconds since the epoch. There is no collapse key: FCM keeps four of them per device, and a
    fifth message to a phone that is off would push out one of the others. The app drops repeats by `message_id`.
    """

    name = "fcm"
    batch_size = 16
    calls_at_once = CALLS_AT_ONCE

    def __init__(
        self,
        credentials: FcmCredentials,
        http: HttpClient,
        *,
        text: VisibleText,
        clock: Callable[[], int] = now_ms,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._url = f"{credentials.base_url.rstrip('/')}/v1/projects/{credentials.project_id}/messages:send"
        self._http = http
        self._text = text
        self._clock = clock
        self._send_seconds = send_seconds
        self._auth = FcmAuth(credentials, http, clock)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._refusals = Blame(clock)
        self._limited = Limited(clock)

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        # All are built before any is sent: one that cannot be built fails the batch while nothing has left yet.
        bodies = [self._body(push) for push in pushes]
        return await asyncio.gather(*(self._send(push, body) for push, body in zip(pushes, bodies, strict=True)))

    async def sign_in(self) -> Retry | None:
        token = await self._auth.token()
        return token if isinstance(token, Retry) else None

    async def close(self) -> None:
        await self._http.close()

    async def _send(self, push: Push, body: bytes | Rejected) -> Outcome:
        if isinstance(body, Rejected):
            return body
        try:
            async with asyncio.timeout(self._send_seconds), self._turn:
                said = await self._send_renewing(body)
        except TimeoutError:
            return Retry("timed out")
        if isinstance(said, Delivered):
            self._refusals.taken()
        if not isinstance(said, Failure):
            return said
        return outcome_of(said, of_all=self._speaks_of_all(said, push.token))

    def _speaks_of_all(self, failure: Failure, token: str) -> bool:
        if failure.limits_one_device:
            return self._limited.note(token)
        return not failure.may_be_one_device or self._refusals.note(token)

    async def _send_renewing(self, body: bytes) -> Delivered | Failure | Retry:
        """Send; where the access token is refused, renew it once and send the same message again."""
        token = await self._auth.token()
        said = await self._send_with(token, body)
        if isinstance(token, str) and isinstance(said, Failure) and said.token_refused:
            said = await self._send_with(await self._auth.token(refused=token), body)
        return said

    async def _send_with(self, token: str | Retry, body: bytes) -> Delivered | Failure | Retry:
        if isinstance(token, Retry):
            return token
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = await self._http.post(self._url, content=body, headers=headers)
        if isinstance(answer, NoAnswer):
            return Retry(answer.reason)
        said = read_answer(answer)
        if isinstance(said, Delivered) or not said.token_refused:
            self._auth.served(token)
        return said

    def _body(self, push: Push) -> bytes | Rejected:
        data = _data(push.payload)
        if sum(len(name.encode()) + len(value.encode()) for name, value in data.items()) > LONGEST_DATA_BYTES:
            return Rejected(f"data over {LONGEST_DATA_BYTES} bytes")
        ttl = min(push.ttl_seconds, LONGEST_TTL_SECONDS)
        message: dict[str, Any] = {
            "token": push.token,
            "data": data,
            "android": {"priority": "high", "ttl": f"{ttl}s"},
        }
        if push.device_type == "IOS":
            message["apns"] = self._apns(push, ttl)
        elif push.device_type == "WEB":
            message["webpush"] = {"headers": {"TTL": str(ttl), "Urgency": "high"}}
        return json.dumps({"message": message}).encode()

    def _apns(self, push: Push, ttl: int) -> dict[str, Any]:
        """An iPhone wakes no app for data alone: it shows the fixed text, and the app may fill it in."""
        headers = {
            "apns-priority": "10",
            "apns-collapse-id": push.dedupe_id,
            "apns-expiration": str(self._clock() // 1000 + ttl),
        }
        alert = {"title": self._text.title, "body": self._text.body}
        return {"headers": headers, "payload": {"aps": {"alert": alert, "mutable-content": 1, "sound": "default"}}}


def _data(payload: str) -> dict[str, str]:
    """The notification's fields as FCM takes them, text each; what is null is left out."""
    fields = json.loads(payload)
    return {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in fields.items()
        if value is not None
    }


def _build(settings: Settings, tools: Tools) -> FcmProvider:
    return FcmProvider(read_service_account(**settings), tools.client_to_vendor(), text=tools.text)


VENDOR = Vendor("fcm", "the registration token", visible(4096), _build, made_up_token="0" * 32)
