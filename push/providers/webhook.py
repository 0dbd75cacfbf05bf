# SPDX-License-Identifier: Apache-2.0
"""The `webhook` push provider: posts the payload to the address that is the token.

Signed as Standard Webhooks 1.0.0 asks (https://www.standardwebhooks.com); `webhook-id` is the dedupe id.
"""

import asyncio
from collections.abc import Callable, Sequence

from httpclient.http1 import HttpClient
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry, now_ms
from push.host_shares import Shares
from push.providers.per_host_breaker import PUSHES_AT_ONCE, PerHostBreaker
from push.tokens import read_url
from push.vendor import Settings, Tools, Vendor
from push.webhook_signature import signed_headers, signing_key

BAD_MESSAGE = {400, 413, 422}


class WebhookProvider:
    """Every address that a device may name. `clock` is in milliseconds since the epoch.

    `secret` is `whsec_` and the base64 of 24 to 64 bytes. Raises ValueError for any other.
    """

    name = "webhook"
    batch_size = 1
    calls_at_once = PUSHES_AT_ONCE

    def __init__(
        self,
        secret: str,
        http: HttpClient,
        shares: Shares,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._key = signing_key(secret)
        self._hosts = PerHostBreaker(http, shares, clock)
        self._clock = clock

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        return list(await asyncio.gather(*map(self._send, pushes)))

    async def close(self) -> None:
        await self._hosts.close()

    async def _send(self, push: Push) -> Outcome:
        body = push.payload.encode()
        headers = signed_headers(self._key, push.dedupe_id, body, now=self._clock())
        try:
            answer = await self._hosts.post(push.token, person=push.person, content=body, headers=headers)
        except ValueError as error:
            return Rejected(str(error))
        return answer if isinstance(answer, Retry) else outcome_of(answer.status)


def outcome_of(status: int) -> Outcome:
    """What a status of neither redirection nor fault means: 410 asks to be left alone, most others may be mended."""
    if status < 300:
        return Delivered()
    if status == 410:
        return Gone("HTTP 410")
    return Rejected(f"HTTP {status}") if status in BAD_MESSAGE else Retry(f"HTTP {status}", provider_fault=False)


def _build(settings: Settings, tools: Tools) -> WebhookProvider:
    return WebhookProvider(settings["secret"], tools.client_to_devices(), tools.shares)


VENDOR = Vendor("webhook", "an https URL", read_url, _build)
