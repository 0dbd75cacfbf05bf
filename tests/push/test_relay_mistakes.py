# SPDX-License-Identifier: Apache-2.0
"""Mistakes that push relays are known for, each made impossible: the relay to GeTui's emulator, over real sockets."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from emulators.getui import Running, running
from emulators.http import Fault
from httpclient.http1 import HttpClient
from models.db.database import Statement
from models.db.schema import devices
from push.base import Retry, VisibleText
from push.breaker import BreakerState
from push.providers.getui import GetuiProvider
from push.providers.getui_auth import GetuiCredentials
from push.relay import Relay
from tests.push.conftest import World

pytestmark = pytest.mark.anyio
GETUI = ("getui", "")
ENDED = Statement(select(devices.c.device_id).where(devices.c.ended_at.is_not(None)), bulk=True)


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


@pytest.fixture
async def relay(world: World, vendor: Running) -> AsyncIterator[Relay]:
    keys = vendor.state.keys
    options = {"XM": {"/extra.channel_id": "high"}, "HW": {"/message/android/urgency": "HIGH"}}
    credentials = GetuiCredentials(
        vendor.base_url, keys.app_id, keys.app_key, keys.master_secret, vendor_options=options
    )
    http = HttpClient(connect_seconds=2, answer_seconds=2)
    provider = GetuiProvider(credentials, http, text=VisibleText("Title", "Text"), clock=vendor.state.clock.now)
    yield Relay(world.db, {GETUI: provider}, bytes.decode, clock=world.clock, monotonic=world.clock.seconds)
    await provider.close()


def received(vendor: Running) -> Counter[str]:
    return Counter({cid: len(items) for cid, items in vendor.state.inbox.items()})


def cids(people: int) -> list[str]:
    """The tokens that a heap for so many people is for, its sender being the first person there is."""
    return [f"getui-{number + 2}-{number}" for number in range(people)]


async def settle(world: World, relay: Relay, rounds: int = 20) -> None:
    for _ in range(rounds):
        await relay.run_once()
        world.clock.passes(60)


@pytest.mark.parametrize("kind", ["reset_after", "hang_after"])
async def test_a_batch_whose_answer_is_lost_goes_again_and_shows_nothing_twice(
    world: World, vendor: Running, relay: Relay, kind: str
) -> None:
    vendor.state.faults.queue.append(Fault(kind))
    await world.heap(50, provider="getui")
    await relay.run_once()
    assert set(await world.states()) == {"due"}
    await settle(world, relay, 2)
    assert set(await world.states()) == {"delivered"}
    assert received(vendor) == dict.fromkeys(cids(50), 1)
    assert sum(vendor.state.repeated.values()) == 50


async def test_two_messages_to_one_device_in_one_batch_both_arrive(world: World, vendor: Running, relay: Relay) -> None:
    await world.heap(3, each=4, provider="getui")
    await relay.run_once()
    assert received(vendor) == dict.fromkeys(cids(3), 4)
    assert not vendor.state.repeated
    assert vendor.state.calls["push/single/batch/cid"] == 1
    [item, *_] = vendor.state.inbox[cids(1)[0]]
    assert item["push_channel"]["android"]["ups"]["options"]["XM"] == {"/extra.channel_id": "high"}


async def test_one_dead_device_fails_nobody_else_and_ends_alone(world: World, vendor: Running, relay: Relay) -> None:
    dead = cids(60)[33]
    vendor.state.cids[dead] = "dead"
    await world.heap(60, provider="getui")
    await relay.run_once()
    assert Counter(await world.states()) == {"delivered": 59, "dead": 1}
    assert received(vendor) == dict.fromkeys(set(cids(60)) - {dead}, 1)
    assert len(await world.db.read(ENDED)) == 1


@pytest.mark.parametrize("kind", ["10001", "10005", "30019", "502"])
async def test_an_hour_of_refusals_ends_no_device_and_loses_no_row(
    world: World, vendor: Running, relay: Relay, kind: str
) -> None:
    vendor.state.faults.queue.append(Fault(kind, times=10**6))
    await world.heap(40, provider="getui")
    await settle(world, relay, 60)
    assert relay.breakers[GETUI] is BreakerState.OPEN
    assert set(await world.states()) == {"due"}
    # The breaker, not each row, decides how often a vendor that refuses is asked.
    assert sum(vendor.state.calls.values()) <= 200
    vendor.state.faults.queue.clear()
    await settle(world, relay, 70)
    assert set(await world.states()) == {"delivered"}
    assert await world.db.read(ENDED) == []
    assert received(vendor) == dict.fromkeys(cids(40), 1)


async def test_a_retry_waits_in_the_database_and_not_in_a_sleeping_task(world: World) -> None:
    world.provider.script = lambda _: Retry("busy", after=3600, provider_fault=False)
    await world.heap(30)
    relay = world.relay()
    await relay.run_once()
    assert {row[:3] for row in await world.rows()} == {("due", 1, "busy")}
    assert min(row[3] for row in await world.rows()) >= world.clock() + 3_600_000
    # Whoever comes after a restart finds them.
    world.clock.passes(2 * 3600)
    world.provider.script = lambda _: Retry("busy", provider_fault=False)
    assert await world.relay().run_once() == 30
