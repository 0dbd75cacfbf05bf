# SPDX-License-Identifier: Apache-2.0
"""What the relay and a push provider say to each other. No provider, no database, no HTTP here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Push:
    """One notification for one device.

    `payload` is the JSON document of the HTTP contract, section 3. `dedupe_id` is 32 lower-case hex digits, the
    same for every attempt at this message, device and token, and for nothing else. `ttl_seconds` is how long the
    notification is of use.
    """

    token: str
    payload: str
    dedupe_id: str
    ttl_seconds: int
    device_type: str = ""


@dataclass(frozen=True, slots=True)
class VisibleText:
    """What a phone shows while the app is not running: fixed, never content."""

    title: str = "New message"
    body: str = "Tap to open"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The provider took it. `stale`: it said that the device will not be told (long inactive); the device is kept."""

    stale: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Not taken; try again, after `after` seconds where the provider said so.

    `provider_fault` marks an answer that speaks of the provider or our credentials and not of this push:
    it counts for the breaker. Without `costs_attempt` the push is as it was: its host was left alone, or still is down.
    """

    reason: str
    after: float | None = None
    provider_fault: bool = True
    costs_attempt: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider's explicit word that this token is dead, since `at` (ms since the epoch) where it said so."""

    reason: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider will never take this push; the device is kept."""

    reason: str


Outcome = Delivered | Retry | Gone | Rejected


class Provider(Protocol):
    """One push vendor with one set of credentials."""

    name: str
    batch_size: int

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        """Send up to `batch_size` pushes; one outcome each, in order.

        Raises nothing that a vendor or the network causes.
        """

    async def close(self) -> None: ...
