# SPDX-License-Identifier: Apache-2.0
"""Whether an ambiguous refusal, about one device or about all of us, counts against the provider.

If each one counted, anybody could open the breaker for everybody with a few devices whose tokens belong to another
app, and are refused, or that get more messages than the provider allows one device.
"""

from collections.abc import Callable

TRUSTED_FOR_MS = 3_600_000
"""A push that was accepted proves our keys for an hour: nobody revokes them more often than an operator works."""

LIMITED_MS = 60_000
"""The period of the vendors' limits on one device, which are per minute."""

FEW = 20
"""The most devices that one person has."""


class Blame:
    """Counts the tokens refused since the last accepted push. `clock` is in milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._taken_at: int | None = None
        self._tokens: set[int] = set()

    def taken(self) -> None:
        """Record that the provider accepted a push, which proves our keys."""
        self._taken_at = self._clock()
        self._tokens.clear()

    def note(self, token: str) -> bool:
        """Record that this token was refused; whether the provider, or our keys, are at fault.

        They are if more tokens than one person has were refused in a row and none was accepted within the last hour.
        """
        if len(self._tokens) <= FEW:
            self._tokens.add(hash(token))
        lately = self._taken_at is not None and self._clock() - self._taken_at <= TRUSTED_FOR_MS
        return len(self._tokens) > FEW and not lately


class Limited:
    """Counts the tokens that hit a limit within the last minute. `clock` is in milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._met_at: dict[int, int] = {}

    def note(self, token: str) -> bool:
        """Record that this token hit a limit; whether more tokens did than one person has, so that it limits us all."""
        now = self._clock()
        met = {other: at for other, at in self._met_at.items() if 0 <= now - at < LIMITED_MS}
        if len(met) <= FEW:
            met[hash(token)] = now
        self._met_at = met
        return len(met) > FEW
