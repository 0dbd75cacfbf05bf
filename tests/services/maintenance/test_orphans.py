# SPDX-License-Identifier: Apache-2.0
"""A file without a row goes, but only one whose row can no longer come."""

import os
from collections.abc import Awaitable, Callable

import pytest

from models.db.database import Row, Statement, Value
from models.db.tables import image_files
from services.maintenance.orphans import Orphans
from storage.base import PARTS
from storage.disk import DiskStore
from tests.services.maintenance.world import DAY, HOUR, ORPHAN_SECONDS, World
from tests.support.interposed import Interposed

pytestmark = pytest.mark.anyio


async def test_an_old_file_without_a_row_goes_when_it_was_also_seen_long_ago(world: World) -> None:
    key, retention = await world.file(), world.retention()
    world.age(key, ORPHAN_SECONDS + 1)
    assert (await retention.run_once()).removed["orphan_files"] == 0
    world.clock.passes(ORPHAN_SECONDS)
    assert (await retention.run_once()).removed["orphan_files"] == 0
    world.clock.passes(1)
    assert (await retention.run_once()).removed["orphan_files"] == 1
    assert not world.file_of(key).exists()


async def test_a_file_just_written_stays_however_often_it_is_seen(world: World) -> None:
    key, retention = await world.file(), world.retention()
    for _ in range(3):
        await retention.run_once()
        world.clock.passes(DAY)
    assert world.file_of(key).exists()


async def test_a_jump_of_the_clock_makes_no_orphan(world: World) -> None:
    key, retention = await world.file(), world.retention()
    world.age(key, DAY)
    await retention.run_once()
    world.clock.jump(3650 * DAY)
    await retention.run_once()
    assert world.file_of(key).exists()


async def test_a_file_whose_row_comes_late_stays(world: World) -> None:
    ann, ben, retention = await world.person(), await world.person(), world.retention()
    key = await world.file(b"late")
    world.age(key, DAY)
    await retention.run_once()
    await world.record(key, b"late", ann, ben)
    world.clock.passes(DAY)
    await retention.run_once()
    assert world.file_of(key).exists()


class Between(Interposed):
    """Does something once, right after it has answered one kind of question."""

    asked: Statement
    then: Callable[[], Awaitable[object]] | None = None
    happened = False

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        rows = await super().read(statement, **params)
        if statement is self.asked and self.then:
            then, self.then = self.then, None
            await then()
            self.happened = True
        return rows


async def test_a_row_that_comes_at_the_last_moment_saves_its_file(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    key = await world.file(b"late")
    world.age(key, DAY)
    db = Between(world.db)
    db.asked = image_files._STORED_KEYS
    retention = world.retention(db)
    await retention.run_once()
    world.clock.passes(DAY)
    db.then = lambda: world.record(key, b"late", ann, ben)
    await retention.run_once()
    assert db.happened
    assert world.file_of(key).exists()


class Noting(DiskStore):
    """Notes which of its parts are looked at."""

    looked: list[int]

    async def old_keys(self, number: int, older_than_seconds: float) -> list[str]:
        self.looked.append(number)
        return await super().old_keys(number, older_than_seconds)


async def test_a_sweep_goes_on_where_the_last_one_stopped(world: World) -> None:
    keys = [await world.file() for _ in range(60)]
    for key in keys:
        world.age(key, DAY)
    store = Noting(world.folder / "images", min_free_bytes=0)
    looked = store.looked = []
    orphans = Orphans(world.db, store, orphan_seconds=ORPHAN_SECONDS, monotonic=world.clock.seconds, files_a_sweep=20)
    while len(looked) < PARTS:
        before = len(looked)
        assert await orphans.sweep() == 0
        assert 0 < len(looked) - before < PARTS
    assert sorted(looked[:PARTS]) == list(range(PARTS))
    world.clock.passes(ORPHAN_SECONDS + 1)
    removed = [await orphans.sweep() for _ in range(8)]
    assert sum(removed) == 60
    assert max(removed) < 60
    store.close()


async def test_a_sweep_that_is_to_stop_leaves_the_other_parts_to_the_next_server(world: World) -> None:
    store = Noting(world.folder / "images", min_free_bytes=0)
    store.looked = []
    orphans = Orphans(
        world.db,
        store,
        orphan_seconds=ORPHAN_SECONDS,
        monotonic=world.clock.seconds,
        is_stopping=lambda: len(store.looked) == 3,
    )
    await orphans.sweep()
    assert len(store.looked) == 3
    store.close()


async def test_a_file_that_should_be_gone_is_an_orphan_too(world: World) -> None:
    ann, ben, retention = await world.person(), await world.person(), world.retention()
    image = await world.send(ann, ben)
    world.age(image.key, DAY)
    world.execute("UPDATE messages SET exist = 0, stored = 0")
    await retention.run_once()
    world.clock.passes(DAY)
    assert (await retention.run_once()).removed["orphan_files"] == 1


async def test_what_a_broken_upload_left_goes_after_an_hour(world: World) -> None:
    young, old = world.folder / "images/.tmp/young", world.folder / "images/.tmp/old"
    for file, age in ((young, HOUR - 60), (old, HOUR + 60)):
        file.touch()
        os.utime(file, (world.clock() / 1000 - age,) * 2)
    assert (await world.retention().run_once()).removed["stray_files"] == 1
    assert (young.exists(), old.exists()) == (True, False)
