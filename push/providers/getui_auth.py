# SPDX-License-Identifier: Apache-2.0
"""GeTui's token: signed for, kept, renewed once for all who need it. The answers' common form is read here too."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from httpclient.http1 import Answer, HttpClient, NoAnswer
from push.base import Retry
from push.providers.getui_codes import AUTH_LIMITED, OK, STARTING

RENEW_EARLY_MS = 3_600_000
"""An hour in which signing in may fail while the token at hand still serves."""
LIFETIME_MS = 86_400_000
"""Of a token whose end GeTui does not say: a day, as its documentation has it."""
SHORTEST_USE_MS = 60_000
"""However soon an answer says that it ends: signing in is limited too."""
REFUSAL_MS = 5_000
"""For so long a refusal answers all who ask."""
AUTH_LIMITED_SECONDS = 60.0
"""GeTui counts them by the minute."""


@dataclass(frozen=True, slots=True)
class GetuiCredentials:
    """An app's keys. `base_url` is all before the app's id: `https://restapi.getui.com/v2`.

    `vendor_options` are handed through to the phone makers' channels as they are: by maker, `{"XM": {…}, "HW": {…}}`.
    """

    base_url: str
    app_id: str
    app_key: str = field(repr=False)
    master_secret: str = field(repr=False)
    vendor_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """`{"code","msg","data"}`, which every answer is."""

    code: int
    message: str
    data: Any


def read_envelope(answer: Answer) -> Envelope | None:
    """The answer's envelope; None when it has none."""
    document = answer.json_object()
    if type(document.get("code")) is not int:
        return None
    message = document.get("msg")
    return Envelope(document["code"], message if isinstance(message, str) else "", document.get("data"))


def sign(app_key: str, timestamp: int, master_secret: str) -> str:
    """Lower-case hex SHA-256 of key, timestamp (milliseconds) and secret, one after the other."""
    return hashlib.sha256(f"{app_key}{timestamp}{master_secret}".encode()).hexdigest()


class GetuiAuth:
    """The app's token. It lives a day and is renewed an hour early, or when the vendor refuses it."""

    def __init__(self, credentials: GetuiCredentials, http: HttpClient, clock: Callable[[], int]) -> None:
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._lock = asyncio.Lock()  # one renewal for all pushes that find the token too old
        self._token = ""
        self._renew_at = self._ends_at = 0
        self._refusal = Retry("")
        self._refused_until = 0

    async def token(self, *, refused: str | None = None) -> str | Retry:
        """A token other than the one `refused`, or why there is none.

        Whoever waits takes what the first one brings, a token or a refusal: the vendor allows 100 calls a minute.
        """
        async with self._lock:
            now = self._clock()
            if self._token == refused:
                self._renew_at = self._ends_at = 0
            if now >= self._renew_at:
                await self._renew(now)
            return self._token if now < self._ends_at else self._refusal

    async def _renew(self, now: int) -> None:
        """Sign in; while that fails, the token at hand serves until its end."""
        if 0 < self._refused_until - now <= REFUSAL_MS:  # further ahead than that, the clock was set back
            return
        got = await self._sign_in(now)
        if isinstance(got, Retry):
            self._refusal, self._refused_until = got, now + REFUSAL_MS
        else:
            self._token = got

    async def _sign_in(self, now: int) -> str | Retry:
        keys = self._credentials
        document = {
            "sign": sign(keys.app_key, now, keys.master_secret),
            "timestamp": str(now),
            "appkey": keys.app_key,
        }
        answer = await self._http.post(
            f"{keys.base_url.rstrip('/')}/{keys.app_id}/auth",
            content=json.dumps(document).encode(),
            headers={"content-type": "application/json;charset=utf-8"},
        )
        if isinstance(answer, NoAnswer):
            return Retry(f"auth: {answer.reason}")
        envelope = read_envelope(answer)
        if envelope is None:
            return Retry(f"auth: HTTP {answer.status} without a code")
        return self._accept(envelope, now)

    def _accept(self, envelope: Envelope, now: int) -> str | Retry:
        if envelope.code == AUTH_LIMITED:
            return Retry("auth: per-minute limit", after=AUTH_LIMITED_SECONDS)
        if envelope.code == STARTING:
            return Retry("auth: service starting")
        data = envelope.data if isinstance(envelope.data, dict) else {}
        token = data.get("token")
        if envelope.code != OK or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return Retry(f"auth: refused, code {envelope.code}")
        expires_at = milliseconds(data.get("expire_time"), now + LIFETIME_MS)
        self._renew_at = max(expires_at - RENEW_EARLY_MS, now + SHORTEST_USE_MS)
        self._ends_at = max(expires_at, self._renew_at)
        return token


def milliseconds(value: Any, otherwise: int) -> int:
    """A time that the vendor sends as a string of digits, or `otherwise`."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else otherwise
