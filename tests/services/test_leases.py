# SPDX-License-Identifier: Apache-2.0
"""Leases: one holder of many at a time, another when that one is gone, whatever the clocks of machines say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from models.db.database import CommitUnknown, Database, Row, Statement, T, Unit, Value
from services.leader import FailureDetector, Lease
from tests.support.engines import Engine
from tests.support.interposed import Interposed

pytestmark = pytest.mark.anyio

SECONDS = 10.0
LOOK = 2.0


@dataclass
class Machine:
    """A process with a connection and a clock of its own: seconds since it was booted."""

    db: Database
    booted: float
    passed: float = 0.0

    def clock(self) -> float:
        return self.booted + self.passed

    def lease(self, db: Database | None = None) -> Lease:
        return Lease(db or self.db, "work", seconds=SECONDS, monotonic=self.clock)


class LostAnswer(Interposed):
    """Writes all and says of the first commit that its answer was lost."""

    lost = False

    async def write(self, unit: Unit[T]) -> T:
        answer = await super().write(unit)
        if not self.lost:
            self.lost = True
            raise CommitUnknown("lost")
        return answer


class Meanwhile(Interposed):
    """Has something happen right after it has been read, if it is told what."""

    happens: Callable[[], Awaitable[object]] | None = None

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        rows = await super().read(statement, **params)
        if self.happens is not None:
            await self.happens()
        return rows


@pytest.fixture
async def machines(engine: Engine) -> AsyncIterator[list[Machine]]:
    """Three, booted at moments that are days apart."""
    async with AsyncExitStack() as stack:
        opened = [Machine(await engine.open(), booted) for booted in (0.0, 500_000.0, 86_400.0)]
        for machine in opened:
            stack.push_async_callback(machine.db.close)
        yield opened


def passes(machines: list[Machine], seconds: float) -> None:
    for machine in machines:
        machine.passed += seconds


async def looked(machines: list[Machine], seconds: float, *waiting: Lease) -> list[Lease]:
    """Let time pass, with a look by those that wait every two seconds; those that have the lease then."""
    for _ in range(round(seconds / LOOK)):
        passes(machines, LOOK)
        for lease in waiting:
            await lease.renew()
    return [lease for lease in waiting if lease.held]


async def test_of_many_at_once_one_has_it(machines: list[Machine]) -> None:
    leases = [machine.lease() for machine in machines * 5]
    held = await asyncio.gather(*(lease.renew() for lease in leases))

    assert sum(held) == 1
    assert [lease.held for lease in leases] == held


async def test_who_was_refused_holds_nothing_though_its_clock_shows_less_than_zero(machines: list[Machine]) -> None:
    first, second = machines[0].lease(), Machine(machines[1].db, booted=-1000.0).lease()
    assert not second.held
    assert await first.renew()

    assert not await second.renew()
    await first.release()
    assert await second.renew()
    await second.release()
    assert not second.held


async def test_who_holds_it_on_time_keeps_it(machines: list[Machine]) -> None:
    first, *others = [machine.lease() for machine in machines]
    assert await first.renew()

    assert await looked(machines, 100, first, *others) == [first]


async def test_who_is_silent_loses_it_before_another_has_it(machines: list[Machine]) -> None:
    first, second, third = [machine.lease() for machine in machines]
    await first.renew()
    assert not await second.renew()

    assert await looked(machines, SECONDS - LOOK, second, third) == []
    before = first.held
    assert len(await looked(machines, 2 * LOOK, second, third)) == 1
    assert (before, first.held, await first.renew()) == (True, False, False)


async def test_who_holds_it_again_at_the_last_moment_keeps_it(machines: list[Machine]) -> None:
    first, second, _ = machines
    lease = first.lease()
    waiting = second.lease(meanwhile := Meanwhile(second.db))
    await lease.renew()
    await waiting.renew()
    assert await looked(machines, SECONDS - LOOK, waiting) == []

    meanwhile.happens = lease.renew
    assert await looked(machines, LOOK, waiting) == []
    assert lease.held


async def test_of_many_that_wait_at_once_one_takes_it_over(machines: list[Machine]) -> None:
    first, *others = [machine.lease() for machine in machines * 4]
    await first.renew()
    for _ in range(8):
        held = await asyncio.gather(*(lease.renew() for lease in others))
        assert sum(held) <= 1
        passes(machines, LOOK)

    assert sum(lease.held for lease in others) == 1


async def test_what_is_given_back_is_another_s_at_once(machines: list[Machine]) -> None:
    first, second, _ = [machine.lease() for machine in machines]
    await first.renew()
    assert not await second.renew()
    await first.release()

    assert not first.held
    assert await second.renew()
    await first.release()
    assert await second.renew()


async def test_each_name_is_a_lease_of_its_own(machines: list[Machine]) -> None:
    first, second, _ = machines
    assert await first.lease().renew()
    assert await Lease(second.db, "other work", seconds=SECONDS, monotonic=second.clock).renew()


async def test_who_never_heard_that_it_was_taken_finds_out(machines: list[Machine]) -> None:
    first, second, _ = machines
    lease = first.lease(LostAnswer(first.db))
    with pytest.raises(CommitUnknown):
        await lease.renew()

    assert not lease.held
    assert not await second.lease().renew()
    assert await lease.renew()


async def test_a_hold_whose_answer_is_lost_shortens_nothing(machines: list[Machine]) -> None:
    first, second, _ = machines
    answering = LostAnswer(first.db)
    answering.lost = True
    lease, other = first.lease(answering), second.lease()
    await lease.renew()
    await looked(machines, 4, other)
    answering.lost = False
    with pytest.raises(CommitUnknown):
        await lease.renew()

    assert lease.held
    assert await looked(machines, 8, other) == []


async def test_a_pause_of_everybody_is_nobody_s_end(machines: list[Machine]) -> None:
    first, second, _ = [machine.lease() for machine in machines]
    await first.renew()
    assert await looked(machines, 2, first, second) == [first]
    passes(machines, 600)

    assert not first.held
    assert not await second.renew()
    assert await first.renew()
    assert await looked(machines, 20, first, second) == [first]


@pytest.fixture
def silence() -> tuple[FailureDetector, Callable[[float], None]]:
    now = [1000.0]

    def passes(seconds: float) -> None:
        now[0] += seconds

    return FailureDetector(30.0, lambda: now[0]), passes


async def test_silence_is_each_one_s_own(silence: tuple[FailureDetector, Callable[[float], None]]) -> None:
    look, passes = silence
    for beat in range(15):
        assert look.of({"alive": beat, "silent": 7}) == set()
        passes(2.0)

    assert look.of({"alive": 15, "silent": 7, "new": 7}) == {"silent"}
    assert look.of({"alive": 16, "silent": 8, "new": 7}) == set()
    passes(2.0)
    assert look.of({"alive": 17}) == set()
    assert look.of({"alive": 18, "silent": 8}) == set()
