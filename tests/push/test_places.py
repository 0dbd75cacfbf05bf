# SPDX-License-Identifier: Apache-2.0
"""How many calls at once a host, a person and all new hosts together get, by the rules alone."""

from contextlib import ExitStack

import pytest

from push.host_shares import (
    KNOWN_ORIGINS,
    LIGHT_WAIT_SECONDS,
    LONGEST_ABSENCE_SECONDS,
    PROMPT_SECONDS,
    HostShares,
    PerOrigin,
    PerPerson,
    Shares,
)
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio
PLACES = 40


class Caller:
    """Makes calls that last until they are told to end."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[ExitStack] = []
        shares = Shares(PerOrigin(at_once=8, per_second=20, new_at_once=2), PerPerson(at_once=5, new_at_once=3))
        self.shares = HostShares(shares, places=PLACES, waiting=100, monotonic=clock.seconds)

    async def begin(self, origin: str, person: int) -> ExitStack | float:
        """A call under way, whose end is that of the block; or for how long it is sent away."""
        absence = await self.shares.seconds_to_stay_away(origin, person)
        if absence:
            return absence
        call = ExitStack()
        call.enter_context(self.shares.calling(origin, person))
        self.calls.append(call)
        return call

    async def begin_all(self, origin: str, people: range) -> list[ExitStack]:
        """As many calls, one each for these people, as may begin."""
        begun = [await self.begin(origin, person) for person in people]
        return [call for call in begun if isinstance(call, ExitStack)]

    async def answer(self, origin: str, times: int, *, seconds: float = 0.1) -> None:
        """Calls one after the other, each for another person, all of which are answered."""
        for number in range(times):
            assert await self.is_answered(origin, 1000 + number, seconds=seconds)

    async def is_answered(self, origin: str, person: int, *, seconds: float = 0.0) -> bool:
        """Whether a call may begin, which then is answered."""
        if await self.shares.seconds_to_stay_away(origin, person):
            return False
        with self.shares.calling(origin, person) as note_answer:
            self.clock.passes(seconds)
            note_answer()
        return True


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setattr("push.host_shares.LOOK_SECONDS", 0)
    return Caller(Clock())


async def test_a_host_begins_with_few_places_and_gets_more_as_it_answers(caller: Caller) -> None:
    assert len(await caller.begin_all("a", range(9))) == 2
    await caller.answer("b", 3)
    assert len(await caller.begin_all("b", range(9))) == 2 + 3
    await caller.answer("c", 100)
    assert len(await caller.begin_all("c", range(20))) == 8


@pytest.mark.parametrize("seconds", [0.1, PROMPT_SECONDS + 1])
async def test_a_host_that_fails_or_answers_late_loses_its_places(caller: Caller, seconds: float) -> None:
    await caller.answer("a", 20)
    if seconds > PROMPT_SECONDS:
        await caller.answer("a", 2, seconds=seconds)
    else:
        for call in await caller.begin_all("a", range(2)):
            call.close()
    assert len(await caller.begin_all("a", range(9))) == 2


async def test_a_host_whose_calls_hang_gets_no_more_of_them_before_they_end(caller: Caller) -> None:
    await caller.answer("a", 20)
    hanging = await caller.begin_all("a", range(4))
    assert len(hanging) == 4
    caller.clock.passes(PROMPT_SECONDS + 0.1)
    assert await caller.begin_all("a", range(10, 15)) == []


async def test_one_person_gets_few_calls_to_new_hosts_and_all_together_half_of_the_places(caller: Caller) -> None:
    assert len([await caller.begin(f"of 1, {number}", 1) for number in range(3)]) == 3
    assert isinstance(await caller.begin("of 1, 3", 1), float)
    some = [await caller.begin(f"of {person}, {number}", person) for person in range(2, 8) for number in range(3)]
    # Three each until half of their half is taken, and then one.
    assert [isinstance(call, ExitStack) for call in some] == [*[True] * 7, *[False] * 2, *[True, False, False] * 3]
    await caller.begin_all("x", range(20, 22))
    more = [await caller.begin(f"of {person}", person) for person in range(30, 50)]
    assert sum(isinstance(call, ExitStack) for call in (*some, *more)) + 3 + 2 == PLACES / 2


async def test_hosts_that_answer_have_the_other_half(caller: Caller) -> None:
    await caller.answer("good", 10)
    for person in range(30):
        await caller.begin(f"of {person}", person)
    assert len(await caller.begin_all("good", range(100, 108))) == 8


async def test_one_person_gets_few_calls_when_half_of_the_places_are_taken(caller: Caller) -> None:
    for name in "abcdefgh":
        await caller.answer(name, 10)
        caller.clock.passes(1)
    alone = [await caller.begin(name, 1) for name in "abcdefgh" for _ in range(3)]
    assert sum(isinstance(call, ExitStack) for call in alone) == PLACES / 2
    assert isinstance(await caller.begin("a", 2), ExitStack)
    assert isinstance(await caller.begin("b", 1), float)


async def test_the_half_of_a_host_s_second_is_for_those_who_had_none_of_it(caller: Caller) -> None:
    await caller.answer("a", 10)
    caller.clock.passes(1)
    assert [await caller.is_answered("a", 1) for _ in range(12)] == [*[True] * 11, False]
    assert [await caller.is_answered("a", person) for person in range(2, 12)] == [*[True] * 9, False]


async def test_who_asks_for_little_is_sent_away_for_less(caller: Caller) -> None:
    await caller.answer("a", 10)
    calls = await caller.begin_all("a", range(10))
    assert await caller.begin("a", 77) == LIGHT_WAIT_SECONDS
    absences = [await caller.begin("a", 1) for _ in range(1000)]
    assert absences[0] == pytest.approx(1 / 20)
    assert absences[1] == pytest.approx(2 / 20)
    assert absences[-1] == LONGEST_ABSENCE_SECONDS
    assert len(calls) == 8


async def test_nobody_is_sent_away_for_long_from_a_host_that_may_answer_yet(caller: Caller) -> None:
    await caller.begin_all("a", range(2))
    assert [await caller.begin("a", person) for person in (5, 6, 7)] == [PROMPT_SECONDS] * 3
    caller.clock.passes(PROMPT_SECONDS + 0.1)
    assert [await caller.begin("a", person) for person in (5, 6, 7)] == pytest.approx([0.5, 1.0, 1.5])


async def test_new_hosts_without_end_make_nobody_forget_those_that_answer(caller: Caller) -> None:
    await caller.answer("good", 10)
    for number in range(2 * KNOWN_ORIGINS):
        call = await caller.begin(f"new {number}", number)
        assert isinstance(call, ExitStack)
        call.close()
    assert len(await caller.begin_all("good", range(8))) == 8
