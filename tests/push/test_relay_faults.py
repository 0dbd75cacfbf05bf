# SPDX-License-Identifier: Apache-2.0
"""The relay when things fail: breaker, leases, poison rows, providers that misbehave."""

import logging
from collections.abc import Sequence
from typing import TypeVar

import pytest
from sqlalchemy import select

from models.db.database import Statement, Transaction
from models.db.schema import devices as devices_table
from models.db.tables import outbox
from models.db.tables.outbox import State
from push.base import Delivered, Outcome, Push, Retry
from push.breaker import BreakerState
from tests.push.conftest import World
from tests.support.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio
T = TypeVar("T")
LOG = ("log", "")

_ENDED = Statement(select(devices_table.c.ended_at))


async def test_ten_minutes_of_provider_faults_end_no_device_and_lose_no_row(world: World) -> None:
    sender = await world.person()
    for number in range(30):
        receiver = await world.person()
        await world.device(receiver, f"token {number}")
        await world.message(sender, receiver)
    world.provider.batch_size = 1
    world.provider.script = lambda _: Retry("401")
    relay = world.relay()
    for _ in range(60):
        await relay.run_once()
        world.clock.passes(10)
    assert relay.breakers == {LOG: BreakerState.OPEN}
    assert set(await world.states()) == {"due"}
    assert {row[0] for row in await world.db.read(_ENDED)} == {None}
    assert len(world.provider.calls) < 80

    world.provider.script = lambda _: Delivered()
    for _ in range(80):
        await relay.run_once()
        world.clock.passes(30)
    assert relay.breakers == {LOG: BreakerState.CLOSED}
    assert set(await world.states()) == {"delivered"}


async def test_open_breaker_costs_no_attempt(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t")
    for _ in range(10):
        await world.message(sender, receiver)
    world.provider.batch_size = 1
    world.provider.script = lambda _: Retry("502")
    relay = world.relay(calls_at_once=5)
    await relay.run_once()
    assert relay.breakers[LOG] is BreakerState.OPEN
    world.clock.passes(29)
    await relay.run_once()
    assert len(world.provider.calls) == 5
    assert sorted(row[1] for row in await world.rows()) == [0] * 5 + [1] * 5


async def test_push_to_a_host_that_is_left_alone_costs_no_attempt_and_soon_follows_its_return(world: World) -> None:
    await world.one_message()
    paused = Retry("host paused: HTTP 503", after=30, provider_fault=False, costs_attempt=False)
    world.provider.script = lambda _: paused
    relay, down_until = world.relay(), world.clock() + 6 * 3_600_000
    while world.clock() < down_until:
        await relay.run_once()
        [(state, attempts, reason, next_at)] = await world.rows()
        assert (state, attempts, reason) == ("due", 0, paused.reason)
        assert 30_000 <= next_at - world.clock() <= 330_000
        world.clock.now = next_at
    assert 6 * 3600 // 330 <= len(world.provider.calls) < 6 * 3600 // 60
    world.provider.script = lambda _: Delivered()
    await relay.run_once()
    assert (await world.rows())[0][:2] == ("delivered", 1)


async def test_lease_that_ran_out_is_claimed_again_and_its_first_holder_settles_nothing(world: World) -> None:
    await world.one_message()
    now = world.clock()

    async def claim(tx: Transaction) -> int:
        [row] = await outbox.claim(tx, lane=LOG, now=now, lease="dead worker", lease_until=now + 60_000, limit=10)
        return row.outbox_id

    outbox_id = await world.db.write(claim)
    relay = world.relay()
    world.clock.passes(59)
    assert await relay.run_once() == 0
    world.clock.passes(1)
    assert await relay.run_once() == 1

    async def settle_late(tx: Transaction) -> bool:
        return await outbox.settle(
            tx, outbox_id=outbox_id, lease="dead worker", state=State.DEAD, attempts=9, reason="late", now=now
        )

    assert await world.db.write(settle_late) is False
    assert (await world.rows())[0][:3] == ("delivered", 1, "")


async def test_poison_row_dies_alone_after_three_tries(world: World) -> None:
    good, bad, receiver = await world.person(), await world.person(b"poison"), await world.person()
    await world.device(receiver, "t")
    for sender in (good, bad, good):
        await world.message(sender, receiver)
    relay = world.relay()
    await relay.run_once()
    assert await world.states() == ["delivered", "due", "delivered"]
    for _ in range(2):
        world.clock.passes(100)
        await relay.run_once()
    assert (await world.rows())[1][:3] == ("dead", 3, "raised ValueError")


async def test_push_that_makes_its_provider_raise_does_not_stop_its_batch(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    for token in ("a", "bad", "c"):
        await world.device(receiver, token)
    await world.message(sender, receiver)

    def script(push: Push) -> Outcome:
        if push.token == "bad":
            raise KeyError(push.token)
        return Delivered()

    world.provider.script = script
    await world.relay().run_once()
    assert await world.states() == ["delivered", "due", "delivered"]


async def test_provider_that_answers_too_few_loses_no_row(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    for token in ("a", "b"):
        await world.device(receiver, token)
    await world.message(sender, receiver)

    class Short(ScriptedProvider):
        async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
            return (await super().send(pushes))[:1]

    world.provider = Short()
    await world.relay().run_once()
    assert await world.states() == ["delivered", "delivered"]


async def test_provider_that_is_not_configured_costs_no_attempt_until_its_rows_are_given_up(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t", provider="elsewhere")
    await world.device(receiver, "t", app="another")
    await world.message(sender, receiver)
    relay = world.relay()
    assert await relay.run_once() == 0
    assert await relay.give_up_overdue() == 0
    assert [row[:3] for row in await world.rows()] == [("due", 0, "")] * 2
    world.clock.passes(3 * 86_400)
    assert await relay.run_once() == 0
    assert await relay.give_up_overdue() == 2
    assert [row[:3] for row in await world.rows()] == [("dead", 0, "gave up")] * 2


async def test_logs_show_no_token_and_no_phone_hash(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sender, receiver = await world.person(b"canary-hash"), await world.person()
    await world.device(receiver, "canary-token")
    await world.message(sender, receiver)
    await world.message(await world.person(b"poison"), receiver)

    def script(push: Push) -> Outcome:
        raise RuntimeError(push.token + push.payload)

    world.provider.script = script
    await world.relay().run_once()
    shown = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert any("RuntimeError" in line for line in shown)
    assert not any("canary" in line for line in shown)
