# SPDX-License-Identifier: Apache-2.0
"""The interface between the relay and a push provider: pushes in, outcomes out. No database and no HTTP here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

CALLS_AT_ONCE = 32
"""Calls at once to a vendor: with batches of a hundred enough for thousands of pushes a second."""


def now_ms() -> int:
    """The wall clock in milliseconds since the Unix epoch, by which vendors date what they say."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Push:
    """One notification for one device.

    `payload` is the JSON document that `push.payload` makes. `dedupe_id` is 32 lower-case hex digits, the
    same for every attempt at this message, device and token, and unique to them. `ttl_seconds` is how long the
    notification is worth delivering. `person` is the uid of the device's owner, by which shares are counted: it is
    never sent.
    """

    token: str
    payload: str
    dedupe_id: str
    ttl_seconds: int
    device_type: str = ""
    person: int = 0


@dataclass(frozen=True, slots=True)
class VisibleText:
    """What a phone shows while the app is not running: fixed text, never content."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The provider accepted it. `stale`: but will not tell a device that was inactive for long; the device is kept."""

    stale: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Not accepted; try again, after `after` seconds where the provider asked for that.

    `provider_fault` marks an answer about the provider or our credentials rather than this push: it counts for the
    breaker. Without `costs_attempt` the push is as if untried: a probe found its host still down, or nobody was
    `asked`, as there is no place for this push now.
    """

    reason: str
    after: float | None = None
    provider_fault: bool = True
    costs_attempt: bool = True
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider said that this token is dead, since `at` (ms since the epoch) where it gave a time."""

    reason: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider will never accept this push; the device is kept."""

    reason: str


Outcome = Delivered | Retry | Gone | Rejected


class Provider(Protocol):
    """One push vendor with one set of credentials. `calls_at_once` is how many calls of `send` may run."""

    name: str
    batch_size: int
    calls_at_once: int

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        """Send up to `batch_size` pushes; one outcome each, in order.

        Errors of the vendor or the network are outcomes, not exceptions.
        """

    async def close(self) -> None: ...


@runtime_checkable
class SignsIn(Protocol):
    """A provider whose vendor gives a token for our keys."""

    async def sign_in(self) -> Retry | None:
        """Sign in, or go by the token at hand. None if the vendor takes the keys, else why not. Nothing is sent."""
