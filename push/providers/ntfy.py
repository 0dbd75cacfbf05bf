# SPDX-License-Identifier: Apache-2.0
"""ntfy (https://docs.ntfy.sh/publish/) and any UnifiedPush endpoint that takes messages without encryption.

The token is the endpoint: a topic's URL, which takes our payload as the message's text.
"""

import asyncio
from collections.abc import Callable, Sequence

from httpclient.http1 import HttpClient
from push.base import Delivered, Outcome, Push, Rejected, Retry, now_ms
from push.host_shares import Shares
from push.providers.per_host_breaker import PUSHES_AT_ONCE, PerHostBreaker
from push.tokens import read_url
from push.vendor import Settings, Tools, Vendor

LONGEST_MESSAGE = 4096
LONGEST_TTL = 2_592_000


class NtfyProvider:
    """Every ntfy server there is. `clock` is in milliseconds since the epoch."""

    name = "ntfy"
    batch_size = 1
    calls_at_once = PUSHES_AT_ONCE

    def __init__(self, http: HttpClient, shares: Shares, *, clock: Callable[[], int] = now_ms) -> None:
        self._hosts = PerHostBreaker(http, shares, clock)

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        return list(await asyncio.gather(*map(self._send, pushes)))

    async def close(self) -> None:
        await self._hosts.close()

    async def _send(self, push: Push) -> Outcome:
        body = push.payload.encode()
        if len(body) > LONGEST_MESSAGE:
            return Rejected(f"payload over {LONGEST_MESSAGE} bytes")
        headers = {
            "Content-Type": "application/json",
            "TTL": str(min(push.ttl_seconds, LONGEST_TTL)),  # RFC 8030, which a UnifiedPush endpoint speaks
            "Urgency": "high",
        }
        try:
            answer = await self._hosts.post(push.token, person=push.person, content=body, headers=headers)
        except ValueError as error:
            return Rejected(str(error))
        return answer if isinstance(answer, Retry) else self._outcome(push.token, answer.status)

    def _outcome(self, url: str, status: int) -> Outcome:
        """What a status of neither redirection nor fault means.

        A topic of ntfy always exists, but another distributor of UnifiedPush says of an app that it is gone.
        """
        if status < 300:
            return Delivered()
        if status in {401, 403}:
            return Retry(f"HTTP {status}: the topic is not open to us", provider_fault=False)
        return self._hosts.judge_missing(url, status) or Rejected(f"HTTP {status}")


def _build(_: Settings, tools: Tools) -> NtfyProvider:
    return NtfyProvider(tools.client_to_devices(), tools.shares)


VENDOR = Vendor("ntfy", "an https URL", read_url, _build)
