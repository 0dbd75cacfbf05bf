# SPDX-License-Identifier: Apache-2.0
"""Many at once over one database: images, texts, groups and claims stay what they would be one after the other.

SQLite runs units one after the other by itself; on MariaDB they interleave, and each test here was seen to fail there
without the lock, the compare-and-set or the unique key that it is about.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.clock import DAY_MS
from models.db.database import DatabaseError
from models.errors import (
    AppError,
    GroupTooLarge,
    IdempotencyConflict,
    ImageConsumed,
    ImageExpired,
    InboxFull,
    NotFound,
    RecipientUnavailable,
)
from models.user import UserId
from services.membership import MAX_MEMBERS
from services.recording import Sent
from tests.db.town import MAX_PENDING, TTL_SECONDS, Town, all_well, at_once, open_town
from tests.engines import Engine

pytestmark = pytest.mark.anyio


@pytest.fixture
async def town(engine: Engine, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(engine, tmp_path) as town:
        yield town
        town.check()


@contextmanager
def no_deadlock(town: Town) -> Iterator[None]:
    """Deadlocks are run again and no harm, but what takes its locks in order has none."""
    before = _deadlocks(town)
    yield
    assert _deadlocks(town) == before


def _deadlocks(town: Town) -> int:
    if town.engine.name == "sqlite":
        return 0
    [(_, count)] = town.engine.rows("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(count)


def _of(kind: type, results: Sequence[object]) -> list[object]:
    return [result for result in results if isinstance(result, kind)]


async def test_an_inbox_takes_what_it_has_room_for_from_many_senders_at_once(town: Town) -> None:
    ben, *senders = await town.newcomers(21)
    with no_deadlock(town):
        results = await at_once(town.send(sender, receiver_uid=ben) for sender in senders)
    assert len(_of(Sent, results)) == MAX_PENDING
    assert len(_of(InboxFull, results)) == len(senders) - MAX_PENDING
    assert town.files() == MAX_PENDING


async def test_an_inbox_takes_what_it_has_room_for_from_many_groups_at_once(town: Town) -> None:
    ben, *owners = await town.newcomers(13)
    groups = [await town.group(owner, ben) for owner in owners]
    with no_deadlock(town):
        await all_well(town.send(owner, group_id=group) for owner, group in zip(owners, groups, strict=True))
    states = "SELECT count(*) FROM deliveries WHERE receiver_uid = ? AND state = ?"
    assert town.engine.rows(states, ben, "pending") == [(MAX_PENDING,)]
    assert town.engine.rows(states, ben, "withheld") == [(len(owners) - MAX_PENDING,)]


async def test_people_who_write_to_each_other_at_once_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(5)
    town.equip(*people)
    pairs = [(one, two) for one in people for two in people if one != two]
    with no_deadlock(town):
        await all_well(town.say(one, receiver_uid=two) for one, two in pairs * 3)
        await all_well(town.send(one, receiver_uid=two) for one, two in pairs)


async def test_members_who_write_to_overlapping_groups_at_once_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(5)
    groups = [await town.group(people[at], *(people[:at] + people[at + 1 :])) for at in range(3)]
    with no_deadlock(town):
        await all_well(town.say(one, group_id=group) for one in people for group in groups for _ in range(2))


async def test_the_same_key_at_once_is_one_image_and_one_reply(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    for _ in range(MAX_PENDING - 1):
        await town.send(ann, receiver_uid=ben)
    # The last place in the inbox: whoever is second must not be told that it is full.
    results = await all_well(town.send(ann, key="once", receiver_uid=ben) for _ in range(6))
    assert len(set(results)) == 1
    assert town.engine.rows("SELECT count(*) FROM messages") == [(MAX_PENDING,)]
    assert town.files() == MAX_PENDING


async def test_the_same_key_at_once_with_different_images_is_one_image_and_a_conflict(town: Town) -> None:
    ann, ben, cem = await town.newcomers(3)
    results = await at_once(
        town.send(ann, key="once", data=data, receiver_uid=to) for to in (ben, cem) for data in (b"one", b"two")
    )
    assert len(_of(Sent, results)) == 1
    assert len(_of(IdempotencyConflict, results)) == 3
    assert town.files() == 1


async def test_the_same_key_at_once_is_one_text(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    results = await all_well(town.say(ann, key="once", receiver_uid=ben) for _ in range(6))
    assert len(set(results)) == 1
    assert town.engine.rows("SELECT count(*) FROM messages") == [(1,)]


async def test_a_key_that_has_run_out_and_was_not_swept_is_free_for_one_image(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    first = await town.send(ann, key="daily", receiver_uid=ben)
    town.clock.now += DAY_MS
    results = await all_well(town.send(ann, key="daily", receiver_uid=ben) for _ in range(4))
    assert len({first, *results}) == 2


async def test_one_of_many_fetches_consumes_and_the_sender_is_told_once(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    image = await town.send(ann, receiver_uid=ben)
    await all_well(town.fetch(ben, image) for _ in range(6))
    assert town.engine.rows("SELECT type FROM events WHERE uid = ?", ann) == [("image_consumed",)]


@pytest.mark.parametrize("sender_is_gone", [False, True])
async def test_a_group_image_ends_when_its_last_members_fetch_it_at_once(town: Town, *, sender_is_gone: bool) -> None:
    people = await town.newcomers(8)
    group = await town.group(*people)
    images = [await town.send(people[0], group_id=group) for _ in range(4)]
    if sender_is_gone:
        # No event to the sender then: nothing that all of them write but what ends the image.
        town.engine.execute("UPDATE messages SET sender_uid = NULL")
    for image in images:
        await all_well(town.fetch(member, image) for member in people[1:])
        assert town.state_of(image.message_id) == (0, town.clock())


async def test_a_group_image_ends_when_one_fetches_it_and_the_other_leaves(town: Town) -> None:
    for _ in range(5):
        ann, ben, cem = await town.newcomers(3)
        group = await town.group(ann, ben, cem)
        image = await town.send(ann, group_id=group)
        await all_well([town.fetch(ben, image), town.groups.remove_member(cem, group, cem)])
        assert town.state_of(image.message_id) == (0, town.clock())


async def test_an_image_ends_in_one_way_and_who_is_told_of_it_is_told_so(town: Town) -> None:
    people = await town.newcomers(12)
    pairs = list(zip(people[::2], people[1::2], strict=True))
    images = [await town.send(ann, receiver_uid=ben) for ann, ben in pairs]
    taken = [town.fetch(ben, image) for (_, ben), image in zip(pairs, images, strict=True)]
    recalled = [town.fetch(ann, image) for (ann, _), image in zip(pairs, images, strict=True)]
    over = [town.sweep(1000 * TTL_SECONDS), town.sweep(1000 * TTL_SECONDS)]
    results = await at_once([*taken, *recalled, *over])
    assert results[-2:] == [None, None]
    for number, ((ann, ben), image) in enumerate(zip(pairs, images, strict=True)):
        [state] = town.states(image.message_id)
        of_sender = results[len(pairs) + number]
        if state == "consumed":
            assert (town.told(ann), town.told(ben)) == (["image_consumed"], ["image"])
            assert isinstance(of_sender, ImageConsumed)
        elif state == "recalled":
            assert (town.told(ann), town.told(ben)) == ([], ["image", "image_recalled"])
            assert of_sender is None
        else:
            assert (state, town.told(ann), town.told(ben)) == ("expired", [], ["image"])
            assert isinstance(of_sender, ImageExpired)


async def test_two_who_sweep_at_once_end_everything_once(town: Town) -> None:
    people = await town.newcomers(6)
    group = await town.group(*people)
    for member in people:
        await town.send(member, group_id=group)
    await all_well(town.sweep(1000 * TTL_SECONDS + 1) for _ in range(3))
    assert town.files() == 0
    assert town.engine.rows("SELECT DISTINCT state FROM deliveries") == [("expired",)]


async def test_a_group_takes_as_many_as_it_holds_of_those_who_join_at_once(town: Town) -> None:
    owner, *others = await town.newcomers(MAX_MEMBERS + 4)
    group = await town.group(owner, *others[: MAX_MEMBERS - 3])
    room_gid = await town.room_gid(group)
    late = others[MAX_MEMBERS - 3 :]
    results = await at_once(town.groups.join(uid, {"room_gid": room_gid}) for uid in late)
    assert len(_of(GroupTooLarge, results)) == len(late) - 2
    assert len(town.members(group)) == MAX_MEMBERS


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
    joining = [town.groups.join(uid, {"room_gid": room_gid}) for uid in late]
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


async def test_nothing_comes_after_a_block(town: Town) -> None:
    """Whoever was told that a sender is blocked gets nothing from them that was on its way."""
    ben, *senders = await town.newcomers(7)

    async def block(sender: UserId) -> int:
        await town.people.block(ben, sender)
        return len(town.told(ben))

    results = await at_once(call for sender in senders for call in (town.say(sender, receiver_uid=ben), block(sender)))
    for sender, sent, heard in zip(senders, results[::2], results[1::2], strict=True):
        got = "SELECT event_id FROM events WHERE uid = ? AND data LIKE ?"
        events = town.engine.rows(got, ben, f'%"sender_uid": {sender},%')
        assert isinstance(heard, int)
        assert isinstance(sent, RecipientUnavailable) or events[0][0] <= heard


async def test_a_text_that_is_taken_back_twice_at_once_is_there_once(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    said = [await town.say(ann, receiver_uid=ben) for _ in range(6)]
    results = await at_once(town.messaging.delete(ann, message_id) for message_id in said for _ in range(2))
    assert len(_of(NotFound, results)) == len(said)
    assert town.engine.rows("SELECT count(*) FROM messages") == [(0,)]
    assert town.engine.rows("SELECT count(*) FROM events WHERE data LIKE ?", '%"deleted": true%') == [(len(said),)]


async def test_no_row_is_claimed_twice_and_none_is_passed_over(town: Town) -> None:
    (ann,) = await town.newcomers(1)
    town.equip(ann)
    [(device_id,)] = town.engine.rows("SELECT device_id FROM devices")
    await town.push_each(device_id, 60)
    claimed: list[int] = []
    while found := [row.outbox_id for rows in await all_well(town.claim(7) for _ in range(5)) for row in rows]:
        claimed += found
    assert len(set(claimed)) == len(claimed) == 60


async def test_whatever_people_do_at_once_adds_up(town: Town) -> None:
    people = await town.newcomers(6)
    town.equip(*people)
    group = await town.group(*people)
    images = [await town.send(people[at - 1], receiver_uid=people[at]) for at in range(6)]
    shared = [await town.send(member, group_id=group) for member in people[:2]]
    results = await at_once(
        call
        for at, member in enumerate(people)
        for call in (
            town.send(member, receiver_uid=people[at - 1]),
            town.fetch(member, images[at]),
            *(town.fetch(member, image) for image in shared),
            town.send(member, group_id=group),
            town.fetch(people[at - 1], images[at]),
            town.say(member, group_id=group),
            town.groups.remove_member(member, group, member) if at % 2 else town.people.block(member, people[at - 2]),
            town.sweep(1000 * TTL_SECONDS * (at % 2)),
        )
    )
    odd = [result for result in results if isinstance(result, BaseException)]
    assert [error for error in odd if not isinstance(error, AppError) or isinstance(error, DatabaseError)] == []
