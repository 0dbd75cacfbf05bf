# SPDX-License-Identifier: Apache-2.0
"""A test push: what each outcome is called, and when a device ends by it. Providers are scripted, all else is real."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from httpclient.endpoints import Endpoints
from models.db.database import Database
from models.db.tables import devices
from models.db.tables.devices import Device
from models.errors import NotFound
from models.ids import MAX_ID
from models.keys import new_key_ring
from models.paging import IdRange
from models.user import UserId
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry
from services.device_tokens import DeviceTokens
from services.devices import Devices
from services.limits import Limits
from tests.support import shipped
from tests.support.clock import Clock
from tests.support.engines import Engine
from tests.support.people import add_person
from tests.support.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio


@dataclass
class World:
    db: Database
    clock: Clock
    provider: ScriptedProvider
    uid: UserId
    devices: Devices

    async def register(self, token: str = "t", app: str = "") -> int:
        return await self.devices.register(self.uid, {"provider": "log", "app": app, "token": token})

    async def active(self) -> list[int]:
        return [device.device_id for device in await self.listed()]

    async def listed(self) -> Sequence[Device]:
        return (await self.devices.list_devices(self.uid, IdRange(0, MAX_ID, 200))).items


@pytest.fixture
async def world(engine: Engine, anyio_backend: str) -> AsyncIterator[World]:
    assert anyio_backend == "asyncio"
    db, clock, provider = await engine.open(), Clock(), ScriptedProvider()
    pairs = (("log", ""), ("log", "gone"))
    tokens = DeviceTokens(pairs, default_provider="log", endpoints=Endpoints())
    limits = Limits(db=db, keys=new_key_ring(), **shipped.rates())
    service = Devices(
        db=db, tokens=tokens, providers={pairs[0]: provider}, limits=limits, clock=clock, test_seconds=0.2
    )

    yield World(db, clock, provider, await db.write(partial(add_person, now=clock())), service)
    await db.close()


@pytest.mark.parametrize(
    ("outcome", "name", "reason"),
    [
        (Delivered(), "delivered", ""),
        (Delivered(stale=True), "delivered", "stale"),
        (Retry("HTTP 503"), "retry", "HTTP 503"),
        (Rejected("HTTP 400"), "rejected", "HTTP 400"),
        (Gone("HTTP 410"), "gone", "HTTP 410"),
    ],
)
async def test_each_outcome_has_its_name_and_only_a_dead_token_ends_its_device(
    world: World, outcome: Outcome, name: str, reason: str
) -> None:
    device_id = await world.register()
    world.clock.passes(1)
    world.provider.script = lambda _: outcome
    tested = await world.devices.test_push(world.uid, device_id)
    assert (tested.outcome, tested.provider, tested.reason) == (name, "log", reason)
    assert await world.active() == ([] if name == "gone" else [device_id])
    if name != "gone":
        [device] = await world.listed()
        assert (device.stale_at is not None) == (reason == "stale")
    [push] = world.provider.sent
    assert (push.token, push.payload) == ("t", '{"type":"test"}')


async def test_no_two_tests_have_the_same_dedupe_id(world: World) -> None:
    device_id = await world.register()
    for _ in range(2):
        await world.devices.test_push(world.uid, device_id)
    assert len({push.dedupe_id for push in world.provider.sent}) == 2


async def test_a_provider_that_hangs_or_raises_is_said_so(world: World) -> None:
    device_id = await world.register()

    async def hang(_: Sequence[Push]) -> None:
        await asyncio.Event().wait()

    async def fail(_: Sequence[Push]) -> None:
        raise KeyError("token t")

    world.provider.before = hang
    tested = await world.devices.test_push(world.uid, device_id)
    assert (tested.outcome, tested.reason) == ("retry", "no answer in time")
    world.provider.before = fail
    tested = await world.devices.test_push(world.uid, device_id)
    assert (tested.outcome, tested.reason) == ("rejected", "the server cannot make this push")
    assert await world.active() == [device_id]


async def test_a_provider_that_is_no_longer_configured_is_one_to_try_again(world: World) -> None:
    device_id = await world.register(app="gone")
    tested = await world.devices.test_push(world.uid, device_id)
    assert (tested.outcome, tested.reason) == ("retry", "provider not configured")
    assert await world.active() == [device_id]


@pytest.mark.parametrize("again", ["registered", "replaced", "replaced by the same"])
async def test_a_token_that_came_while_the_provider_was_asked_is_not_ended(world: World, again: str) -> None:
    device_id = await world.register()
    world.clock.passes(1)

    async def come_again(_: Sequence[Push]) -> None:
        world.clock.passes(0.001)
        if again == "registered":
            await world.register()
        else:
            token = "new" if again == "replaced" else "t"
            await world.devices.replace_token(world.uid, device_id, {"token": token})

    world.provider.before, world.provider.script = come_again, lambda _: Gone("HTTP 410")
    assert (await world.devices.test_push(world.uid, device_id)).outcome == "gone"
    assert await world.active() == [device_id]


@pytest.mark.parametrize(("died", "outcome"), [(-1, "retry"), (0, "retry"), (1, "gone")])
async def test_a_token_that_died_before_it_was_registered_lives(world: World, died: int, outcome: str) -> None:
    device_id = await world.register()
    at = world.clock() + died
    world.clock.passes(1)
    world.provider.script = lambda _: Gone("Unregistered", at=at)
    assert (await world.devices.test_push(world.uid, device_id)).outcome == outcome
    assert await world.active() == ([] if outcome == "gone" else [device_id])


async def test_a_device_that_has_ended_or_is_anothers_is_not_tested(world: World) -> None:
    device_id = await world.register()
    with pytest.raises(NotFound):
        await world.devices.test_push(UserId(world.uid + 1), device_id)
    await world.devices.end(world.uid, device_id)
    with pytest.raises(NotFound):
        await world.devices.test_push(world.uid, device_id)
    assert world.provider.calls == []


async def test_a_token_that_moves_takes_nothing_of_its_old_device_with_it(world: World) -> None:
    other = await world.db.write(partial(add_person, now=world.clock()))
    first = await world.register()
    second = await world.devices.register(other, {"token": "t"})
    assert second != first
    assert await world.active() == []
    assert await devices.find_address(world.db, uid=world.uid, device_id=first) is None
    third = await world.register()
    await world.devices.replace_token(world.uid, await world.register("u"), {"token": "t"})
    assert third not in await world.active()
    assert len(await world.active()) == 1
