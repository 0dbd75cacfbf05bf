# SPDX-License-Identifier: Apache-2.0
"""Who is asked about when a provider seems down: the relay to FCM's emulator, over real sockets."""

from collections.abc import AsyncIterator

import pytest

from emulators.fcm import Running, running
from httpclient.http1 import HttpClient
from models.db.tables.outbox import LaneKey
from push.base import VisibleText
from push.breaker import BreakerState
from push.providers.fcm import FcmProvider
from push.providers.fcm_auth import read_service_account
from push.relay import Relay
from tests.push.conftest import World

pytestmark = pytest.mark.anyio
FCM: LaneKey = ("fcm", "")
PROBE_SECONDS = 30


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


@pytest.fixture
async def relay(world: World, vendor: Running) -> AsyncIterator[Relay]:
    account = read_service_account(vendor.state.keys.service_account(vendor.state.token_url), base_url=vendor.url)
    provider = FcmProvider(account, HttpClient(), text=VisibleText("Title", "Text"), clock=vendor.state.clock.now)
    yield Relay(
        world.db, {FCM: provider}, bytes.decode, clock=world.clock, monotonic=world.clock.seconds, calls_at_once=1
    )
    await provider.close()


async def person_with(world: World, tokens: list[str], messages: int) -> None:
    receiver, sender = await world.person(), await world.person()
    for token in tokens:
        await world.device(receiver, token, provider="fcm")
    world.clock.passes(0.001)
    for _ in range(messages):
        await world.message(sender, receiver)


async def test_one_person_whose_devices_look_like_an_outage_delays_nobody_s_probe(
    world: World, vendor: Running, relay: Relay
) -> None:
    bad = [f"bad{number}" for number in range(3)]
    vendor.state.targets.update(dict.fromkeys(bad, "failing"))
    await person_with(world, bad, messages=200)
    while relay.breakers[FCM] is BreakerState.CLOSED:
        await relay.run_once()
        world.clock.passes(1)
    # They have waited for longer than those who come now, and are the first that are asked about.
    await person_with(world, ["good"], messages=3)
    await person_with(world, ["better"], messages=3)
    for _ in range(2):
        world.clock.passes(PROBE_SECONDS)
        await relay.run_once()
    assert relay.breakers[FCM] is BreakerState.CLOSED
    world.clock.passes(1)
    await relay.run_once()
    assert {token: len(items) for token, items in vendor.state.inbox.items()} == {"good": 3, "better": 3}
    assert set(await world.states()) == {"due", "delivered"}


async def test_who_is_passed_over_is_asked_about_in_turn(world: World, vendor: Running, relay: Relay) -> None:
    people = ["ann", "ben", "eve"]
    vendor.state.targets.update(dict.fromkeys(people, "failing"))
    for person in people:
        await person_with(world, [person], messages=50)
    while relay.breakers[FCM] is BreakerState.CLOSED:
        await relay.run_once()
        world.clock.passes(1)
    world.clock.passes(PROBE_SECONDS)
    before = [row[3] for row in await world.rows()]
    for _ in people:
        await relay.run_once()
        world.clock.passes(PROBE_SECONDS)
    after = [row[3] for row in await world.rows()]
    # Each person's rows were put off once: three probes, one of each.
    assert all(new > old for new, old in zip(after, before, strict=True))
    assert len(after) == 150
