# SPDX-License-Identifier: Apache-2.0
"""The GeTui provider against the emulator, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from emulators.getui import Running, running
from emulators.getui_rules import Keys
from emulators.http import Fault
from httpclient.http1 import HttpClient
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry, VisibleText
from push.providers.getui import GetuiProvider, Presence
from push.providers.getui_auth import GetuiCredentials, sign
from push.providers.getui_codes import outcome_of
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio
KEYS = Keys()


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


def provider_for(
    vendor: Running, keys: Keys = KEYS, *, seconds: float = PATIENCE, clock: Callable[[], int] | None = None
) -> GetuiProvider:
    credentials = GetuiCredentials(vendor.base_url, keys.app_id, keys.app_key, keys.master_secret)
    http = HttpClient(connect_seconds=PATIENCE, answer_seconds=seconds)
    return GetuiProvider(credentials, http, text=VisibleText("Title", "Text"), clock=clock or vendor.state.clock.now)


@pytest.fixture
async def getui(vendor: Running) -> AsyncIterator[GetuiProvider]:
    provider = provider_for(vendor)
    yield provider
    await provider.close()


def a_push(number: int = 0, token: str | None = None, payload: str = '{"message_id":1}') -> Push:
    return Push(token or f"cid{number}", payload, f"{number:032x}", 86_400, "ANDROID")


def received(vendor: Running) -> dict[str, int]:
    return {cid: len(items) for cid, items in vendor.state.inbox.items()}


def meet(vendor: Running, kind: str, times: int = 1, after: int = 0) -> None:
    vendor.state.faults.queue.append(Fault(kind, times, after))


def test_sign_is_the_documented_one() -> None:
    signed = sign("TESTAPPKEY0000000000AA", 1_700_000_000_000, "TESTMASTERSECRET000001")
    assert signed == "a32b0c2024cb697a4ba2b1129fe320e4f98254276de738ea84645a65a715055a"


async def test_single_push_arrives_as_transmission_with_visible_fallback(vendor: Running, getui: GetuiProvider) -> None:
    assert await getui.send([a_push(7)]) == [Delivered()]
    [item] = vendor.state.inbox["cid7"]
    assert item["transmission"] == '{"message_id":1}'
    assert item["request_id"] == a_push(7).dedupe_id
    assert item["ttl"] == 86_400_000
    assert item["push_channel"]["ios"]["aps"]["alert"] == {"title": "Title", "body": "Text"}
    shown = {"title": "Title", "body": "Text", "click_type": "startapp"}
    assert item["push_channel"]["android"]["ups"]["notification"] == shown
    assert item["push_channel"]["harmony"] == {"notification": shown}
    assert vendor.state.violations == []


async def test_ttl_is_capped_at_three_days(vendor: Running, getui: GetuiProvider) -> None:
    assert await getui.send([Push("c", "{}", "0" * 32, 10**9)]) == [Delivered()]
    assert vendor.state.inbox["c"][0]["ttl"] == 259_200_000


async def test_two_hundred_leave_in_one_call(vendor: Running, getui: GetuiProvider) -> None:
    assert await getui.send([a_push(n) for n in range(200)]) == [Delivered()] * 200
    assert vendor.state.calls == {"auth": 1, "push/single/batch/cid": 1}
    assert received(vendor) == {f"cid{n}": 1 for n in range(200)}


async def test_states_of_targets_become_outcomes_in_order(vendor: Running, getui: GetuiProvider) -> None:
    vendor.state.cids.update(cid1="offline", cid2="stale", cid3="dead")
    outcomes = await getui.send([a_push(n) for n in range(5)])
    dead = Gone("target user is invalid")
    assert outcomes == [Delivered(), Delivered(), Delivered(stale=True), dead, Delivered()]


async def test_dead_target_fails_nobody_else_in_its_batch(vendor: Running, getui: GetuiProvider) -> None:
    vendor.state.cids["cid77"] = "dead"
    outcomes = await getui.send([a_push(n) for n in range(200)])
    assert [n for n, outcome in enumerate(outcomes) if outcome != Delivered()] == [77]
    assert received(vendor) == {f"cid{n}": 1 for n in range(200) if n != 77}
    assert {item["request_id"] for items in vendor.state.inbox.values() for item in items} == {
        a_push(n).dedupe_id for n in range(200) if n != 77
    }
    assert not vendor.state.repeated
    assert vendor.state.calls["push/single/batch/cid"] + vendor.state.calls["push/single/cid"] <= 17


async def test_target_that_a_batch_answer_leaves_out_is_asked_for_alone(vendor: Running, getui: GetuiProvider) -> None:
    vendor.state.cids["cid1"] = "dead"
    vendor.state.leave_out_dead = True
    assert await getui.send([a_push(n) for n in range(3)]) == [
        Delivered(),
        Gone("target user is invalid"),
        Delivered(),
    ]
    assert vendor.state.calls["push/single/cid"] == 1


async def test_two_messages_for_one_target_in_one_batch_both_arrive(vendor: Running, getui: GetuiProvider) -> None:
    assert await getui.send([a_push(1, "same"), a_push(2, "same")]) == [Delivered()] * 2
    assert received(vendor) == {"same": 2}


async def test_payload_too_long_is_rejected_and_the_rest_go(vendor: Running, getui: GetuiProvider) -> None:
    outcomes = await getui.send([a_push(1, payload="x" * 3073), a_push(2, payload="x" * 3072)])
    assert outcomes == [Rejected("payload over 3072 characters"), Delivered()]
    assert received(vendor) == {"cid2": 1}


async def test_refused_token_is_renewed_once_and_the_message_sent_again(vendor: Running, getui: GetuiProvider) -> None:
    await getui.send([a_push(1)])
    meet(vendor, "10001")
    assert await getui.send([a_push(2)]) == [Delivered()]
    assert received(vendor) == {"cid1": 1, "cid2": 1}
    assert vendor.state.calls["auth"] == 2


async def test_concurrent_senders_renew_the_token_once(vendor: Running, getui: GetuiProvider) -> None:
    await getui.send([a_push(0)])
    vendor.state.tokens.clear()
    outcomes = await asyncio.gather(*(getui.send([a_push(n)]) for n in range(1, 41)))
    assert outcomes == [[Delivered()]] * 40
    assert vendor.state.calls["auth"] == 2
    assert received(vendor) == {f"cid{n}": 1 for n in range(41)}


async def test_storm_of_401_is_a_fault_of_the_provider_and_of_no_token(vendor: Running, getui: GetuiProvider) -> None:
    meet(vendor, "10001", times=1000)
    for number in range(5):
        [outcome] = await getui.send([a_push(number)])
        assert outcome == Retry("10001: token refused twice")
    outcomes = await getui.send([a_push(n) for n in range(20)])
    assert outcomes == [Retry("10001: token refused twice")] * 20
    assert received(vendor) == {}


async def test_token_is_renewed_an_hour_before_its_end(vendor: Running, getui: GetuiProvider) -> None:
    await getui.send([a_push(1)])
    vendor.state.clock.ahead_ms += 22 * 3_600_000
    await getui.send([a_push(2)])
    assert vendor.state.calls["auth"] == 1
    vendor.state.clock.ahead_ms += 3_600_000
    await getui.send([a_push(3)])
    assert vendor.state.calls["auth"] == 2
    assert vendor.state.violations == []


async def test_token_that_ended_by_the_vendors_clock_alone_is_renewed_and_the_push_sent(vendor: Running) -> None:
    provider = provider_for(vendor, clock=lambda: time.time_ns() // 1_000_000)
    assert await provider.send([a_push(1)]) == [Delivered()]
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        await http.post(f"{vendor.url}/__clock", json={"advance_ms": 86_400_000})
    assert await provider.send([a_push(2)]) == [Delivered()]
    assert (received(vendor), vendor.state.calls["auth"]) == ({"cid1": 1, "cid2": 1}, 2)
    await provider.close()


async def test_wrong_secret_is_retried_and_does_not_hammer_the_vendor(vendor: Running) -> None:
    provider = provider_for(vendor, Keys(master_secret="wrong"))
    outcomes = await asyncio.gather(*(provider.send([a_push(n)]) for n in range(30)))
    assert outcomes == [[Retry("auth: refused, code 20001")]] * 30
    assert vendor.state.calls["auth"] == 1
    await provider.close()


async def test_clock_that_was_wrong_and_set_back_holds_up_nothing(vendor: Running) -> None:
    ahead = 365 * 86_400_000
    provider = provider_for(vendor, clock=lambda: vendor.state.clock.now() + ahead)
    assert await provider.send([a_push()]) == [Retry("auth: refused, code 20001")]
    ahead = 0
    assert await provider.send([a_push()]) == [Delivered()]
    await provider.close()


async def test_token_at_hand_serves_while_nobody_can_sign_in(vendor: Running, getui: GetuiProvider) -> None:
    assert await getui.send([a_push(1)]) == [Delivered()]
    vendor.state.clock.ahead_ms += 23 * 3_600_000 + 60_000
    vendor.state.auth_times.extend([vendor.state.clock.now()] * 100)
    for number in (2, 3):
        assert await getui.send([a_push(number)]) == [Delivered()]
    vendor.state.clock.ahead_ms += 3_600_000
    vendor.state.auth_times.extend([vendor.state.clock.now()] * 100)
    assert await getui.send([a_push(4)]) == [Retry("auth: per-minute limit", after=60)]


async def test_auth_limit_asks_for_a_minute(vendor: Running, getui: GetuiProvider) -> None:
    vendor.state.auth_times.extend([vendor.state.clock.now()] * 100)
    assert await getui.send([a_push(1)]) == [Retry("auth: per-minute limit", after=60.0)]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("10005", Retry("10005: per-minute limit", after=60.0)),
        ("30019", Retry("30019: temporary")),
        ("502", Retry("HTTP 502 without a code")),
        ("truncated", Retry("HTTP 200 without a code")),
        ("redirect", Retry("HTTP 302 without a code")),
        ("huge", Retry("answer too large")),
        ("reset_before", Retry("connection broken")),
        ("20001", Rejected("20001: parameter is invalid")),
    ],
)
async def test_fault_becomes_an_outcome(vendor: Running, getui: GetuiProvider, kind: str, outcome: Outcome) -> None:
    meet(vendor, kind)
    assert await getui.send([a_push(1)]) == [outcome]
    assert await getui.send([a_push(1)]) == [Delivered()]


@pytest.mark.parametrize("kind", ["502", "10005", "30019", "reset_after", "truncated"])
async def test_fault_of_the_provider_fails_a_batch_whole_and_it_arrives_once(
    vendor: Running, getui: GetuiProvider, kind: str
) -> None:
    meet(vendor, kind)
    pushes = [a_push(n) for n in range(10)]
    first = await getui.send(pushes)
    assert all(isinstance(outcome, Retry) for outcome in first)
    assert sum(vendor.state.calls[call] for call in ("push/single/batch/cid", "push/single/cid")) <= 1
    assert await getui.send(pushes) == [Delivered()] * 10
    assert received(vendor) == {f"cid{n}": 1 for n in range(10)}


@pytest.mark.parametrize(("kind", "arrived"), [("hang_before", {}), ("hang_after", {"cid1": 1}), ("drip", {"cid1": 1})])
async def test_slow_answer_is_cut_off_and_the_retry_shows_nothing_twice(
    vendor: Running, kind: str, arrived: dict[str, int]
) -> None:
    provider = provider_for(vendor, seconds=1)
    meet(vendor, kind)
    assert await provider.send([a_push(1)]) == [Retry("timed out")]
    assert received(vendor) == arrived
    assert await provider.send([a_push(1)]) == [Delivered()]
    assert received(vendor) == {"cid1": 1}
    await provider.close()


async def test_nobody_listening_is_retried() -> None:
    async with running() as vendor:
        provider = provider_for(vendor)
    assert await provider.send([a_push(1)]) == [Retry("auth: cannot connect")]
    await provider.close()


@pytest.mark.parametrize("code", [301, 404, 405, 10002, 10004, 30000, 30003, 30017, 2, 30019, 99999])
def test_what_speaks_of_us_or_the_vendor_is_retried_and_counts_as_a_fault(code: int) -> None:
    outcome = outcome_of(code, "target user is invalid", 0)
    assert isinstance(outcome, Retry)
    assert outcome.provider_fault


@pytest.mark.parametrize("code", [30012, 30013, 30014, 30015, 30018, 10003, 10005])
def test_minute_limits_ask_for_a_minute(code: int) -> None:
    outcome = outcome_of(code, "", 0)
    assert isinstance(outcome, Retry)
    assert outcome.after == 60


@pytest.mark.parametrize("code", [30004, 30006, 30007, 30008, 30009, 30010, 30011])
def test_daily_quota_asks_for_the_vendors_midnight(code: int) -> None:
    fifteen_utc = 15 * 3_600_000
    outcome = outcome_of(code, "", fifteen_utc)
    assert isinstance(outcome, Retry)
    assert outcome.after == 3600


@pytest.mark.parametrize(
    "message", ["target user is invalid", "Target User Is Invalid!", "push: target user is invalid"]
)
@pytest.mark.parametrize("code", [20001, 21001])
def test_only_the_vendors_words_end_a_device(code: int, message: str) -> None:
    assert isinstance(outcome_of(code, message, 0), Gone)
    assert isinstance(outcome_of(code, "appid not match cid", 0), Rejected)


@pytest.mark.parametrize("code", [1, 30005, 30016])
def test_bad_message_is_rejected(code: int) -> None:
    assert isinstance(outcome_of(code, "target user is invalid", 0), Rejected)


async def test_reason_names_no_target(vendor: Running, getui: GetuiProvider) -> None:
    vendor.state.strict = True
    bad = Push("cidSECRET", "", "0" * 32, 60)
    [outcome] = await getui.send([bad])
    assert isinstance(outcome, Rejected)
    assert "SECRET" not in outcome.reason


async def test_presence_of_a_target(vendor: Running, getui: GetuiProvider) -> None:
    vendor.state.clock.ahead_ms += 22 * 3_600_000
    vendor.state.cids.update({"here": "online", "a/b?c": "stale", "none": "dead"})
    found = await getui.presence("here")
    assert isinstance(found, Presence)
    assert found.online
    found = await getui.presence("a/b?c")
    assert isinstance(found, Presence)
    assert not found.online
    days = (vendor.state.clock.now() - found.last_login_at) / 86_400_000
    assert 99.9 < days < 100.1
    assert await getui.presence("none") == Rejected("it says nothing of this target")
    assert vendor.state.violations == []


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("10005", Retry("10005: per-minute limit", after=60.0)), ("502", Retry("HTTP 502 without a code"))],
)
async def test_presence_meets_faults_as_a_push_does(
    vendor: Running, getui: GetuiProvider, kind: str, outcome: Outcome
) -> None:
    meet(vendor, kind)
    assert await getui.presence("here") == outcome
