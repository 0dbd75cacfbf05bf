# SPDX-License-Identifier: Apache-2.0
"""Retention of several processes over one database: one of them does it, and another when that one is gone."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic

import pytest

from models.db.database import Database, Row, Statement, T, Unit, Value
from services.maintenance.retention import Retention
from storage.disk import DiskStore
from tests.services.maintenance.world import DAY, LIFETIMES, Image, World
from tests.support import PATIENCE
from tests.support.clock import Clock
from tests.support.interposed import Interposed

pytestmark = pytest.mark.anyio

SHORT_LEASE = 1.0
LONG_LEASE = float(DAY)  # which no load of the machine lets anybody lose


class Shared(Interposed):
    """A database as one of several processes sees it, telling whether that process works."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.shared = True
        self.written = 0
        self.reads = 0

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self.reads += 1
        return await super().read(statement, **params)

    async def write(self, unit: Unit[T]) -> T:
        self.written += 1
        return await super().write(unit)


@dataclass
class Process:
    """One that runs retention on what it shares with the others; its clocks are its own."""

    db: Shared
    store: DiskStore
    retention: Retention
    running: asyncio.Task[None]

    async def dies(self) -> None:
        """It says good-bye to nobody."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@asynccontextmanager
async def process(
    world: World, minutes: int = 0, interval: float = 0.1, lease_seconds: float = LONG_LEASE
) -> AsyncIterator[Process]:
    """Its clock shows 20 minutes and `minutes` more than the world's; that of its uptime is its own too."""
    clock = Clock(world.clock.now)
    clock.jump(60 * (20 + minutes))
    db, store = await world.database.open(), DiskStore(world.folder / "images", min_free_bytes=0)
    shared = Shared(db)
    retention = Retention(
        shared,
        store,
        lifetimes=replace(LIFETIMES, interval_seconds=interval),
        clock=clock,
        monotonic=lambda: monotonic() + 1000 * minutes,
        lease_seconds=lease_seconds,
    )
    running = asyncio.create_task(retention.run())
    try:
        yield Process(shared, store, retention, running)
    finally:
        await retention.stop()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        store.close()
        await db.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, f"{what} did not come within {PATIENCE:.0f} s"
        await asyncio.sleep(0.02)


async def ended_image(world: World) -> Image:
    """An image that its receiver has had, whose file may go."""
    uid = await world.person()
    image = await world.send(await world.person(), uid)
    await world.fetch(uid, image, grace_seconds=0)
    return image


async def test_one_does_it_and_the_others_stand_by(world: World) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(process(world))
        await until(lambda: first.db.written > 1, "a first round")
        others = [await stack.enter_async_context(process(world, minutes)) for minutes in (7, -7)]
        await until(lambda: all(other.db.reads > 1 for other in others), "looks at the lease")
        for _ in range(3):
            image = await ended_image(world)
            await until(lambda: not world.has_file(image), "the end of a file")  # noqa: B023
        assert [other.db.written for other in others] == [0, 0]


@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize("minutes", [-7, 7])
async def test_another_goes_on_when_it_is_gone(world: World, minutes: int, dies: bool) -> None:
    async with process(world, lease_seconds=SHORT_LEASE) as first:
        image = await ended_image(world)
        await until(lambda: not world.has_file(image), "the end of the file")
        async with process(world, minutes, lease_seconds=SHORT_LEASE) as second:
            await until(lambda: second.db.reads > 1, "looks at the lease")
            await (first.dies() if dies else first.retention.stop())
            left = await ended_image(world)
            await until(lambda: not world.has_file(left), "the end of the file that was left")
            assert second.db.written > 0


async def test_being_woken_makes_nobody_the_leader(world: World) -> None:
    async with process(world, interval=DAY) as first:
        await until(lambda: first.db.written > 1, "a first round")
        async with process(world, interval=DAY) as second:
            await until(lambda: second.db.reads > 1, "looks at the lease")
            image = await ended_image(world)
            second.retention.wake()
            first.retention.wake()
            await until(lambda: not world.has_file(image), "the end of the file")
            assert second.db.written == 0


async def test_two_leaders_at_once_do_nothing_twice(world: World) -> None:
    """As when one was stopped in the middle of a round, and goes on when another has its lease."""
    sender, people = await world.person(), [await world.person() for _ in range(3)]
    images = [await world.send(sender, *people) for _ in range(20)]
    kept = await world.send(sender, *people)
    for uid in people:
        world.database.execute(
            "UPDATE users SET pending_count = 21, pending_bytes = ? WHERE uid = ?", 21 * len(kept.data), uid
        )
    world.database.execute("UPDATE messages SET expires_at = ? WHERE message_id < ?", world.clock.now, kept.message_id)
    world.clock.passes(1)
    async with AsyncExitStack() as stack:
        dbs = [await world.database.open() for _ in range(3)]
        for db in dbs:
            stack.push_async_callback(db.close)
        rounds = await asyncio.gather(*(world.retention(db).run_once() for db in dbs))

    assert [done.failed for done in rounds] == [[], [], []]
    assert sum(done.removed["expired"] for done in rounds) == 20
    assert {world.counters(uid) for uid in people} == {(1, len(kept.data))}
    assert [world.has_file(image) for image in (*images, kept)] == [False] * 20 + [True]
    assert world.count("messages WHERE stored = 1") == 1


async def test_the_bytes_of_a_shared_store_follow_what_other_machines_do(world: World) -> None:
    image = await ended_image(world)
    async with process(world, interval=DAY) as here:
        await until(lambda: here.store.stored_bytes == 0 and not world.has_file(image), "the end of the file")
        await world.send(await world.person(), await world.person(), data=b"elsewhere")
        with here.store.reserve(1000):
            assert await here.retention.count_stored() == len(b"elsewhere")


async def test_who_does_not_lead_removes_what_broken_uploads_have_left_on_its_own_machine(world: World) -> None:
    async with process(world) as first:
        await until(lambda: first.db.written > 1, "a first round")
        stray = world.folder / "images/.tmp/left"
        stray.write_bytes(b"half an image")
        os.utime(stray, (0, 0))
        async with process(world):
            await until(lambda: not stray.exists(), "the removal of the stray file")
