# SPDX-License-Identifier: Apache-2.0
"""Time that a test holds in its hands."""

from dataclasses import dataclass
from pathlib import Path

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
"""What moves the wall clock of a process that is started with it; None where it is not installed."""


@dataclass
class Clock:
    """Milliseconds by `clock()`, monotonic seconds by `clock.seconds()`; they go together but for a `jump`."""

    now: int = 1_800_000_000_000
    jumped: int = 0

    def __call__(self) -> int:
        return self.now

    def seconds(self) -> float:
        return (self.now - self.jumped) / 1000

    def passes(self, seconds: float) -> None:
        self.now += int(seconds * 1000)

    def jump(self, seconds: float) -> None:
        """As when an operator sets a machine's clock."""
        self.jumped += int(seconds * 1000)
        self.now += int(seconds * 1000)
