# SPDX-License-Identifier: Apache-2.0
"""The pictures of reports among the files that are kept: swept, counted, checked and removed like images."""

import hashlib
from functools import partial

import pytest

from models.db.database import Transaction
from models.db.tables import image_files, report_pictures, reports
from models.db.tables.report_pictures import ReportPicture
from services.maintenance import fsck
from services.reports import resolve_report
from tests.services.maintenance.world import DAY, ORPHAN_SECONDS, World

pytestmark = pytest.mark.anyio


async def reported(world: World, data: bytes = b"picture") -> ReportPicture:
    """A report of a person, with a picture."""
    ann, ben, key = await world.person(), await world.person(), await world.file(data)

    async def unit(tx: Transaction) -> ReportPicture:
        report_id = await reports.insert_report(
            tx, reporter_uid=ann, reported_uid=ben, message_id=None, reason="rude", now=world.clock()
        )
        picture = ReportPicture(report_id, key, "jpeg", len(data), hashlib.sha256(data).digest())
        await report_pictures.insert_picture(tx, picture)
        return picture

    return await world.db.write(unit)


async def resolve(world: World, picture: ReportPicture) -> None:
    assert await resolve_report(world.db, picture.report_id, note="", operator="ops", now=world.clock())


async def test_a_picture_stays_while_its_report_is_open_and_goes_when_it_is_resolved(world: World) -> None:
    open_, resolved = await reported(world), await reported(world)
    await resolve(world, resolved)
    retention = world.retention()
    assert (await retention.dry_run()).removed["report_pictures"] == 1
    assert (await retention.run_once()).removed["report_pictures"] == 1
    for picture, there in ((open_, True), (resolved, False)):
        assert world.file_of(picture.picture_key).exists() is there
        assert (await report_pictures.find(world.db, picture.report_id) is not None) is there
    assert world.count("report_pictures") == 1
    world.clock.passes(400 * DAY)
    assert (await retention.run_once()).removed["report_pictures"] == 0
    assert world.file_of(open_.picture_key).exists()


async def test_a_round_that_is_cut_off_is_gone_on_with(world: World) -> None:
    picture = await reported(world)
    await resolve(world, picture)
    await world.store.remove(picture.picture_key)  # where the process died before it forgot the row
    assert (await world.fsck()).clean
    assert (await world.retention().run_once()).failed == []
    assert world.count("report_pictures") == 0


async def test_no_sweep_takes_a_picture_for_an_orphan(world: World) -> None:
    picture, orphan = await reported(world), await world.file(b"orphan")
    for key in (picture.picture_key, orphan):
        world.age(key, ORPHAN_SECONDS + 1)
    assert (await world.fsck()).problems[fsck.ORPHAN] == 1
    retention = world.retention()
    await retention.run_once()
    world.clock.passes(ORPHAN_SECONDS + 1)
    assert (await retention.run_once()).removed["orphan_files"] == 1
    assert world.file_of(picture.picture_key).exists()


async def test_a_picture_counts_among_what_is_stored(world: World) -> None:
    await reported(world, b"1234567")
    ann, ben = await world.person(), await world.person()
    await world.send(ann, ben, data=b"123")
    assert await image_files.stored_bytes(world.db) == 10
    report = await world.fsck()
    assert (report.images, report.bytes) == (2, 10)


@pytest.mark.parametrize(
    ("damage", "kind"), [(None, fsck.MISSING), (b"pic", fsck.WRONG_SIZE), (b"PICTURE", fsck.WRONG_CONTENT)]
)
async def test_a_damaged_picture_is_found_and_given_up(world: World, damage: bytes | None, kind: str) -> None:
    picture = await reported(world)
    file = world.file_of(picture.picture_key)
    file.unlink() if damage is None else file.write_bytes(damage)
    report = await world.fsck()
    assert (report.problems[kind], report.examples[kind]) == (1, [f"report {picture.report_id}"])
    repaired = await world.fsck(repair=True)
    assert (repaired.repaired, repaired.left) == ({kind: 1}, 0)
    assert (await world.fsck()).clean
    assert not file.exists()
    assert await world.db.write(partial(reports.find, report_id=picture.report_id))
