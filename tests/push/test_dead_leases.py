# SPDX-License-Identifier: Apache-2.0
"""Whose rows are due again before their lease ends: those of a process that serves no more, and nobody else's."""

from functools import partial

import pytest

from models.db.database import Transaction
from models.db.tables import heartbeats, outbox
from tests.push.conftest import World

pytestmark = pytest.mark.anyio
LOG = ("log", "")
OURS, THEIRS = "0123456789abcdef", "fedcba9876543210"


async def enter(world: World, server_id: str) -> None:
    await world.db.write(partial(heartbeats.enter, server_id=server_id, key_generation=1, now=world.clock()))


async def claim(world: World, lease: str, *, seconds: float = 60) -> None:
    """As a process does that has got no further than this."""
    now = world.clock()

    async def unit(tx: Transaction) -> None:
        until = now + int(1000 * seconds)
        assert await outbox.claim(tx, lane=LOG, now=now, lease=lease, lease_until=until, limit=10)

    await world.db.write(unit)


async def test_what_the_dead_had_claimed_is_sent_at_once_and_once(world: World) -> None:
    await world.one_message()
    await enter(world, OURS)
    await enter(world, THEIRS)
    await claim(world, outbox.new_lease(THEIRS))
    relay = world.relay(server_id=OURS)
    assert await relay.free_dead_leases() == 0
    assert await relay.run_once() == 0
    await world.db.write(partial(heartbeats.leave, server_id=THEIRS))
    assert await relay.free_dead_leases() == 1
    assert await relay.run_once() == 1
    assert await relay.free_dead_leases() == 0
    assert [row[:2] for row in await world.rows()] == [("delivered", 1)]


async def test_a_start_frees_what_its_predecessor_had_claimed_however_far_ahead_by_the_clock(world: World) -> None:
    await world.one_message()
    await claim(world, outbox.new_lease(THEIRS), seconds=90_000)
    await enter(world, OURS)
    relay = world.relay(server_id=OURS)
    assert await relay.free_dead_leases() == 1
    assert await relay.run_once() == 1


async def test_what_this_process_and_others_that_serve_are_sending_stays_theirs(world: World) -> None:
    await world.heap(1)
    await enter(world, THEIRS)
    await claim(world, outbox.new_lease(THEIRS))
    await world.heap(1)
    await claim(world, outbox.new_lease(OURS))
    relay = world.relay(server_id=OURS)  # which was taken for dead, and has not entered again yet
    assert await relay.free_dead_leases() == 0
    assert await relay.run_once() == 0


async def test_a_lease_that_names_nobody_runs_to_its_end(world: World) -> None:
    await world.one_message()
    await claim(world, "0123456789abcdef0123456789abcdef")
    relay = world.relay()
    assert await relay.free_dead_leases() == 0
    world.clock.passes(60)
    assert await relay.run_once() == 1
