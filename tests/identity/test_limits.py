# SPDX-License-Identifier: Apache-2.0
"""How often an address and an account may do what."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import RateLimited
from services.limits import Limits, Window, network
from tests.harness import running
from tests.identity.world import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _allowed(attempt: Callable[[], None], tries: int) -> int:
    allowed = 0
    for _ in range(tries):
        try:
            attempt()
        except RateLimited:
            continue
        allowed += 1
    return allowed


def test_an_address_has_its_rate_and_then_waits_for_the_window(clock: Clock) -> None:
    limits = Limits(per_address={"register": "3/minute"}, clock=clock.seconds)

    assert _allowed(lambda: limits.check("register", address="192.0.2.1"), 10) == 3
    assert _allowed(lambda: limits.check("register", address="192.0.2.2"), 10) == 3
    with pytest.raises(RateLimited) as refused:
        limits.check("register", address="192.0.2.1")

    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 60
    clock.pass_seconds(refused.value.retry_after)
    limits.check("register", address="192.0.2.1")


def test_an_account_has_its_rate_wherever_it_is(clock: Clock) -> None:
    limits = Limits(per_account={"send": "5/day"}, clock=clock.seconds)

    assert _allowed(lambda: limits.check("send", address=None, uid=7), 10) == 5
    limits.check("send", address=None, uid=8)
    with pytest.raises(RateLimited):
        limits.check("send", address="192.0.2.9", uid=7)


def test_a_class_without_a_name_counts_as_default(clock: Clock) -> None:
    limits = Limits(per_account={"default": "2/minute"}, clock=clock.seconds)
    limits.check("read", address=None, uid=7)
    limits.check("default", address=None, uid=7)

    with pytest.raises(RateLimited):
        limits.check("inbox", address=None, uid=7)


def test_loopback_is_counted_like_any_other(clock: Clock) -> None:
    limits = Limits(per_address={"register": "1/hour"}, clock=clock.seconds)
    limits.check("register", address="127.0.0.1")

    with pytest.raises(RateLimited):
        limits.check("register", address="127.0.0.1")


def test_switched_off_nothing_is_counted(clock: Clock) -> None:
    limits = Limits(per_address={"register": "1/hour"}, enabled=False, clock=clock.seconds)

    assert _allowed(lambda: limits.check("register", address="192.0.2.1", uid=7), 50) == 50
    assert _allowed(lambda: limits.count_failure("192.0.2.1", "ab" * 32), 1000) == 1000


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
    clock.pass_seconds(60)
    window.hit(5000)

    assert len(window._counts) == 1


@pytest.mark.parametrize("rate", ["", "often", "10", "10/fortnight"])
def test_a_rate_that_cannot_be_read_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match=r"parse|granularity"):
        Limits(per_address={"register": rate})


def test_who_is_nobody_and_what_computes_passwords_is_counted(tmp_path: Path) -> None:
    rates = {"per_address": {"default": "8/day", "login": "2/day"}, "per_account": {"password": "1/day"}}
    with running(tmp_path, {"limits": {"rates": rates}}) as server:
        ann = server.register("Ann")
        logins = [server.client.post("/v1/login", json={}).status_code for _ in range(3)]
        changes = [ann.request("PUT", path, json={}).status_code for path in ("/v1/me/password", "/v1/me/credentials")]
        assert (logins, changes) == ([422, 422, 429], [422, 429])
        session = ann.request("POST", "/v1/tokens").json()["access_token"]
        assert server.client.post("/v1/logout", headers={"Authorization": f"Bearer {session}"}).status_code == 204
        ended: list[dict[str, str]] = [{}, {"Authorization": f"Bearer {session}"}]
        codes = [server.client.get("/v1/me", headers=headers).status_code for headers in ended * 4]
        assert codes == [401] * 4 + [429] * 4
        assert ann.request("GET", "/v1/me").status_code == 429
        assert server.failures() == []
