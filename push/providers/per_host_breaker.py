# SPDX-License-Identifier: Apache-2.0
"""POSTs to URLs that devices named: many untrusted hosts, each with a circuit breaker and a share of its own.

A host that is down is not asked for a while, so that it neither opens the provider's breaker nor takes the places of
pushes to others; how many places it may take while nobody knows that yet is the matter of `host_shares`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from httpclient.endpoints import origin_of
from httpclient.http1 import Answer, HttpClient, NoAnswer
from push.base import Gone, Retry
from push.breaker import PROBE_MS, Breaker, BreakerState
from push.host_shares import KNOWN_ORIGINS, HostShares, Shares

# Calls at once: a client keeps 100 idle connections, so that each of these finds one.
PLACES = 96
# Pushes that the relay hands over at once: those under way, and those that wait for a moment.
PUSHES_AT_ONCE = 512
# Less than the relay's limit for a call (30 s), so that it is the host that did not answer, and not the provider.
PUSH_SECONDS = 20.0
# More 404 in a row than one person has devices: the host is more likely misconfigured than all of them gone.
MASS_NOT_FOUND = 20
# How Microsoft's service, which is Edge's, says that it gets too many:
# https://learn.microsoft.com/en-us/windows/apps/windows-app-sdk/notifications/push-notifications/troubleshooting
TOO_MANY = 406
# ntfy's status for a UnifiedPush topic without a subscriber: anyone can name such topics, and the host is fine.
DESERTED = 507


@dataclass(slots=True)
class _Origin:
    """One host: `failure` is its last one, `not_found` the number of 404 in a row."""

    breaker: Breaker = field(default_factory=Breaker)
    failure: str = ""
    not_found: int = 0


class PerHostBreaker:
    """A breaker for each origin that was posted to lately. `clock` is in milliseconds."""

    def __init__(self, http: HttpClient, shares: Shares, clock: Callable[[], int]) -> None:
        self._http = http
        self._shares = HostShares(shares, places=PLACES, waiting=PUSHES_AT_ONCE - PLACES)
        self._clock = clock
        self._known: dict[str, _Origin] = {}

    async def post(self, url: str, *, person: int, content: bytes, headers: Mapping[str, str]) -> Answer | Retry:
        """POST for a person's device: the host's answer to this push, or Retry where there is none.

        Raises ValueError for an invalid URL.
        """
        name = origin_of(url)
        origin = self._origin(name)
        if not origin.breaker.refuses(self._clock()):
            absence = await self._shares.seconds_to_stay_away(name, person)
            if absence:
                return _not_asked("host busy", absence)
        now, probing = self._clock(), origin.breaker.state is not BreakerState.CLOSED
        if not origin.breaker.permits(now):
            return _not_asked(f"host paused: {origin.failure}", origin.breaker.probe_in(now) / 1000)
        with self._shares.calling(name, person) as note_answer:
            answer = await self._post(url, content, headers)
            if isinstance(answer, Answer):
                note_answer()
        failed = isinstance(answer, NoAnswer) or (answer.status >= 500 and answer.status != DESERTED)
        if failed:
            origin.failure = answer.reason if isinstance(answer, NoAnswer) else f"HTTP {answer.status}"
        origin.breaker.record(failed=failed, now=self._clock())
        if isinstance(answer, NoAnswer):
            return _retry(answer.reason, probing=probing)
        origin.not_found = origin.not_found + 1 if answer.status == 404 else 0
        if _asks_for_later(answer):
            return _retry(f"HTTP {answer.status}", after=answer.retry_after(), probing=failed and probing)
        return answer

    async def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer | NoAnswer:
        try:
            async with asyncio.timeout(PUSH_SECONDS):
                return await self._http.post(url, content=content, headers=headers)
        except TimeoutError:
            return NoAnswer("timed out")

    def judge_missing(self, url: str, status: int) -> Gone | Retry | None:
        """What a host means that says of an endpoint that it is not there; None where it says anything else.

        The endpoint is gone, unless this host has answered 404 so often, and nothing else, that it is more likely
        broken than right.
        """
        if status not in {404, 410}:
            return None
        if status == 404 and self._origin(origin_of(url)).not_found > MASS_NOT_FOUND:
            return Retry("HTTP 404 for everybody", provider_fault=False)
        return Gone(f"HTTP {status}")

    async def close(self) -> None:
        await self._http.close()

    def _origin(self, name: str) -> _Origin:
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= KNOWN_ORIGINS:
                del self._known[next(iter(self._known))]
            found = self._known[name] = _Origin()
        return found


def _asks_for_later(answer: Answer) -> bool:
    """Whether this is no word on the push itself. Whoever names a time wants to be asked again, whatever is wrong."""
    if answer.status < 400:
        return answer.status >= 300
    return answer.is_temporary() or answer.status == TOO_MANY or answer.retry_after() is not None


def _not_asked(reason: str, after: float) -> Retry:
    return Retry(reason, after=after, provider_fault=False, costs_attempt=False, asked=False)


def _retry(reason: str, *, after: float | None = None, probing: bool) -> Retry:
    """Try again. A failed probe (`probing`) leaves its push as if untried."""
    if probing and after is None:
        return Retry(reason, after=PROBE_MS / 1000, provider_fault=False, costs_attempt=False)
    return Retry(reason, after=after, provider_fault=False)
