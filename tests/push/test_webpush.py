# SPDX-License-Identifier: Apache-2.0
"""The Web Push provider against the emulator, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from emulators.http import Fault
from emulators.webpush import Running, running
from httpclient.http1 import HttpClient
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry
from push.providers.blame import FEW
from push.providers.per_host_breaker import MASS_NOT_FOUND
from push.providers.webpush import WebpushProvider
from push.providers.webpush_vapid import VapidKey, new_key
from tests.support import PATIENCE
from tests.support.clock import Clock
from tests.support.scripted import SHARES

pytestmark = pytest.mark.anyio
KEY = new_key()


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


def provider_for(
    vendor: Running, *, key: VapidKey = KEY, subject: str = "mailto:ops@example.org", seconds: float = PATIENCE
) -> WebpushProvider:
    http = HttpClient(connect_seconds=PATIENCE, answer_seconds=seconds)
    return WebpushProvider(key, http, SHARES, subject=subject, clock=vendor.state.clock.now)


@pytest.fixture
async def webpush(vendor: Running) -> AsyncIterator[WebpushProvider]:
    provider = provider_for(vendor)
    yield provider
    await provider.close()


def a_push(token: Any, number: int = 1, payload: str = '{"message_id":1}', ttl: int = 86_400) -> Push:
    return Push(json.dumps(token), payload, f"{number:032x}", ttl, "WEB")


def meet(vendor: Running, kind: str, times: int = 1) -> None:
    vendor.state.faults.queue.append(Fault(kind, times))


async def test_push_arrives_and_only_the_browser_reads_it(vendor: Running, webpush: WebpushProvider) -> None:
    name, token = vendor.subscribe(KEY.public)
    other, other_token = vendor.subscribe()
    longest = json.dumps("é" * 1994 + "xxx", ensure_ascii=False)
    pushes = [a_push(token), a_push(other_token, 2, longest, ttl=10**9)]
    assert await webpush.send(pushes) == [Delivered()] * 2
    [item] = vendor.state.inbox[name]
    assert {key: item[key] for key in ("text", "topic", "ttl", "urgency")} == {
        "text": '{"message_id":1}',
        "topic": f"{1:032x}",
        "ttl": 86_400,
        "urgency": "high",
    }
    [item] = vendor.state.inbox[other]
    assert (item["text"], item["ttl"], item["bytes"]) == (longest, 2_592_000, 4096)
    assert vendor.state.violations == []


async def test_payload_too_long_is_rejected_and_the_rest_go(vendor: Running, webpush: WebpushProvider) -> None:
    _, token = vendor.subscribe()
    outcomes = await webpush.send([a_push(token, payload="x" * 3994), a_push(token)])
    assert outcomes == [Rejected("payload over 3993 bytes"), Delivered()]
    assert vendor.state.calls["push"] == 1


@pytest.mark.parametrize(
    ("state", "outcome"), [("gone", Gone("HTTP 410")), ("unknown", Gone("HTTP 404")), ("offline", Delivered())]
)
async def test_state_of_a_subscription_is_its_outcome_and_no_others(
    vendor: Running, webpush: WebpushProvider, state: str, outcome: Outcome
) -> None:
    name, token = vendor.subscribe()
    _, living = vendor.subscribe()
    vendor.state.set_state(name, state)
    assert await webpush.send([a_push(token), a_push(living, 2)]) == [outcome, Delivered()]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("400", Rejected("HTTP 400")),
        ("401", Retry("HTTP 401: our key was refused", provider_fault=False)),
        ("403", Retry("HTTP 403: our key was refused", provider_fault=False)),
        ("404", Gone("HTTP 404")),
        ("406", Retry("HTTP 406", after=120.0, provider_fault=False)),
        ("410", Gone("HTTP 410")),
        ("413", Rejected("HTTP 413")),
        ("429", Retry("HTTP 429", after=120.0, provider_fault=False)),
        ("500", Retry("HTTP 500", provider_fault=False)),
        ("502", Retry("HTTP 502", provider_fault=False)),
        ("503", Retry("HTTP 503", after=120.0, provider_fault=False)),
        ("redirect", Retry("HTTP 302", provider_fault=False)),
        ("huge", Retry("answer too large", provider_fault=False)),
        ("reset_before", Retry("connection broken", provider_fault=False)),
    ],
)
async def test_fault_becomes_an_outcome(vendor: Running, webpush: WebpushProvider, kind: str, outcome: Outcome) -> None:
    name, token = vendor.subscribe()
    meet(vendor, kind)
    assert await webpush.send([a_push(token)]) == [outcome]
    assert name not in vendor.state.inbox
    assert await webpush.send([a_push(token)]) == [Delivered()]


@pytest.mark.parametrize(("kind", "arrived"), [("hang_before", 0), ("hang_after", 1), ("reset_after", 1)])
async def test_lost_answer_is_retried_under_the_same_topic(
    vendor: Running, webpush: WebpushProvider, kind: str, arrived: int
) -> None:
    impatient = provider_for(vendor, seconds=1)
    name, token = vendor.subscribe()
    vendor.state.set_state(name, "offline")
    meet(vendor, kind)
    [outcome] = await impatient.send([a_push(token)])
    await impatient.close()
    assert isinstance(outcome, Retry)
    assert not outcome.provider_fault
    assert len(vendor.state.inbox.get(name, [])) == arrived
    assert await webpush.send([a_push(token)]) == [Delivered()]
    assert len(vendor.state.inbox[name]) == 1, "the topic replaces what still waits"


async def test_storm_of_401_is_a_fault_of_the_provider_and_of_no_token(
    vendor: Running, webpush: WebpushProvider
) -> None:
    tokens = [vendor.subscribe()[1] for _ in range(30)]
    meet(vendor, "401", times=100)
    outcomes = [(await webpush.send([a_push(token, number)]))[0] for number, token in enumerate(tokens)]
    assert outcomes[FEW:] == [Retry("HTTP 401: our key was refused")] * (30 - FEW)


async def test_refusal_is_the_subscriptions_fault_where_others_take_our_key(
    vendor: Running, webpush: WebpushProvider
) -> None:
    """Else anyone could pause everybody's pushes with subscriptions of another application."""
    of_another = [vendor.subscribe(new_key().public)[1] for _ in range(FEW + 5)]
    _, token = vendor.subscribe(KEY.public)
    refused = "HTTP 403: our key was refused"
    assert await webpush.send([a_push(token, 2)]) == [Delivered()]
    for one in of_another:
        assert await webpush.send([a_push(one)]) == [Retry(refused, provider_fault=False)]
    vendor.state.clock.ahead_ms += 3_700_000
    assert await webpush.send([a_push(one)]) == [Retry(refused)]


async def test_missing_subject_is_told_by_the_push_service(vendor: Running) -> None:
    provider = provider_for(vendor, subject="")
    _, token = vendor.subscribe()
    assert await provider.send([a_push(token)]) == [Retry("HTTP 401: our key was refused", provider_fault=False)]
    assert "push.webpush.subject" in vendor.state.violations[0]
    vendor.state.require_subject = False
    assert await provider.send([a_push(token)]) == [Delivered()]
    await provider.close()


async def test_vapid_token_is_renewed_before_the_service_refuses_it(vendor: Running, webpush: WebpushProvider) -> None:
    _, token = vendor.subscribe()
    for number in range(4):
        assert await webpush.send([a_push(token, number)]) == [Delivered()]
        vendor.state.clock.ahead_ms += 11 * 3_600_000
    assert vendor.state.violations == []


async def test_host_that_is_down_is_paused_and_the_others_are_not(vendor: Running, webpush: WebpushProvider) -> None:
    _, living = vendor.subscribe()
    async with running() as down:
        _, token = down.subscribe()
        meet(down, "500", times=5)
        for number in range(5):
            assert await webpush.send([a_push(token, number)]) == [Retry("HTTP 500", provider_fault=False)]
        [paused, taken] = await webpush.send([a_push(token), a_push(living)])
        assert isinstance(paused, Retry)
        assert (paused.reason, paused.provider_fault, taken) == ("host paused: HTTP 500", False, Delivered())
        assert 0 < (paused.after or 0) <= 30
        assert not paused.costs_attempt
        assert down.state.calls["push"] == 5
        vendor.state.clock.ahead_ms += 30_000
        meet(down, "500")
        probe = Retry("HTTP 500", after=30.0, provider_fault=False, costs_attempt=False)
        assert await webpush.send([a_push(token)]) == [probe]
        vendor.state.clock.ahead_ms += 30_000
        assert await webpush.send([a_push(token)]) == [Delivered()]
        assert await webpush.send([a_push(token, 2)]) == [Delivered()]


async def test_host_that_has_lost_everybody_ends_no_more_devices(vendor: Running, webpush: WebpushProvider) -> None:
    _, token = vendor.subscribe()
    meet(vendor, "404", times=MASS_NOT_FOUND + 10)
    outcomes = [(await webpush.send([a_push(token, number)]))[0] for number in range(MASS_NOT_FOUND + 10)]
    assert outcomes[:MASS_NOT_FOUND] == [Gone("HTTP 404")] * MASS_NOT_FOUND
    assert outcomes[MASS_NOT_FOUND:] == [Retry("HTTP 404 for everybody", provider_fault=False)] * 10
    assert await webpush.send([a_push(token)]) == [Delivered()]
    meet(vendor, "404")
    assert await webpush.send([a_push(token)]) == [Gone("HTTP 404")]


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": {}},
        {"keys": {"p256dh": "BA" + "A" * 85, "auth": "A" * 22}},
        {"endpoint": None},
        {"endpoint": "mailto:SECRET"},
        {"endpoint": "https://SECRET:port/"},
        {"endpoint": "https://push.example/\ud800SECRET"},
    ],
)
async def test_old_row_with_a_bad_token_is_rejected_and_the_rest_go(
    vendor: Running, webpush: WebpushProvider, changes: dict[str, Any]
) -> None:
    _, token = vendor.subscribe()
    [outcome, taken] = await webpush.send([a_push(token | changes), a_push(token)])
    assert (type(outcome), taken) == (Rejected, Delivered())
    assert "SECRET" not in repr(outcome)
    assert vendor.state.calls["push"] == 1


async def test_parallel_sends_share_one_token_and_no_outcome(vendor: Running, webpush: WebpushProvider) -> None:
    subscriptions = [vendor.subscribe() for _ in range(40)]
    vendor.state.set_state(subscriptions[7][0], "gone")
    sends = (webpush.send([a_push(token, number)]) for number, (_, token) in enumerate(subscriptions))
    outcomes = [outcome for [outcome] in await asyncio.gather(*sends)]
    assert [number for number, outcome in enumerate(outcomes) if outcome != Delivered()] == [7]


async def test_nobody_listening_is_no_fault_of_the_provider() -> None:
    async with running() as vendor:
        _, token = vendor.subscribe()
        provider = WebpushProvider(KEY, HttpClient(), SHARES, clock=Clock())
    assert await provider.send([a_push(token)]) == [Retry("cannot connect", provider_fault=False)]
    await provider.close()
