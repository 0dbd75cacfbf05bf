# SPDX-License-Identifier: Apache-2.0
"""Images past their time end, and files go when nobody may fetch them any more, never before."""

import asyncio
import subprocess
import sys

import pytest

from models.db.database import DatabaseError, Row, Statement, Value
from models.errors import ImageConsumed, ImageExpired, ImageRecalled, StorageError
from storage.disk import DiskStore
from tests.services.maintenance.world import TTL_SECONDS, World
from tests.support import PATIENCE, ROOT
from tests.support.engines import ON_SQLITE
from tests.support.interposed import Interposed

pytestmark = pytest.mark.anyio


async def test_an_image_past_its_time_expires_and_its_file_goes(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    old = await world.send(ann, ben, data=b"old")
    world.clock.passes(TTL_SECONDS / 2)
    new = await world.send(ann, ben, data=b"newer")
    world.clock.passes(TTL_SECONDS / 2)
    counts = await world.retention().run_once()
    assert (counts.removed["expired"], counts.removed["files"], counts.failed) == (1, 1, [])
    assert (world.has_file(old), world.has_file(new)) == (False, True)
    assert (world.state(old, ben), world.state(new, ben)) == ("expired", "pending")
    assert world.counters(ben) == (1, 5)
    with pytest.raises(ImageExpired):
        await world.reading().find_image(ben, old.key)
    assert (await world.fsck()).clean


async def test_a_second_round_has_nothing_to_do(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    await world.send(ann, ben)
    world.clock.passes(TTL_SECONDS)
    await world.retention().run_once()
    assert set((await world.retention().run_once()).removed.values()) == {0}


async def test_a_fetched_image_stays_for_its_grace(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    await world.fetch(ben, image, grace_seconds=60)
    world.clock.passes(59)
    await world.retention().run_once()
    assert world.has_file(image)
    await world.fetch(ben, image, grace_seconds=60)
    world.clock.passes(59)
    await world.retention().run_once()
    assert world.has_file(image)
    world.clock.passes(1)
    await world.retention().run_once()
    assert not world.has_file(image)
    assert world.rows("SELECT exist, stored, purge_at FROM messages") == [(0, 0, None)]


async def test_a_file_waits_for_the_last_of_several_receivers(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    image = await world.send(ann, ben, cat)
    await world.fetch(ben, image, grace_seconds=0)
    await world.retention().run_once()
    assert world.has_file(image)
    world.clock.passes(TTL_SECONDS)
    await world.retention().run_once()
    assert not world.has_file(image)
    assert (world.state(image, ben), world.state(image, cat)) == ("consumed", "expired")
    assert (world.counters(ben), world.counters(cat)) == ((0, 0), (0, 0))


async def test_an_expiry_leaves_the_grace_of_who_has_fetched(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    image = await world.send(ann, ben, cat)
    world.clock.passes(TTL_SECONDS - 1)
    await world.fetch(ben, image, grace_seconds=60)
    world.clock.passes(30)
    await world.retention().run_once()
    assert (world.state(image, cat), world.has_file(image)) == ("expired", True)
    world.clock.passes(30)
    await world.retention().run_once()
    assert not world.has_file(image)


async def test_a_running_download_reads_on_from_a_removed_file(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben, data=b"picture")
    reading = world.reading()
    opened = await reading.open_image(await reading.find_image(ben, image.key))
    await reading.acknowledge(ben, image.key)
    await world.retention().run_once()
    assert not world.has_file(image)
    assert await opened.blob.read(0, 7) == b"picture"
    reading.close_image(opened)


async def test_an_image_that_ends_between_its_finding_and_its_opening_is_not_called_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ann, ben = await world.person(), await world.person()
    fetched, recalled = await world.send(ann, ben), await world.send(ann, ben)
    reading = world.reading()
    found = [await reading.find_image(ben, image.key) for image in (fetched, recalled)]
    await reading.acknowledge(ben, fetched.key)
    await reading.acknowledge(ann, recalled.key)
    await world.retention().run_once()
    for delivery, refusal in zip(found, (ImageConsumed, ImageRecalled), strict=True):
        with pytest.raises(refusal):
            await reading.open_image(delivery)
    assert caplog.records == []


async def test_an_acknowledged_image_goes_at_once_when_retention_is_woken(world: World) -> None:
    class TellingStore(DiskStore):
        removed = asyncio.Event()

        async def remove_many(self, keys: object) -> int:
            count = await super().remove_many(keys)  # type: ignore[arg-type]  # passed on as it came
            self.removed.set()
            return count

    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    store = TellingStore(world.folder / "images")
    retention = world.retention(store=store)
    running = asyncio.create_task(retention.run())
    await asyncio.sleep(0)
    await world.reading(retention).acknowledge(ben, image.key)
    async with asyncio.timeout(PATIENCE):
        await store.removed.wait()
    assert not world.has_file(image)
    await retention.stop()
    assert running.done()
    store.close()
    assert world.rows("SELECT stored FROM messages") == [(0,)]


async def test_a_stop_before_the_first_step_ends_the_run(world: World) -> None:
    retention = world.retention()
    running = asyncio.create_task(retention.run())
    await retention.stop()
    async with asyncio.timeout(PATIENCE):
        await running


async def test_one_kinds_failure_does_not_keep_the_others(world: World) -> None:
    class Failing(Interposed):
        async def read(self, statement: Statement, **params: Value) -> list[Row]:
            if "LEFT OUTER JOIN" in statement.sql("sqlite").text:
                raise DatabaseError("broken on purpose")
            return await super().read(statement, **params)

    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    await world.reading().acknowledge(ben, image.key)
    counts = await world.retention(Failing(world.db)).run_once()
    assert counts.failed == ["expired"]
    assert not world.has_file(image)


async def test_a_file_that_cannot_be_removed_is_put_off_and_holds_up_no_other(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    stuck, image = await world.send(ann, ben), await world.send(ann, ben)
    world.file_of(stuck.key).unlink()
    world.file_of(stuck.key).mkdir()
    for each in (stuck, image):
        await world.reading().acknowledge(ben, each.key)
    counts = await world.retention().run_once()
    assert (counts.removed["files"], counts.failed, world.has_file(image)) == (1, [], False)
    world.file_of(stuck.key).rmdir()
    world.clock.passes(3600)
    assert (await world.retention().run_once()).removed["files"] == 1
    assert world.rows("SELECT DISTINCT stored, purge_at FROM messages") == [(0, None)]


async def test_a_store_that_is_away_is_left_for_the_next_round(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.maintenance.retention.BATCH_ROWS", 1)

    class Away(DiskStore):
        """It hangs for longer than what it kept is put off."""

        healthy = False

        async def remove_many(self, keys: object) -> int:  # noqa: ARG002 - whatever it is
            world.clock.passes(20)
            raise StorageError

        async def probe(self) -> bool:
            return False

    ann, ben = await world.person(), await world.person()
    for image in (await world.send(ann, ben), await world.send(ann, ben)):
        await world.reading().acknowledge(ben, image.key)
    store = Away(world.folder / "images")
    async with asyncio.timeout(PATIENCE):
        counts = await world.retention(store=store).run_once()
    assert counts.removed["files"] == 0
    store.close()
    world.clock.passes(20)
    assert (await world.retention().run_once()).removed["files"] == 2


async def test_two_processes_may_remove_at_the_same_time(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    images = [await world.send(ann, ben, cat) for _ in range(100)]
    world.clock.passes(TTL_SECONDS)
    other_db, other_store = await world.database.open(), DiskStore(world.folder / "images")
    both = await asyncio.gather(world.retention().run_once(), world.retention(other_db, other_store).run_once())
    other_store.close()
    await other_db.close()
    assert [counts.failed for counts in both] == [[], []]
    assert sum(counts.removed["expired"] for counts in both) == 100
    assert not any(map(world.has_file, images))
    assert (world.counters(ben), world.counters(cat)) == ((0, 0), (0, 0))
    assert (await world.fsck()).clean


CRASH = """
import asyncio, sys
from pathlib import Path
from tests.support.engines import engine_at
from tests.services.maintenance.world import World, new_world

async def main():
    async with new_world(Path(sys.argv[1]), engine_at(sys.argv[2])) as world:
        world.clock.passes(30 * 24 * 3600)
        await world.retention().run_once()

asyncio.run(main())
"""


@pytest.mark.parametrize("point", ["before_unlink", "after_unlink:2", "before_mark_removed", "after_commit:2"])
async def test_a_crash_at_any_point_is_mended_by_the_next_round(world: World, point: str) -> None:
    ann, ben = await world.person(), await world.person()
    images = [await world.send(ann, ben) for _ in range(3)]
    crash = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CRASH, str(world.folder), world.database.url],
        env={"PYTHONPATH": str(ROOT), "GLIMPSE_FAULT": point},
        check=False,
    )
    assert crash.returncode == -9
    world.clock.passes(TTL_SECONDS)
    assert (await world.fsck()).clean
    assert (await world.retention().run_once()).failed == []
    assert not any(map(world.has_file, images))
    assert world.rows("SELECT DISTINCT stored, purge_at FROM messages") == [(0, None)]
    assert world.counters(ben) == (0, 0)


async def test_the_store_is_told_what_the_database_keeps(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    await world.send(ann, ben, data=b"12345")
    world.store.set_stored_bytes(0)
    assert await world.retention().count_stored() == 5
    assert world.store.stored_bytes == 5


@ON_SQLITE
async def test_the_store_is_not_told_while_an_upload_is_on_its_way(world: World) -> None:
    """Of several machines, another may always be receiving: there it cannot be waited for."""
    ann, ben = await world.person(), await world.person()
    await world.send(ann, ben, data=b"12345")
    world.store.set_stored_bytes(105)  # 100 of them have a file and no row yet
    with world.store.reserve(0):
        assert await world.retention().count_stored() == 105
    assert await world.retention().count_stored() == 5
