# SPDX-License-Identifier: Apache-2.0
"""How many bytes all connections together may have written and not sent: memory that slow clients hold."""

import asyncio
from collections import Counter
from typing import Protocol


class Holder(Protocol):
    """A connection. `source` is whom it is counted with."""

    @property
    def source(self) -> str: ...

    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def abort(self) -> None: ...


class UnsentBudget:
    """The bytes that wait in this process. Over the limit the source that holds most loses the connection that has
    taken nothing for longest: whoever takes what they asked for is cut last, however many others take nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: dict[Holder, int] = {}  # who has taken nothing for longest comes first
        self._total = 0

    @property
    def used(self) -> int:
        """At most so many bytes wait."""
        return self._total

    def hold(self, holder: Holder) -> None:
        """Its client does not take all that was written; called after each write while that is so."""
        self._set(holder, holder.unsent())
        if self._total > self._limit:
            self._cut()

    def let_go(self, holder: Holder) -> None:
        """Its client has taken all, or it is no more."""
        self._total -= self._sizes.pop(holder, 0)

    def _set(self, holder: Holder, size: int) -> None:
        self._total += size - self._sizes.get(holder, 0)
        self._sizes[holder] = size

    def _cut(self) -> None:
        for holder in self._sizes:
            self._set(holder, holder.unsent())
        while self._total > self._limit:
            victim = self._longest_of_heaviest()
            self.let_go(victim)
            # Not at once: it may be the one that is writing.
            asyncio.get_running_loop().call_soon(victim.abort)

    def _longest_of_heaviest(self) -> Holder:
        per_source: Counter[str] = Counter()
        for holder, size in self._sizes.items():
            per_source[holder.source] += size
        [(heaviest, _)] = per_source.most_common(1)
        return next(holder for holder in self._sizes if holder.source == heaviest)
