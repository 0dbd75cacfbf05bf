# SPDX-License-Identifier: Apache-2.0
"""Uploads that nobody goes on with end, with their bytes; what a dead process has left of others is swept."""

import os
from pathlib import Path

import pytest

from models.db.database import Transaction
from models.db.tables import uploads
from models.user import UserId
from tests.services.maintenance.world import HOUR, World

pytestmark = pytest.mark.anyio


async def upload(world: World, upload_id: str, uid: UserId, *, hours: int = 24) -> Path:
    """One with ten bytes."""
    now = world.clock()

    async def unit(tx: Transaction) -> None:
        await uploads.insert_new(
            tx,
            upload_id=upload_id,
            uid=uid,
            receiver_uid=uid,
            group_id=None,
            caption=None,
            ttl_seconds=None,
            filetype=None,
            placeholder=None,
            length=20,
            holder="me",
            now=now,
            expires_at=now + hours * HOUR * 1000,
        )
        ends_at = now + hours * HOUR * 1000
        await uploads.save(tx, upload_id, holder="me", received=10, stored=10, held=None, expires_at=ends_at)

    await world.db.write(unit)
    with world.store.reserve(10) as room:
        file = await world.store.uploads.open(upload_id, 0, room)
        assert file
        await file.write(b"0123456789", 0)
        await file.close()
    return world.folder / "images/.uploads" / upload_id


async def test_an_upload_ends_when_its_time_is_over(world: World) -> None:
    uid = await world.person()
    short, long = await upload(world, "a" * 32, uid, hours=1), await upload(world, "b" * 32, uid, hours=72)
    assert await world.retention().count_stored() == 20
    world.clock.passes(2 * HOUR)
    retention = world.retention()
    assert (await retention.dry_run()).removed["uploads"] == 1
    assert (await retention.run_once()).removed["uploads"] == 1
    assert (short.exists(), long.exists()) == (False, True)
    assert await retention.count_stored() == 10
    assert [found.upload_id for found in await uploads.list_after(world.db, after="", limit=9)] == ["b" * 32]


async def test_a_file_that_no_open_upload_has_is_swept_and_another_stays(world: World) -> None:
    uid = await world.person()
    kept, left = await upload(world, "a" * 32, uid), await upload(world, "b" * 32, uid)
    await world.db.write(lambda tx: uploads.delete_one(tx, "b" * 32))
    for file in (kept, left):
        os.utime(file, (0, 0))
    report = await world.fsck()
    assert (report.problems["orphan_files"], report.problems["broken_uploads"]) == (1, 0)
    assert (await world.retention().run_once()).removed["stray_uploads"] == 1
    assert (kept.exists(), left.exists()) == (True, False)
