# SPDX-License-Identifier: Apache-2.0
"""The `apns` push provider: Apple Push Notification service, over HTTP/2.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from httpclient.http1 import NoAnswer
from httpclient.http2 import Http2Client
from push.base import CALLS_AT_ONCE, Delivered, Outcome, Push, Rejected, Retry, VisibleText, now_ms
from push.providers.apns_auth import ApnsAuth, ApnsCredentials
from push.providers.apns_codes import Doubt, Failure, outcome_of, read_answer
from push.tokens import Token
from push.vendor import Settings, Tools, Vendor

LONGEST_PAYLOAD_BYTES = 4096
# Below the time that the relay gives a call, which would else judge the whole batch by its slowest push.
SEND_SECONDS = 25.0


class ApnsProvider:
    """One app. Raises ValueError for an invalid private key.

    `http` is a client to `credentials.url`: all pushes share its connection. `clock` is in milliseconds since the
    epoch.
    """

    name = "apns"
    batch_size = 16
    calls_at_once = CALLS_AT_ONCE

    def __init__(
        self,
        credentials: ApnsCredentials,
        http: Http2Client,
        *,
        text: VisibleText,
        clock: Callable[[], int] = now_ms,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._background = credentials.background
        self._headers = {
            "content-type": "application/json",
            "user-agent": "glimpse",
            "apns-topic": credentials.topic,
            "apns-push-type": "background" if credentials.background else "alert",
            "apns-priority": "5" if credentials.background else "10",
        }
        self._http = http
        self._text = text
        self._clock = clock
        self._send_seconds = send_seconds
        self._auth = ApnsAuth(credentials, clock)
        self._doubt = Doubt(clock)

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        # All are built before any is sent: one that cannot be built fails the batch while nothing has left yet.
        bodies = [self._body(push) for push in pushes]
        return await asyncio.gather(*(self._send(push, body) for push, body in zip(pushes, bodies, strict=True)))

    async def close(self) -> None:
        await self._http.close()

    async def _send(self, push: Push, body: bytes) -> Outcome:
        if len(body) > LONGEST_PAYLOAD_BYTES:
            return Rejected(f"payload over {LONGEST_PAYLOAD_BYTES} bytes")
        try:
            async with asyncio.timeout(self._send_seconds):
                said = await self._send_renewing(push, body)
        except TimeoutError:
            return Retry("timed out")
        return self._doubt.judge(push.token, outcome_of(said) if isinstance(said, Failure) else said)

    async def _send_renewing(self, push: Push, body: bytes) -> Delivered | Failure | Retry:
        """Send; where our token has expired, make a new one and send the same message again, once."""
        token = self._auth.token()
        said = await self._send_with(token, push, body)
        if isinstance(said, Failure) and said.token_expired:
            renewed = self._auth.after_refusal(token)
            if renewed is not None:
                return await self._send_with(renewed, push, body)
        return said

    async def _send_with(self, token: str, push: Push, body: bytes) -> Delivered | Failure | Retry:
        path = f"/3/device/{quote(push.token, safe='')}"
        headers = {"authorization": f"bearer {token}", **self._headers}
        once = {
            "apns-id": str(uuid.UUID(hex=push.dedupe_id)),
            "apns-collapse-id": push.dedupe_id,
            "apns-expiration": str(self._clock() // 1000 + push.ttl_seconds),
        }
        answer = await self._http.post(path, content=body, headers=headers, once=once)
        if isinstance(answer, NoAnswer):
            return Retry(answer.reason)
        said = read_answer(answer)
        if isinstance(said, Delivered):
            self._auth.served(token)
        return said

    def _body(self, push: Push) -> bytes:
        """The notification's fields beside `aps`, where an app finds them."""
        aps: dict[str, Any] = {"content-available": 1}
        if not self._background:
            alert = {"title": self._text.title, "body": self._text.body}
            aps = {"alert": alert, "mutable-content": 1, "sound": "default"}
        return json.dumps({"aps": aps, **json.loads(push.payload)}, separators=(",", ":"), ensure_ascii=False).encode()


def _read_token(value: Any) -> Token:
    if not isinstance(value, str) or not re.fullmatch("[0-9A-Fa-f]{64,200}", value):
        raise ValueError("must be 64 to 200 hex digits")
    return Token(value.lower())


def _build(settings: Settings, tools: Tools) -> ApnsProvider:
    credentials = ApnsCredentials(**settings)
    http = Http2Client(credentials.url, ca_file=credentials.ca_file, answer_seconds=tools.answer_seconds)
    return ApnsProvider(credentials, http, text=tools.text)


VENDOR = Vendor("apns", "the device token in hex", _read_token, _build, made_up_token="0" * 64)
