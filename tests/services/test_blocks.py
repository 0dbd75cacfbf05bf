# SPDX-License-Identifier: Apache-2.0
"""What becomes of images that wait for nobody since their receiver blocks their sender, until their time is over."""

import pytest

from models.db.tables import push_history
from models.errors import ImageExpired, InboxFull, NotFound
from push.payload import unsendable
from tests.services.town import MAX_PENDING, TTL_SECONDS, Town, all_well, at_once

pytestmark = pytest.mark.anyio


async def shown(town: Town, sender: int, *keys: str) -> list[str]:
    return [(await town.reading.status(town.callers[sender].uid, key))["state"] for key in keys]  # type: ignore[index]


async def test_what_is_kept_back_is_pending_for_its_sender_until_its_time_is_over(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    group = await town.group(ben, ann, cat)
    before, shared = await town.send(ben, receiver_uid=ann), await town.send(ben, group_id=group)
    await town.people.block(ann, ben)
    after = await town.send(ben, receiver_uid=ann)
    images = (before, shared, after)
    assert [town.states(each.message_id) for each in (before, after)] == [["blocked"], ["blocked"]]
    assert sorted(town.states(shared.message_id)) == ["blocked", "pending"]
    town.check()
    await town.sweep()
    assert town.files() == 1, "what somebody else waits for"
    assert await shown(town, ben, *(each.message_key for each in images)) == ["pending"] * 3
    await town.sweep(1000 * TTL_SECONDS + 1)
    assert [town.states(each.message_id) for each in (before, after)] == [["withheld"], ["withheld"]]
    assert town.files() == 0
    town.clock.now += 1000 * TTL_SECONDS + 1
    assert await shown(town, ben, *(each.message_key for each in images)) == ["expired"] * 3
    for image in images:
        with pytest.raises(NotFound):
            await town.reading.find_image(ann, image.message_key)
        with pytest.raises(ImageExpired):
            await town.fetch(ben, image)


async def test_what_is_kept_back_can_be_recalled_and_then_takes_no_share(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    before = await town.send(ben, receiver_uid=ann)
    await town.people.block(ann, ben)
    after = await town.send(ben, receiver_uid=ann)
    for image in (before, after):
        await town.fetch(ben, image)
        assert town.states(image.message_id) == ["withheld"]
    assert await shown(town, ben, before.message_key, after.message_key) == ["recalled"] * 2
    assert town.told(ann) == ["image"]


async def test_an_inbox_is_as_full_for_who_is_blocked_as_it_would_be(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    await all_well(town.send(ben, receiver_uid=ann) for _ in range(2))
    await town.people.block(ann, ben)
    await all_well(town.send(cat, receiver_uid=ann) for _ in range(MAX_PENDING - 3))
    await town.send(ben, receiver_uid=ann)
    with pytest.raises(InboxFull):
        await town.send(ben, receiver_uid=ann)
    await all_well(town.send(cat, receiver_uid=ann) for _ in range(3))
    with pytest.raises(InboxFull):
        await town.send(cat, receiver_uid=ann)
    await town.people.unblock(ann, ben)
    with pytest.raises(InboxFull):
        await town.send(ben, receiver_uid=ann)


async def test_no_device_is_told_of_what_is_kept_back(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    await town.equip(ann)
    await town.people.block(ann, ben)
    await town.send(ben, receiver_uid=ann)
    await town.say(ben, receiver_uid=ann)
    claimed = await town.claim(10)
    assert [unsendable(row, town.clock()) for row in claimed] == ["blocked", "withheld"]
    assert await push_history.list_latest(town.db, uid=ann, device_id=town.device_of(ann), limit=10) == []


async def test_who_leaves_a_group_has_nothing_kept_back_there(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    group = await town.group(ben, ann)
    image = await town.send(ben, group_id=group)
    await town.people.block(ann, ben)
    await town.groups.remove_member(ann, group, ann)
    assert town.states(image.message_id) == ["released"]
    assert town.state_of(image.message_id)[0] == 0


async def test_blocking_while_images_come_and_go_adds_up(town: Town) -> None:
    for _ in range(4):
        ann, ben, cat = await town.newcomers(3)
        group = await town.group(ben, ann, cat)
        images = [await town.send(ben, receiver_uid=ann) for _ in range(2)] + [await town.send(ben, group_id=group)]
        await at_once(
            [
                *(town.fetch(ann, image) for image in images),
                town.people.block(ann, ben),
                *(town.fetch(cat, image) for image in images[2:]),
                *(town.fetch(ben, image) for image in images),
                town.send(ben, receiver_uid=ann),
                town.send(ben, group_id=group),
                town.sweep(1000 * TTL_SECONDS + 1),
            ]
        )
        town.check()
        sql = "SELECT count(*) FROM deliveries WHERE receiver_uid = ? AND sender_uid = ? AND state = 'pending'"
        assert town.engine.rows(sql, ann, ben) == [(0,)]
