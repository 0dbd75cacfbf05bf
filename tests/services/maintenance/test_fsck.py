# SPDX-License-Identifier: Apache-2.0
"""fsck finds what does not agree, mends it when told, and raises no false alarm."""

import pytest

from models.db.tables import image_files
from models.errors import ContentLost, StorageError
from services.maintenance import fsck
from services.maintenance.fsck import Report
from storage.disk import DiskStore
from tests.services.maintenance.test_orphans import Between
from tests.services.maintenance.world import DAY, TTL_SECONDS, World
from tests.support.engines import ON_SQLITE

pytestmark = pytest.mark.anyio


def _found(report: Report) -> dict[str, int]:
    return {kind: count for kind, count in report.problems.items() if count}


async def _repaired(world: World) -> Report:
    """What a repairing run finds; afterwards all is well, and retention agrees."""
    report = await world.fsck(repair=True)
    assert (report.repaired, report.left) == (_found(report), 0)
    assert (await world.fsck()).clean
    assert (await world.retention().run_once()).failed == []
    return report


async def test_a_world_in_all_its_states_is_clean(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    await world.send(ann, ben, cat)
    await world.fetch(ben, await world.send(ann, ben), grace_seconds=60)
    expiring, recalled = await world.send(ann, ben), await world.send(ann, ben)
    await world.reading().acknowledge(ann, recalled.key)
    await world.file(b"its row may still come")
    report = await world.fsck()
    assert (report.clean, report.images, report.bytes) == (True, 4, 28)
    world.clock.passes(TTL_SECONDS)
    await world.retention().run_once()
    assert not world.has_file(expiring)
    assert (await world.fsck()).clean


async def test_a_missing_file_is_found_and_its_image_ended(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    image, other = await world.send(ann, ben, cat), await world.send(ann, ben)
    world.file_of(image.key).unlink()
    report = await world.fsck()
    assert (_found(report), report.examples) == ({fsck.MISSING: 1}, {fsck.MISSING: [image.message_id]})
    reading = world.reading()
    with pytest.raises(ContentLost):
        await reading.open_image(await reading.find_image(ben, image.key))
    await _repaired(world)
    for ask in (reading.find_image, reading.acknowledge):
        with pytest.raises(ContentLost):
            await ask(ben, image.key)
    status = await reading.status(ann, image.key)
    assert (status["state"], [receiver["state"] for receiver in status["receivers"]]) == ("expired", ["expired"] * 2)
    assert (world.counters(ben), world.counters(cat)) == ((1, 7), (0, 0))
    assert world.has_file(other)


async def test_a_missing_file_in_its_grace_is_found(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    await world.fetch(ben, image, grace_seconds=60)
    world.file_of(image.key).unlink()
    assert _found(await _repaired(world)) == {fsck.MISSING: 1}
    assert world.state(image, ben) == "consumed"


async def test_an_image_that_is_for_nobody_can_be_given_up(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    world.execute("DELETE FROM deliveries")
    world.execute("UPDATE users SET pending_count = 0, pending_bytes = 0")
    world.file_of(image.key).unlink()
    await _repaired(world)
    assert world.rows("SELECT exist, stored FROM messages") == [(0, 0)]


@pytest.mark.parametrize(("bytes_", "kind"), [(b"pic", fsck.WRONG_SIZE), (b"PICTURE", fsck.WRONG_CONTENT)])
async def test_a_wrong_file_is_found_and_set_aside(world: World, bytes_: bytes, kind: str) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    world.file_of(image.key).write_bytes(bytes_)
    assert _found(await _repaired(world)) == {kind: 1}
    assert (world.folder / "images/corrupt" / image.key).read_bytes() == bytes_
    assert (world.state(image, ben), world.counters(ben)) == ("lost", (0, 0))


async def test_a_file_that_cannot_be_read_is_reported_and_left(world: World) -> None:
    class BadDisk(DiskStore):
        async def digest(self, key: str) -> bytes | None:
            raise StorageError(key)

    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    world.store.close()
    world.store = BadDisk(world.folder / "images")
    report = await world.fsck(repair=True)
    assert (_found(report), report.repaired, report.left) == ({fsck.UNREADABLE: 1}, {}, 1)
    assert (world.state(image, ben), world.has_file(image)) == ("pending", True)


async def test_an_old_file_without_a_row_is_found_and_removed(world: World) -> None:
    key = await world.file()
    world.age(key, DAY)
    report = await world.fsck()
    assert (_found(report), report.examples) == ({fsck.ORPHAN: 1}, {fsck.ORPHAN: [key]})
    assert world.file_of(key).exists()
    await _repaired(world)
    assert not world.file_of(key).exists()


async def test_counters_that_do_not_add_up_are_found_and_set(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    await world.send(ann, ben, cat, data=b"12345")
    world.execute("UPDATE users SET pending_count = 7 WHERE uid = ?", ben)
    world.execute("UPDATE users SET pending_bytes = -1 WHERE uid = ?", ann)
    assert _found(await _repaired(world)) == {fsck.MISCOUNTED: 2}
    assert [world.counters(uid) for uid in (ann, ben, cat)] == [(0, 0), (1, 5), (1, 5)]


async def test_pushes_of_no_message_are_found_and_erased(world: World) -> None:
    uid = await world.person()
    world.execute(
        "INSERT INTO devices (uid, provider, token, token_digest, registered_at) VALUES (?, 'log', '', '', 0)", uid
    )
    row = (
        "INSERT INTO outbox (kind, message_id, device_id, provider, state, created_at, next_at, give_up_at)"
        " VALUES (?, ?, 1, 'log', 'due', 0, 0, 0)"
    )
    world.execute(row, "message", 99)
    world.execute(row, "message", None)
    world.execute(row, "account_retrieved", None)
    assert _found(await _repaired(world)) == {fsck.PUSH_OF_NOTHING: 2}
    assert world.rows("SELECT kind FROM outbox") == [("account_retrieved",)]


@ON_SQLITE
async def test_damage_is_reported_and_nothing_is_mended_on_it(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    world.file_of(image.key).unlink()
    nullable = "UPDATE sqlite_schema SET sql = replace(sql, 'nickname VARCHAR(64) NOT NULL', 'nickname VARCHAR(64)')"
    strict = "UPDATE sqlite_schema SET sql = replace(sql, 'nickname VARCHAR(64)', 'nickname VARCHAR(64) NOT NULL')"
    for change in (nullable, strict):
        world.execute(f"PRAGMA writable_schema = ON; {change} WHERE name = 'users'; PRAGMA writable_schema = RESET")
        world.execute("UPDATE users SET nickname = NULL" if change is nullable else "SELECT 1")
    report = await world.fsck(repair=True)
    assert (_found(report), report.repaired) == ({fsck.DAMAGED: 2}, {})
    assert "NULL value in users.nickname" in report.examples[fsck.DAMAGED]
    assert world.state(image, ben) == "pending"


async def test_an_image_that_goes_while_fsck_looks_is_no_alarm(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)

    async def acknowledge() -> None:
        await world.reading().acknowledge(ben, image.key)
        await world.retention().run_once()

    db = Between(world.db)
    db.asked, db.then = image_files._LIST_KEPT, acknowledge
    report = await world.fsck(db=db)
    assert (world.has_file(image), report.clean) == (False, True)


async def test_an_image_whose_removal_was_cut_off_is_no_alarm(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    await world.reading().acknowledge(ben, image.key)
    await world.store.remove(image.key)
    assert (await world.fsck()).clean


async def test_an_upload_that_ends_while_fsck_looks_is_no_alarm(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    key = await world.file(b"late")
    world.age(key, DAY)
    db = Between(world.db)
    db.asked, db.then = image_files._STORED_KEYS, lambda: world.record(key, b"late", ann, ben)
    report = await world.fsck(db=db)
    assert (db.happened, report.clean) == (True, True)


async def test_examples_are_bounded_and_counts_are_not(world: World) -> None:
    for _ in range(30):
        await world.person()
    world.execute("UPDATE users SET pending_count = 1")
    report = await world.fsck()
    assert (report.problems[fsck.MISCOUNTED], len(report.examples[fsck.MISCOUNTED])) == (30, 20)
