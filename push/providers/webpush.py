# SPDX-License-Identifier: Apache-2.0
"""Web Push (RFC 8030, 8291, 8292): browsers, and UnifiedPush apps that subscribe with keys.

The token is the subscription object as JSON. Only its owner can read the payload; the push service cannot.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from httpclient.endpoints import origin_of
from httpclient.http1 import HttpClient
from push.base import Delivered, Outcome, Push, Rejected, Retry, now_ms
from push.host_shares import Shares
from push.providers.blame import Blame
from push.providers.per_host_breaker import PUSHES_AT_ONCE, PerHostBreaker
from push.providers.webpush_crypto import LONGEST_PLAINTEXT, encrypt, parse_subscription
from push.providers.webpush_vapid import Vapid, VapidKey, encode, parse_key
from push.tokens import Token, as_sent
from push.vendor import Settings, Tools, Vendor

LONGEST_TTL = 2_592_000


class WebpushProvider:
    """Every push service there is, which all know us by `key` and `subject`. `clock` is in ms since the epoch."""

    name = "webpush"
    batch_size = 1
    calls_at_once = PUSHES_AT_ONCE

    def __init__(
        self,
        key: VapidKey,
        http: HttpClient,
        shares: Shares,
        *,
        subject: str = "",
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._vapid = Vapid(key, subject, clock)
        self._hosts = PerHostBreaker(http, shares, clock)
        self._refusals = Blame(clock)

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        return list(await asyncio.gather(*map(self._send, pushes)))

    async def close(self) -> None:
        await self._hosts.close()

    async def _send(self, push: Push) -> Outcome:
        payload = push.payload.encode()
        if len(payload) > LONGEST_PLAINTEXT:
            return Rejected(f"payload over {LONGEST_PLAINTEXT} bytes")
        try:
            subscription = parse_subscription(push.token)
            origin = origin_of(subscription.endpoint)
        except ValueError as error:
            return Rejected(str(error))
        headers = {
            "Authorization": self._vapid.authorization(origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(min(push.ttl_seconds, LONGEST_TTL)),
            "Topic": push.dedupe_id,
            "Urgency": "high",
        }
        body = encrypt(payload, subscription)
        answer = await self._hosts.post(subscription.endpoint, person=push.person, content=body, headers=headers)
        return answer if isinstance(answer, Retry) else self._outcome(push, answer.status, origin)

    def _outcome(self, push: Push, status: int, origin: str) -> Outcome:
        """What a status of neither redirection nor fault means.

        A single subscription is refused that was made with another key.
        """
        if status < 300:
            self._refusals.taken()
            return Delivered()
        if status in {401, 403}:
            return Retry(f"HTTP {status}: our key was refused", provider_fault=self._refusals.note(push.token))
        return self._hosts.judge_missing(origin, status) or Rejected(f"HTTP {status}")


def _read_token(value: Any) -> Token:
    """A browser's subscription, given as an object or as its text, in one canonical form."""
    try:
        subscription = parse_subscription(value if isinstance(value, str) else json.dumps(value))
    except (ValueError, RecursionError):
        raise ValueError(
            "must be a push subscription: endpoint, and keys with p256dh, on the curve P-256, and 16 bytes of auth"
        ) from None
    point = subscription.public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"auth": encode(subscription.auth), "p256dh": encode(point)}
    text = json.dumps({"endpoint": as_sent(subscription.endpoint), "keys": keys}, separators=(",", ":"))
    return Token(text, endpoint=subscription.endpoint)


def _build(settings: Settings, tools: Tools) -> WebpushProvider:
    key = parse_key(settings["private_key"])
    return WebpushProvider(key, tools.client_to_devices(), tools.shares, subject=settings["subject"])


VENDOR = Vendor("webpush", "the browser's subscription, as the object or as its JSON text", _read_token, _build)
