# SPDX-License-Identifier: Apache-2.0
"""How often an address and an account may do what: by one process, and by several over one database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from models.db.database import Database, DatabaseError, T, Unit
from models.errors import RateLimited
from models.keys import new_key_ring
from services.limits import IN_DATABASE, Limits, Window, network
from tests.support import shipped
from tests.support.clock import Clock
from tests.support.engines import Engine
from tests.support.interposed import Interposed

pytestmark = pytest.mark.anyio

KEYS = new_key_ring()
SUBJECT = "ab" * 32


class Written(Interposed):
    """Tells how often it was written to."""

    writes = 0

    async def write(self, unit: Unit[T]) -> T:
        self.writes += 1
        return await super().write(unit)


Process = Callable[..., Limits]
"""Makes the limits of one more process on the test's database, by the test's clock or another."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def db(engine: Engine, anyio_backend: str) -> AsyncIterator[Written]:
    assert anyio_backend == "asyncio"
    real = await engine.open()
    yield Written(real)
    await real.close()


@pytest.fixture
def process(db: Database, clock: Clock) -> Process:
    def make(
        *,
        per_address: Mapping[str, str] | None = None,
        per_account: Mapping[str, str] | None = None,
        clock: Clock = clock,
        **others: Any,
    ) -> Limits:
        allowed = shipped.rates(per_address=per_address, per_account=per_account)
        return Limits(db=db, keys=KEYS, clock=clock, monotonic=clock.seconds, **allowed, **others)

    return make


async def _allowed(attempt: Callable[[], Awaitable[object]], tries: int) -> int:
    allowed = 0
    for _ in range(tries):
        try:
            await attempt()
        except RateLimited:
            continue
        allowed += 1
    return allowed


@pytest.mark.parametrize("name", ["register", "default"])
async def test_an_address_has_its_rate_and_then_waits_for_the_window(process: Process, clock: Clock, name: str) -> None:
    limits = process(per_address={name: "3/minute"})
    clock.passes(17)

    assert await _allowed(lambda: limits.check(name, address="192.0.2.1"), 10) == 3
    assert await _allowed(lambda: limits.check(name, address="192.0.2.2"), 10) == 3
    with pytest.raises(RateLimited) as refused:
        await limits.check(name, address="192.0.2.1")

    assert refused.value.retry_after == 60 - 17
    clock.passes(refused.value.retry_after)
    await limits.check(name, address="192.0.2.1")


@pytest.mark.parametrize("name", ["send", "password"])
async def test_an_account_has_its_rate_wherever_it_is(process: Process, name: str) -> None:
    limits = process(per_account={name: "5/day"})

    assert await _allowed(lambda: limits.check(name, address=None, uid=7), 10) == 5
    await limits.check(name, address=None, uid=8)
    with pytest.raises(RateLimited):
        await limits.check(name, address="192.0.2.9", uid=7)


async def test_a_class_without_a_name_counts_as_default(process: Process) -> None:
    limits = process(per_account={"default": "2/minute"})
    await limits.check("read", address=None, uid=7)
    await limits.check("default", address=None, uid=7)

    with pytest.raises(RateLimited):
        await limits.check("inbox", address=None, uid=7)


async def test_loopback_is_counted_like_any_other(process: Process) -> None:
    limits = process(per_address={"register": "1/hour"})
    await limits.check("register", address="127.0.0.1")

    with pytest.raises(RateLimited):
        await limits.check("register", address="127.0.0.1")


async def test_switched_off_nothing_is_counted(process: Process, db: Written) -> None:
    limits = process(per_address={"register": "1/hour"}, enabled=False)

    assert await _allowed(lambda: limits.check("register", address="192.0.2.1", uid=7), 50) == 50
    assert await _allowed(lambda: limits.count_failure("192.0.2.1", SUBJECT), 1000) == 1000
    await limits.forgive(await limits.count_failure("192.0.2.1", SUBJECT))
    assert db.writes == 0


@pytest.mark.parametrize("name", sorted(IN_DATABASE - {"login_failure"}))
async def test_processes_share_what_is_counted_in_the_database(process: Process, name: str) -> None:
    first, second, *_ = several = [process(per_address={name: "5/hour"}) for _ in range(2)]
    await first.check(name, address="192.0.2.1")
    await second.check(name, address="192.0.2.1")

    left = [await _allowed(lambda: limits.check(name, address="192.0.2.1"), 10) for limits in several]  # noqa: B023
    assert left == [3, 0]
    restarted = process(per_address={name: "5/hour"})
    assert await _allowed(lambda: restarted.check(name, address="192.0.2.1"), 10) == 0
    assert await _allowed(lambda: restarted.check(name, address="192.0.2.2"), 10) == 5


async def test_processes_share_numbers_and_devices(process: Process) -> None:
    first, second = process(), process()
    for _ in range(15):
        for limits in (first, second):
            await limits.check_phone("register", SUBJECT, address="192.0.2.1")
    for _ in range(5):
        for limits in (first, second):
            await limits.check_device("test_push", 7)

    for limits in (first, second):
        with pytest.raises(RateLimited):
            await limits.check_phone("register", SUBJECT, address="192.0.2.1")
        with pytest.raises(RateLimited):
            await limits.check_device("test_push", 7)
        await limits.check_phone("register", SUBJECT, address="192.0.2.2")
        await limits.check_device("test_push", 8)


async def test_of_a_hundred_guesses_at_once_no_more_are_let_through_than_the_rate(process: Process) -> None:
    processes = [process(per_account={"login_failure": "10/hour"}) for _ in range(2)]
    guesses = (limits.count_failure("192.0.2.1", SUBJECT) for limits in processes * 50)
    ended = await asyncio.gather(*guesses, return_exceptions=True)

    assert sum(not isinstance(guess, BaseException) for guess in ended) == 10
    assert all(isinstance(guess, RateLimited) for guess in ended if isinstance(guess, BaseException))


async def test_clocks_that_are_minutes_apart_share_the_windows_of_an_hour(process: Process, clock: Clock) -> None:
    ahead = Clock()
    ahead.now = clock.now + 7 * 60 * 1000
    first, second = (process(per_address={"code": "6/hour"}, clock=each) for each in (clock, ahead))
    for _ in range(3):
        await first.check("code", address="192.0.2.1")
        await second.check("code", address="192.0.2.1")

    for limits in (first, second):
        with pytest.raises(RateLimited):
            await limits.check("code", address="192.0.2.1")


async def test_who_is_refused_asks_nothing_more_of_the_database_until_the_window_ends(
    process: Process, clock: Clock, db: Written
) -> None:
    limits = process(per_account={"login_failure": "5/hour"}, per_address={"login_failure": "20/hour"})
    assert await _allowed(lambda: limits.count_failure("192.0.2.1", SUBJECT), 1000) == 5
    assert db.writes == 21
    assert await _allowed(lambda: limits.count_failure("192.0.2.1", "cd" * 32), 1000) == 0
    assert db.writes == 21
    clock.passes(3600)
    assert await _allowed(lambda: limits.count_failure("192.0.2.1", SUBJECT), 1) == 1


async def test_what_is_forgiven_may_be_tried_again(process: Process) -> None:
    first, second = (process(per_account={"login_failure": "2/hour"}) for _ in range(2))
    await first.count_failure("192.0.2.1", SUBJECT)
    right = await first.count_failure("192.0.2.1", SUBJECT)
    assert await _allowed(lambda: first.count_failure("192.0.2.1", SUBJECT), 3) == 0

    await first.forgive(right)
    assert await _allowed(lambda: first.count_failure("192.0.2.1", SUBJECT), 3) == 1
    assert await _allowed(lambda: second.count_failure("192.0.2.1", SUBJECT), 3) == 0


async def test_the_next_window_is_not_credited_for_the_one_before(process: Process, clock: Clock) -> None:
    limits = process(per_account={"login_failure": "2/minute"})
    right = await limits.count_failure("192.0.2.1", SUBJECT)
    clock.passes(60)
    await limits.count_failure("192.0.2.1", SUBJECT)
    await limits.forgive(right)

    assert await _allowed(lambda: limits.count_failure("192.0.2.1", SUBJECT), 3) == 1


async def test_where_the_database_is_away_nobody_is_let_in(engine: Engine) -> None:
    away = await engine.open()
    await away.close()
    limits = Limits(db=away, keys=KEYS, **shipped.rates())

    for attempt in (
        lambda: limits.check("register", address="192.0.2.1"),
        lambda: limits.check_phone("test_number", SUBJECT),
        lambda: limits.count_failure("192.0.2.1", SUBJECT),
    ):
        with pytest.raises(DatabaseError):
            await attempt()
    await limits.check("default", address="192.0.2.1", uid=7)


@pytest.mark.parametrize(("rate", "each"), [("1000/day", 250), ("10/hour", 2), ("3/minute", 1)])
async def test_each_of_several_processes_has_its_share_of_what_it_counts_itself(
    process: Process, db: Written, rate: str, each: int
) -> None:
    processes = [process(per_account={"send": rate}, workers=4) for _ in range(4)]
    for limits in processes:
        assert await _allowed(lambda: limits.check("send", address=None, uid=7), each + 5) == each  # noqa: B023
    assert db.writes == 0


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:DB8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::1", "::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_an_ipv6_address_is_its_64(address: str, counted_as: str) -> None:
    assert network(address) == counted_as


def test_memory_is_bounded_and_the_oldest_is_forgotten(clock: Clock) -> None:
    window = Window("1/hour", clock.seconds, max_keys=100)
    for key in range(1000):
        assert window.hit(key) == 0

    assert len(window._counts) == 100
    assert window.hit(999) > 0
    assert window.hit(0) == 0


def test_an_ended_window_is_forgotten(clock: Clock) -> None:
    window = Window("1/minute", clock.seconds)
    for key in range(1000):
        window.hit(key)
    clock.passes(60)
    window.hit(5000)

    assert len(window._counts) == 1


@pytest.mark.parametrize("rate", ["", "often", "10", "10/fortnight"])
async def test_a_rate_that_cannot_be_read_is_refused(process: Process, rate: str) -> None:
    for name in ("register", "default"):
        with pytest.raises(ValueError, match="must be a number per period"):
            process(per_address={name: rate})
