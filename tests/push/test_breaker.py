# SPDX-License-Identifier: Apache-2.0
"""The breaker and the backoff, by the clock."""

import pytest

from push import backoff
from push.breaker import PROBE_MS, Breaker, BreakerState


def failing(count: int) -> Breaker:
    breaker = Breaker()
    for _ in range(count):
        assert breaker.permits(0)
        breaker.record(failed=True, now=0)
    return breaker


def test_five_faults_in_a_row_open_it() -> None:
    assert failing(4).state is BreakerState.CLOSED
    assert failing(5).state is BreakerState.OPEN
    assert not failing(5).permits(PROBE_MS - 1)


def test_half_of_twenty_calls_open_it() -> None:
    breaker = Breaker()
    states = []
    for number in range(20):
        breaker.record(failed=number % 2 == 1, now=0)
        states.append(breaker.state)
    assert states == [BreakerState.CLOSED] * 19 + [BreakerState.OPEN]


def test_less_than_half_never_opens_it() -> None:
    breaker = Breaker()
    for number in range(300):
        breaker.record(failed=number % 5 in {1, 3}, now=0)
    assert breaker.state is BreakerState.CLOSED


def test_one_probe_per_half_minute_until_one_succeeds() -> None:
    breaker = failing(5)
    assert breaker.permits(PROBE_MS)
    assert not breaker.permits(PROBE_MS + 1)
    breaker.record(failed=True, now=PROBE_MS + 5)
    assert not breaker.permits(2 * PROBE_MS)
    assert breaker.permits(2 * PROBE_MS + 5)
    breaker.record(failed=False, now=2 * PROBE_MS + 6)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.permits(2 * PROBE_MS + 7)
    assert breaker.permits(2 * PROBE_MS + 7)


def test_probe_that_never_answers_is_followed_by_another() -> None:
    breaker = failing(5)
    assert breaker.permits(PROBE_MS)
    assert breaker.permits(2 * PROBE_MS)


def test_answer_to_a_call_from_before_does_not_close_it() -> None:
    breaker = failing(5)
    breaker.record(failed=False, now=1)
    assert breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(("tries", "ceiling"), [(1, 1), (2, 2), (5, 16), (12, 2048), (13, 3600), (10_000, 3600)])
def test_backoff_doubles_to_an_hour_with_full_jitter(tries: int, ceiling: float) -> None:
    drawn = [backoff.delay(tries) for _ in range(2000)]
    assert 0 <= min(drawn) < ceiling * 0.05
    assert ceiling * 0.95 < max(drawn) <= ceiling


def test_backoff_waits_at_least_what_is_asked_up_to_a_day() -> None:
    assert 60 <= backoff.delay(1, after=60) <= 61
    assert backoff.delay(1, after=1e308) <= 86_401
    assert 0 <= backoff.delay(1, after=-5) <= 1
