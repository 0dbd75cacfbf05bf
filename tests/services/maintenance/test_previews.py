# SPDX-License-Identifier: Apache-2.0
"""The previews of images among the files that are kept: swept, counted, checked and removed with their image."""

import hashlib

import pytest

from models.db.tables import image_files
from services.maintenance import fsck, stored_files
from storage.keys import preview_key
from tests.services.maintenance.world import ORPHAN_SECONDS, TTL_SECONDS, Image, World

pytestmark = pytest.mark.anyio

SMALL = b"small"


async def with_preview(world: World, data: bytes = b"picture") -> Image:
    """An image that waits for somebody, with its preview."""
    image = await world.send(await world.person(), await world.person(), data=data)
    await world.store.put(preview_key(image.key), SMALL)
    world.execute(
        "UPDATE messages SET placeholder = ?, preview_type = ?, preview_size = ?, preview_sha256 = ?"
        " WHERE message_id = ?",
        *("1QcSHQRnh493", "jpeg", len(SMALL), hashlib.sha256(SMALL).digest(), image.message_id),
    )
    return image


def shown(world: World, image: Image) -> tuple[object, ...]:
    sql = "SELECT placeholder, preview_type, preview_size, preview_sha256 FROM messages WHERE message_id = ?"
    [row] = world.rows(sql, image.message_id)
    return row


def has_preview(world: World, image: Image) -> bool:
    return world.file_of(preview_key(image.key)).exists()


async def test_a_preview_goes_with_its_image_and_so_does_the_placeholder(world: World) -> None:
    image = await with_preview(world)
    await world.retention().run_once()
    assert (world.has_file(image), has_preview(world, image)) == (True, True)
    world.clock.passes(TTL_SECONDS)
    assert (await world.retention().run_once()).removed["files"] == 1
    assert (world.has_file(image), has_preview(world, image)) == (False, False)
    assert shown(world, image) == (None, None, 0, None)
    assert (await world.fsck()).clean


async def test_a_preview_is_swept_when_no_row_speaks_of_it(world: World) -> None:
    kept, plain = await with_preview(world), await world.send(await world.person(), await world.person())
    await world.store.put(preview_key(plain.key), SMALL)
    for image in (kept, plain):
        world.age(preview_key(image.key), 2 * ORPHAN_SECONDS)
    report = await world.fsck()
    assert report.examples == {fsck.ORPHAN: [preview_key(plain.key)]}
    assert (await world.fsck(repair=True)).repaired == {fsck.ORPHAN: 1}
    assert (has_preview(world, kept), has_preview(world, plain), world.has_file(plain)) == (True, False, True)


async def test_previews_are_counted_with_what_is_stored(world: World) -> None:
    await with_preview(world, b"picture")
    assert await image_files.stored_bytes(world.db) == len(b"picture") + len(SMALL)
    assert world.store.stored_bytes == len(b"picture") + len(SMALL)


@pytest.mark.parametrize(
    ("damage", "kind"), [(None, fsck.MISSING), (b"smal", fsck.WRONG_SIZE), (b"smaLL", fsck.WRONG_CONTENT)]
)
async def test_an_image_goes_on_without_a_preview_that_is_not_what_it_should_be(
    world: World, damage: bytes | None, kind: str
) -> None:
    image = await with_preview(world)
    file = world.file_of(preview_key(image.key))
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    report = await world.fsck(repair=True)
    assert report.examples == {kind: [f"preview of {image.message_id}"]}
    assert report.left == 0
    assert (world.has_file(image), has_preview(world, image)) == (True, False)
    assert shown(world, image) == ("1QcSHQRnh493", None, 0, None)
    assert (await world.fsck()).clean


async def test_the_preview_of_a_lost_image_goes_too(world: World) -> None:
    image = await with_preview(world)
    world.file_of(image.key).unlink()
    assert (await world.fsck(repair=True)).repaired == {fsck.MISSING: 1}
    assert not has_preview(world, image)
    assert (await world.fsck()).clean


async def test_a_preview_is_among_the_files_of_a_backup(world: World) -> None:
    image = await with_preview(world)
    [batch] = [batch async for batch in stored_files.in_batches(world.db, 10)]
    assert [(file.key, file.size) for file in batch] == [
        (image.key, len(image.data)),
        (preview_key(image.key), len(SMALL)),
    ]
