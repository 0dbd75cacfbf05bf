# SPDX-License-Identifier: Apache-2.0
"""Many at once in one group: who is in it, who owns it and who still waits for what stay one story.

As in `test_message_races`, each test was seen to fail on MariaDB without the lock that it is about.
"""

import pytest

from models.errors import GroupTooLarge, NotFound, RecipientUnavailable
from services.membership import MAX_MEMBERS
from tests.services.town import MAX_PENDING, Town, all_well, at_once, no_deadlock, of

pytestmark = pytest.mark.anyio


async def test_an_inbox_takes_what_it_has_room_for_from_many_groups_at_once(town: Town) -> None:
    ben, *owners = await town.newcomers(13)
    groups = [await town.group(owner, ben) for owner in owners]
    with no_deadlock(town):
        await all_well(town.send(owner, group_id=group) for owner, group in zip(owners, groups, strict=True))
    states = "SELECT count(*) FROM deliveries WHERE receiver_uid = ? AND state = ?"
    assert town.engine.rows(states, ben, "pending") == [(MAX_PENDING,)]
    assert town.engine.rows(states, ben, "withheld") == [(len(owners) - MAX_PENDING,)]


async def test_members_who_write_to_overlapping_groups_at_once_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(5)
    groups = [await town.group(people[at], *(people[:at] + people[at + 1 :])) for at in range(3)]
    with no_deadlock(town):
        await all_well(town.say(one, group_id=group) for one in people for group in groups for _ in range(2))


@pytest.mark.parametrize("sender_is_gone", [False, True])
async def test_a_group_image_ends_when_its_last_members_fetch_it_at_once(town: Town, *, sender_is_gone: bool) -> None:
    people = await town.newcomers(8)
    group = await town.group(*people)
    images = [await town.send(people[0], group_id=group) for _ in range(4)]
    if sender_is_gone:
        # No event to the sender then: nothing that all of them write but what ends the image.
        town.engine.execute("UPDATE messages SET sender_uid = NULL")
    for image in images:
        with no_deadlock(town):
            await all_well(town.fetch(member, image) for member in people[1:])
        assert town.state_of(image.message_id) == (0, town.clock())


async def test_a_group_image_ends_when_one_fetches_it_and_the_other_leaves(town: Town) -> None:
    for _ in range(5):
        ann, ben, cem = await town.newcomers(3)
        group = await town.group(ann, ben, cem)
        image = await town.send(ann, group_id=group)
        with no_deadlock(town):
            await all_well([town.fetch(ben, image), town.groups.remove_member(cem, group, cem)])
        assert town.state_of(image.message_id) == (0, town.clock())


async def test_a_group_takes_as_many_as_it_holds_of_those_who_join_at_once(town: Town) -> None:
    owner, *others = await town.newcomers(MAX_MEMBERS + 4)
    group = await town.group(owner, *others[: MAX_MEMBERS - 3])
    room_gid = await town.room_gid(group)
    late = others[MAX_MEMBERS - 3 :]
    results = await at_once(town.groups.join(uid, room_gid) for uid in late)
    assert len(of(GroupTooLarge, results)) == len(late) - 2
    assert len(town.members(group)) == MAX_MEMBERS


async def test_people_who_come_into_each_others_groups_while_they_write_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(6)
    groups = [await town.group(owner) for owner in people]
    rooms = [await town.room_gid(group) for group in groups]
    with no_deadlock(town):
        for step in range(1, len(people)):
            joining = [town.groups.join(people[at - step], room) for at, room in enumerate(rooms)]
            saying = [
                town.say(owner, group_id=group, needs_others=False) for owner, group in zip(people, groups, strict=True)
            ]
            assert [each for each in await at_once([*joining, *saying]) if isinstance(each, BaseException)] == []
    assert [len(town.members(group)) for group in groups] == [len(people)] * len(groups)


async def test_people_who_are_put_into_groups_while_others_write_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(6)
    groups = [await town.group(owner) for owner in people]
    with no_deadlock(town):
        for step in range(1, len(people)):
            put = [
                town.put(owner, group, people[at - step])
                for at, (owner, group) in enumerate(zip(people, groups, strict=True))
            ]
            begun = [town.group(owner, *(other for other in people if other != owner)) for owner in people]
            assert [each for each in await at_once([*put, *begun]) if isinstance(each, BaseException)] == []
    assert [len(town.members(group)) for group in groups] == [len(people)] * len(groups)


async def test_a_group_has_one_owner_however_many_leave_at_once(town: Town) -> None:
    for _ in range(4):
        people = await town.newcomers(5)
        group = await town.group(*people)
        await all_well(town.groups.remove_member(uid, group, uid) for uid in people[:3])
        assert sorted(town.members(group).values()) == ["member", "owner"]
        await all_well(town.leave_all(uid) for uid in people[3:])
        assert town.engine.rows("SELECT count(*) FROM `groups` WHERE group_id = ?", group) == [(0,)]


async def test_what_is_sent_to_a_group_while_somebody_leaves_it_does_not_wait_for_them(town: Town) -> None:
    for _ in range(4):
        ann, ben, cem = await town.newcomers(3)
        group = await town.group(ann, ben, cem)
        left = town.groups.remove_member(cem, group, cem)
        await all_well([town.send(ann, group_id=group), left, town.send(ben, group_id=group)])
        waiting = "SELECT count(*) FROM deliveries WHERE receiver_uid = ? AND state IN ('pending', 'withheld')"
        assert town.engine.rows(waiting, cem) == [(0,)]


async def test_who_comes_into_a_group_while_others_write_sees_what_comes_after(town: Town) -> None:
    ann, ben, *late = await town.newcomers(8)
    group = await town.group(ann, ben)
    room_gid = await town.room_gid(group)
    joining = [town.groups.join(uid, room_gid) for uid in late]
    saying = [town.say(sender, group_id=group) for sender in (ann, ben) for _ in range(6)]
    await at_once([*joining, *saying])
    for uid in late:
        [(after,)] = town.engine.rows("SELECT joined_after FROM group_members WHERE uid = ?", uid)
        later = town.engine.rows("SELECT message_id FROM messages WHERE message_id > ? ORDER BY message_id", after)
        got = "SELECT message_id FROM deliveries WHERE receiver_uid = ? ORDER BY message_id"
        assert town.engine.rows(got, uid) == later


async def test_a_group_that_is_deleted_while_its_members_are_at_work_leaves_nothing_waiting(town: Town) -> None:
    for _ in range(4):
        people = await town.newcomers(5)
        group = await town.group(*people)
        images = [await town.send(people[0], group_id=group) for _ in range(3)]
        calls = [town.fetch(member, image) for member in people[1:3] for image in images]
        sent = [town.send(people[3], group_id=group), town.say(people[4], group_id=group)]
        gone = [town.groups.remove_member(people[2], group, people[2]), town.groups.delete(people[0], group)]
        results = await at_once([*calls, *sent, *gone])
        assert {type(result) for result in results if isinstance(result, BaseException)} <= {
            NotFound,
            RecipientUnavailable,
        }
        assert town.members(group) == {}
        assert town.engine.rows("SELECT count(*) FROM deliveries WHERE state = 'pending'") == [(0,)]
