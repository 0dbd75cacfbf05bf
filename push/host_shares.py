# SPDX-License-Identifier: Apache-2.0
"""Who may have how many of a provider's calls at once, where devices name the hosts that are called.

A call that hangs takes a place for ten seconds. So a host begins with few places and gets another one with each prompt
answer; each other end of a call halves them. Hosts that have not answered share half of all places, few for one
person's devices; the other half is for hosts that do. And no host gets more calls than it is to bear, whoever asks for
them; those who ask for few come before those who ask for many.

A push waits here for a moment, since a host that answers has a place for it very soon. What has no place by then, or
would wait behind too many others, goes back to the outbox for as long as it takes to serve those before it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PROMPT_SECONDS = 2.0
"""An answer that takes longer is not prompt: with places for a hundred calls, fifty a second would still go out."""

LOOKS, LOOK_SECONDS = 40, 0.05
"""A push that waits looks so often, two seconds in all: a host that has not answered by then is not prompt. It looks
instead of being told, as a place comes free for many reasons, of which the end of a call is only one.
"""

WAITING_OF_PERSON = 10
"""Pushes for one person's devices that may wait here: who has more is sent away and keeps nobody out."""

LIGHT_WAIT_SECONDS = 0.5
"""The absence of a person who asks for little: places of a host that answers come free much faster than that."""

LONGEST_ABSENCE_SECONDS = 30.0
"""The longest time that a push is sent away for, however many wait: the host may be faster than thought by then."""

KNOWN_ORIGINS = 1000
"""Bounds memory, since anybody can name new hosts; those that answer promptly are forgotten last."""


@dataclass(frozen=True, slots=True)
class PerOrigin:
    """Calls to one origin: `new_at_once` until it answers promptly, and when it no longer does. Each is 1 at least."""

    at_once: int
    per_second: int
    new_at_once: int


@dataclass(frozen=True, slots=True)
class PerPerson:
    """Calls for one person's devices: `at_once` when half of all places are taken, `new_at_once` to new origins."""

    at_once: int
    new_at_once: int


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of a process."""

    per_origin: PerOrigin
    per_person: PerPerson


@dataclass(slots=True)
class _Origin:
    """What is known of one origin. Times are in seconds.

    `window` is how many calls it may have at once. `budget` is how many may begin now, as of `filled_at`, and `served`
    has the people who had one in this second. `failed` is how the last call ended. `absent_until` is when the next
    push that is sent away may come again.
    """

    window: float
    budget: float
    filled_at: float
    served: set[int] = field(default_factory=set)
    failed: bool = False
    absent_until: float = 0.0
    calls: "set[_Push]" = field(default_factory=set)
    waiting: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Push:
    """One push that waits or is being sent; `to_new` is what its origin was when it came."""

    origin: _Origin
    person: int
    began: float
    to_new: bool


class HostShares:
    """One provider: `places` for calls at once, room for so many pushes `waiting`. `monotonic` is in seconds."""

    def __init__(
        self, shares: Shares, *, places: int, waiting: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_origin = shares.per_origin
        self._per_person = shares.per_person
        self._places = places
        self._most_waiting = waiting
        self._monotonic = monotonic
        self._origins: dict[str, _Origin] = {}
        self._calls: set[_Push] = set()
        self._waiting: set[_Push] = set()

    async def seconds_to_stay_away(self, name: str, person: int) -> float:
        """0 as soon as a call to this origin for this person's device may begin, which is then to begin at once.

        Otherwise, and after 2 s at most, for how long the push is to be put back.
        """
        origin = self._origin(name)
        if self._may_call(origin, person):
            return 0.0
        if self._may_wait(origin, person):
            with self._waits(origin, person):
                for _ in range(LOOKS):
                    await asyncio.sleep(LOOK_SECONDS)
                    if self._may_call(origin, person):
                        return 0.0
        return self._absence(origin, person)

    @contextmanager
    def calling(self, name: str, person: int) -> Iterator[Callable[[], None]]:
        """A call that may begin. What this gives is to be called when the host has answered."""
        origin = self._origin(name)
        push = self._push(origin, person)
        origin.calls.add(push)
        self._calls.add(push)
        origin.budget -= 1
        origin.served.add(person)
        answered = False

        def note() -> None:
            nonlocal answered
            answered = True

        try:
            yield note
        finally:
            origin.calls.discard(push)
            self._calls.discard(push)
            origin.failed = not answered or self._monotonic() - push.began > PROMPT_SECONDS
            if not origin.failed:
                origin.window = max(min(origin.window + 1, self._per_origin.at_once), self._per_origin.new_at_once)
            else:
                origin.window = max(origin.window / 2, self._per_origin.new_at_once)

    def _is_new(self, origin: _Origin) -> bool:
        """Whether it has not answered promptly, or half of its calls wait for answers that are not prompt any more."""
        return origin.window <= self._per_origin.new_at_once or 2 * self._count_late(origin) >= origin.window

    def _count_late(self, origin: _Origin) -> int:
        now = self._monotonic()
        return sum(now - call.began > PROMPT_SECONDS for call in origin.calls)

    def _may_call(self, origin: _Origin, person: int) -> bool:
        self._fill_budget(origin)
        most = self._per_origin.per_second
        # The lower half of a second's calls is for those who had none in it.
        in_budget = origin.budget >= 1 and (2 * origin.budget >= most or person not in origin.served)
        return in_budget and self._has_place(origin, person)

    def _fill_budget(self, origin: _Origin) -> None:
        now, most = self._monotonic(), self._per_origin.per_second
        if int(now) != int(origin.filled_at):
            origin.served.clear()
        origin.budget = min(most, origin.budget + most * (now - origin.filled_at))
        origin.filled_at = now

    def _has_place(self, origin: _Origin, person: int) -> bool:
        calls, own = len(origin.calls), [push for push in self._calls if push.person == person]
        if self._is_new(origin):
            taken = sum(push.to_new for push in self._calls)
            # Half of all places, and of the upper half of these each person gets one.
            most = self._per_person.new_at_once if 4 * taken < self._places else 1
            own_to_new = sum(push.to_new for push in own)
            return calls < self._per_origin.new_at_once and 2 * taken < self._places and own_to_new < most
        if calls >= int(origin.window) or len(self._calls) >= self._places:
            return False
        if 2 * len(self._calls) >= self._places and len(own) >= self._per_person.at_once:
            return False
        # Of the upper half of its places each person gets one.
        return 2 * calls < origin.window or all(push.person != person for push in origin.calls)

    def _may_wait(self, origin: _Origin, person: int) -> bool:
        waiting = [push for push in self._waiting if push.person == person]
        if self._is_new(origin):
            own = sum(push.to_new for push in (*waiting, *self._calls) if push.person == person)
            in_all = sum(push.to_new for push in self._waiting)
            return own < self._per_person.new_at_once and 2 * in_all < self._most_waiting
        return len(waiting) < WAITING_OF_PERSON and origin.waiting < self._per_origin.per_second

    @contextmanager
    def _waits(self, origin: _Origin, person: int) -> Iterator[None]:
        push = self._push(origin, person)
        self._waiting.add(push)
        origin.waiting += 1
        try:
            yield
        finally:
            self._waiting.discard(push)
            origin.waiting -= 1

    def _push(self, origin: _Origin, person: int) -> _Push:
        return _Push(origin, person, self._monotonic(), self._is_new(origin))

    def _absence(self, origin: _Origin, person: int) -> float:
        """The seconds until a push may come again: one after the other, as fast as the origin may be called."""
        is_new, now = self._is_new(origin), self._monotonic()
        here = any(push.person == person for push in origin.calls)
        if not is_new and not here and person not in origin.served:
            return LIGHT_WAIT_SECONDS
        if is_new and not origin.failed and not self._count_late(origin):
            return PROMPT_SECONDS  # by then it is known whether it answers
        pace = self._per_origin.new_at_once if is_new else self._per_origin.per_second
        origin.absent_until = min(max(origin.absent_until, now) + 1 / pace, now + LONGEST_ABSENCE_SECONDS)
        return origin.absent_until - now

    def _origin(self, name: str) -> _Origin:
        new = self._per_origin.new_at_once
        found = self._origins.pop(name, None) or _Origin(new, self._per_origin.per_second, self._monotonic())
        if len(self._origins) >= KNOWN_ORIGINS:
            idle = [other for other, origin in self._origins.items() if not origin.calls and not origin.waiting]
            del self._origins[next((other for other in idle if self._origins[other].window <= new), idle[0])]
        self._origins[name] = found  # the one that was asked for last stands last
        return found
