# SPDX-License-Identifier: Apache-2.0
"""Whether a refusal that may speak of one device or of us all is held against the provider.

Else anybody could stop everybody's pushes with a few devices whose tokens are of another app, and so are refused, or
that get more messages than the provider lets one device have.
"""

from collections.abc import Callable

TRUSTED_FOR_MS = 3_600_000
LIMITED_MS = 60_000
# As many devices as one person has.
FEW = 20


class Blame:
    """Those since the last push that was taken. `clock` is in milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._taken_at: int | None = None
        self._tokens: set[int] = set()

    def taken(self) -> None:
        """Note that the provider took a push: so our keys are good."""
        self._taken_at = self._clock()
        self._tokens.clear()

    def note(self, token: str) -> bool:
        """Note that this token was refused; whether that is the provider's fault, or ours.

        It is where more tokens than a person has were refused in a row and none was taken within the last hour.
        """
        if len(self._tokens) <= FEW:
            self._tokens.add(hash(token))
        lately = self._taken_at is not None and self._clock() - self._taken_at <= TRUSTED_FOR_MS
        return len(self._tokens) > FEW and not lately


class Limited:
    """The tokens that met a limit within the last minute. `clock` is in milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._met_at: dict[int, int] = {}

    def note(self, token: str) -> bool:
        """Note that this token met a limit; whether it is one of us all: more have met it than a person has."""
        now = self._clock()
        met = {other: at for other, at in self._met_at.items() if 0 <= now - at < LIMITED_MS}
        if len(met) <= FEW:
            met[hash(token)] = now
        self._met_at = met
        return len(met) > FEW
