# SPDX-License-Identifier: Apache-2.0
"""Clocks that are turned back and forward under a relay: no push waits longer for it, and none goes twice."""

from collections.abc import Sequence

import pytest

from models.clock import DAY_MS, HOUR_MS, MINUTE_MS
from models.db.database import Transaction
from models.db.tables import outbox
from push.base import Delivered, Push, Retry
from tests.push.conftest import World

pytestmark = pytest.mark.anyio
LOG = ("log", "")
JUMPS = pytest.mark.parametrize("jump", [10 * MINUTE_MS, HOUR_MS, DAY_MS, 365 * DAY_MS])


def busy(seconds: float | None) -> Retry:
    return Retry("busy", after=seconds, provider_fault=False)


@JUMPS
async def test_a_push_in_back_off_comes_within_it_though_the_clock_is_turned_back(world: World, jump: int) -> None:
    world.provider.script = lambda push: busy(100) if push.token.endswith("-0") else busy(None)
    await world.heap(300)
    relay = world.relay()
    while await relay.run_once():
        pass
    world.provider.script = lambda _: Delivered()
    world.clock.jump(-jump / 1000)
    for _ in range(3):
        await relay.run_once()
        world.clock.passes(1)
    assert sorted(await world.states()) == ["delivered"] * 299 + ["due"]
    world.clock.passes(100 - 3 - 1)
    assert await relay.run_once() == 0
    world.clock.passes(3)
    assert await relay.run_once() == 1


@JUMPS
async def test_a_lease_runs_no_longer_than_it_was_to_though_the_clock_is_turned_back(world: World, jump: int) -> None:
    await world.one_message()
    now = world.clock()

    async def claim(tx: Transaction) -> None:
        lease = outbox.new_lease("0123456789abcdef")
        assert await outbox.claim(tx, lane=LOG, now=now, lease=lease, lease_until=now + 60_000, limit=1)

    await world.db.write(claim)
    relay = world.relay()
    await relay.run_once()
    world.clock.jump(-jump / 1000)
    for _ in range(2):
        assert await relay.run_once() == 0
        world.clock.passes(30)
    assert await relay.run_once() == 1


async def test_a_start_after_the_clock_was_turned_back_finds_what_is_due_in_days(world: World) -> None:
    world.provider.script = lambda _: busy(None)
    await world.heap(3)
    await world.relay().run_once()
    world.clock.jump(-2 * DAY_MS / 1000)
    relay = world.relay()
    assert await relay.run_once() == 0
    await relay.bring_forward_stranded()
    assert await relay.run_once() == 3


@JUMPS
async def test_what_is_being_sent_is_not_sent_again_though_the_clock_goes_forward(world: World, jump: int) -> None:
    await world.one_message()
    relay = world.relay()

    async def hurry(_: Sequence[Push]) -> None:
        if len(world.provider.calls) == 1:
            world.clock.jump(min(jump, 2 * DAY_MS) / 1000)
            assert await relay._claim_due() == 0

    world.provider.before = hurry
    assert await relay.run_once() == 1
    assert [row[:2] for row in await world.rows()] == [("delivered", 1)]
    assert len(world.provider.calls) == 1
