# SPDX-License-Identifier: Apache-2.0
"""Milliseconds, the unit of every stored time, and the clocks in them. Rules and table functions are told `now`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

STEP_MS = 2 * MINUTE_MS
"""A step of the wall clock that is believed at once: what time synchronisation corrects, and a quick reboot."""
BELIEVED_MS = DAY_MS + STEP_MS
"""A longer jump is believed only when an operator says so."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def since_boot_ms() -> int:
    """Milliseconds since this machine started, sleep included; nobody can set this clock. Source: clock_gettime(2)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def this_boot() -> str:
    """A name of the time since this machine started, to which `since_boot_ms` belongs. Source: random(4)."""
    return BOOT_ID.read_text("ascii").strip()


class Sighting(NamedTuple):
    """A moment by the wall clock, when that was right, and by the time since the boot of that name."""

    wall: int
    boot: str
    since_boot: int


class SteadyClock:
    """The wall clock, but for jumps: called, it tells the time that requests go by.

    While the wall clock is off what the time since the boot says, it is not believed: until it is right again, or has
    stood for as long as it jumped, or, when that is over a day, until `go_by` is told of another sighting.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], int] = now_ms,
        since_boot: Callable[[], int] = since_boot_ms,
        boot: str | None = None,
    ) -> None:
        self._wall = wall
        self._since_boot = since_boot
        self._boot = this_boot() if boot is None else boot
        self._right = self.sighting()
        self._was_away = False
        self._jumped: tuple[int, int] | None = None

    def __call__(self) -> int:
        wall, steady = self._look()
        # Before the start nobody counted the time: it may have gone by.
        return wall if self._was_away and wall > steady else steady

    def ages(self) -> int:
        """The time that everything goes by which ends by its age: it never runs ahead of what has been counted."""
        return self._look()[1]

    @property
    def jump(self) -> int:
        """By how much the wall clock is off; 0 while it is believed."""
        wall, steady = self._look()
        return wall - steady

    @property
    def was_away(self) -> bool:
        """Whether a jump ahead may be nothing but the time for which this machine was off."""
        return self._was_away

    def sighting(self) -> Sighting:
        """This moment, as the wall clock tells it."""
        return Sighting(self._wall(), self._boot, self._since_boot())

    def begin(self, last: Sighting) -> None:
        """At the start: go on from when the clock was last seen to be right, perhaps before a reboot."""
        self._was_away = last.boot != self._boot
        self.go_by(last)

    def go_by(self, right: Sighting) -> None:
        """Measure the wall clock by this sighting from now on."""
        here = right if right.boot == self._boot else Sighting(right.wall, self._boot, self._since_boot())
        self._right, self._jumped = here, None

    def _look(self) -> tuple[int, int]:
        """The wall clock, and what it should say; both the same when it is believed."""
        seen = self.sighting()
        steady = self._right.wall + seen.since_boot - self._right.since_boot
        off = seen.wall - steady
        if abs(off) > STEP_MS and not self._has_stood(off, seen.since_boot):
            return seen.wall, steady
        self._right, self._jumped, self._was_away = seen, None, False
        return seen.wall, seen.wall

    def _has_stood(self, off: int, since_boot: int) -> bool:
        """Whether the wall clock has been off by this for as long as that is."""
        if self._jumped is None or abs(off - self._jumped[0]) > STEP_MS:
            self._jumped = off, since_boot
        return abs(off) <= BELIEVED_MS and since_boot - self._jumped[1] >= abs(off)
