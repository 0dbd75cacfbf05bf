# SPDX-License-Identifier: Apache-2.0
"""What looks after rows and files copes with images to many and with messages that are no image."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.ids import MAX_ID
from models.paging import IdRange
from tests.services.maintenance.world import DAY, TTL_SECONDS, Image, World, new_world
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio

WITHHOLD = "UPDATE deliveries SET state = 'withheld' WHERE message_id = ? AND receiver_uid = ?"
RECOUNT = "UPDATE users SET pending_count = 0, pending_bytes = 0 WHERE uid = ?"
TO_GROUP = "UPDATE messages SET group_id = 1, receiver_uid = NULL WHERE message_id = ?"
TEXT = """
    INSERT INTO messages (kind, sender_uid, receiver_uid, send_time, exist, filetype, size, caption, body, expires_at,
    stored) VALUES ('text', ?, ?, ?, 0, '', 0, '', '{"text": "hello"}', 0, 0)
"""


@pytest.fixture
async def world(engine: Engine, tmp_path: Path) -> AsyncIterator[World]:
    async with new_world(tmp_path / "data", engine) as world:
        yield world


async def test_retention_and_fsck_cope_with_group_images_and_texts(world: World) -> None:
    reader = await world.caller()
    ann, ben, cat, dan = await world.person(), reader.uid, await world.person(), await world.person()
    image: Image = await world.send(ann, ben, cat, dan)
    world.execute(TO_GROUP, image.message_id)
    world.execute(WITHHOLD, image.message_id, dan)
    world.execute(RECOUNT, dan)
    world.execute(TEXT, ann, ben, world.clock())
    [(text_id,)] = world.rows("SELECT message_id FROM messages WHERE kind = 'text'")
    world.execute(
        "INSERT INTO deliveries (message_id, receiver_uid, sender_uid, state) VALUES (?, ?, ?, 'pending')",
        text_id,
        ben,
        ann,
    )
    assert (await world.fsck()).clean
    inbox = await world.reading().inbox(reader, IdRange(0, MAX_ID, 10))
    assert [item["message_id"] for item in inbox.items] == [image.message_id]

    world.execute("UPDATE users SET pending_count = 9 WHERE uid IN (?, ?)", ben, dan)
    assert (await world.fsck(repair=True)).repaired == {"wrong_counters": 2}
    assert [world.counters(uid)[0] for uid in (ben, cat, dan)] == [1, 1, 0]

    world.clock.passes(TTL_SECONDS)
    counts = await world.retention().run_once()
    assert (counts.failed, counts.removed["expired"], counts.removed["files"]) == ([], 1, 1)
    assert [world.state(image, uid) for uid in (ben, cat, dan)] == ["expired", "expired", "withheld"]
    assert [world.counters(uid) for uid in (ben, cat, dan)] == [(0, 0)] * 3
    assert not world.has_file(image)

    world.clock.passes(400 * DAY)
    counts = await world.retention().run_once()
    assert (counts.failed, counts.removed["messages"]) == ([], 2)
    assert (world.count("messages"), world.count("deliveries")) == (0, 0)
    assert (await world.fsck()).clean


async def test_a_lost_group_image_ends_for_all_it_waits_for(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    image = await world.send(ann, ben, cat)
    world.execute(TO_GROUP, image.message_id)
    world.file_of(image.key).unlink()
    assert (await world.fsck(repair=True)).problems["missing_files"] == 1
    assert [world.state(image, uid) for uid in (ben, cat)] == ["lost", "lost"]
    assert [world.counters(uid) for uid in (ben, cat)] == [(0, 0), (0, 0)]
    assert (await world.fsck()).clean
