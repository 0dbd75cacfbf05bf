# SPDX-License-Identifier: Apache-2.0
"""The running relay: slow providers, stopping, waking, a database that fails."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import pytest

from models.db.database import Busy, Row, Statement, Unit, Value
from push.base import Push
from push.relay import Relay
from tests.push.conftest import World
from tests.support import PATIENCE
from tests.support.interposed import Interposed
from tests.support.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio
T = TypeVar("T")


async def test_slow_provider_does_not_delay_the_rest(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "fast")
    await world.device(receiver, "slow", provider="slow")
    for _ in range(20):
        await world.message(sender, receiver)
    slow, released = ScriptedProvider("slow", batch_size=1), asyncio.Event()
    hanging, delivered = asyncio.Event(), asyncio.Event()

    async def hang(_: Sequence[Push]) -> None:
        if len(slow.calls) == 2:
            hanging.set()
        await released.wait()

    async def count(_: Sequence[Push]) -> None:
        if sum(len(call) for call in world.provider.calls) == 20:
            delivered.set()

    slow.before, world.provider.before = hang, count
    relay = world.relay(slow, calls_at_once=2, claim_limit=4, poll_seconds=0.01)
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(PATIENCE):
        await hanging.wait()
        await delivered.wait()
    assert len(slow.calls) == 2
    released.set()
    await relay.stop()
    await running
    assert sorted(await world.states())[:22] == ["delivered"] * 22
    assert set(await world.states()) == {"delivered", "due"}


async def test_rows_that_waited_too_long_for_a_slow_provider_are_put_back(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t")
    for _ in range(3):
        await world.message(sender, receiver)
    world.provider.batch_size = 1

    async def dawdle(_: Sequence[Push]) -> None:
        world.clock.passes(16)

    world.provider.before = dawdle
    await world.relay(calls_at_once=1).run_once()
    slow = ("due", 0, "provider slow")
    assert [row[:3] for row in await world.rows()] == [("delivered", 1, ""), slow, slow]


async def test_call_that_never_ends_is_cut_off_and_tried_again(world: World) -> None:
    await world.one_message()

    async def hang(_: Sequence[Push]) -> None:
        await asyncio.Event().wait()

    world.provider.before = hang
    await world.relay(lease_seconds=0.05).run_once()
    assert (await world.rows())[0][:3] == ("due", 1, "no answer in time")


async def test_stop_lets_the_call_under_way_settle(world: World) -> None:
    await world.one_message()
    begun, released = asyncio.Event(), asyncio.Event()

    async def wait(_: Sequence[Push]) -> None:
        begun.set()
        await released.wait()

    world.provider.before = wait
    relay = world.relay()
    running = asyncio.create_task(relay.run())
    await begun.wait()
    stopping = asyncio.create_task(relay.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    released.set()
    await stopping
    await running
    assert await world.states() == ["delivered"]


async def test_stop_cuts_off_what_does_not_end(world: World) -> None:
    await world.one_message()
    begun = asyncio.Event()

    async def hang(_: Sequence[Push]) -> None:
        begun.set()
        await asyncio.Event().wait()

    world.provider.before = hang
    relay = world.relay()
    running = asyncio.create_task(relay.run())
    await begun.wait()
    await relay.stop(within=0.01)
    await running
    assert await world.states() == ["due"]


async def test_wake_claims_at_once(world: World) -> None:
    sent = asyncio.Event()

    async def tell(_: Sequence[Push]) -> None:
        sent.set()

    world.provider.before = tell
    relay = world.relay(poll_seconds=3600)
    running = asyncio.create_task(relay.run())
    await world.one_message()
    relay.wake()
    async with asyncio.timeout(PATIENCE):
        await sent.wait()
    await relay.stop()
    await running


class FailingDatabase(Interposed):
    """The real database, whose first reads and writes fail."""

    def __init__(self, world: World, failures: int) -> None:
        super().__init__(world.db)
        self.failures = failures

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self._fail()
        return await super().read(statement, **params)

    async def write(self, unit: Unit[T]) -> T:
        self._fail()
        return await super().write(unit)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise Busy


async def test_database_that_fails_does_not_end_the_relay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push.backoff.FIRST_SECONDS", 0.001)
    await world.one_message()
    sent = asyncio.Event()

    async def tell(_: Sequence[Push]) -> None:
        database.failures = 2
        sent.set()

    world.provider.before = tell
    database = FailingDatabase(world, 3)
    relay = Relay(
        database, {("log", ""): world.provider}, bytes.decode, clock=world.clock, monotonic=world.clock.seconds
    )
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(PATIENCE):
        await sent.wait()
    await relay.stop()
    await running
    assert await world.states() == ["delivered"]
    assert len(world.provider.calls) == 1
