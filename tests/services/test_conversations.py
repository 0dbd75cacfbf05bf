# SPDX-License-Identifier: Apache-2.0
"""Everybody's list of conversations: in what order, what is unread, and who learns that it was read."""

from typing import Any

import pytest

from models.db.tables import conversations
from models.errors import NotFound
from models.ids import MAX_ID
from models.paging import IdRange
from models.user import UserId
from services.conversations import Conversations
from services.history import Conversation, History
from tests.services.town import Town, all_well, no_deadlock

pytestmark = pytest.mark.anyio

EVERYTHING = IdRange(0, MAX_ID, 200)


def service(town: Town) -> Conversations:
    return Conversations(db=town.db, history=History(db=town.db, clock=town.clock), clock=town.clock)


async def listed(town: Town, uid: UserId, wanted: IdRange = EVERYTHING) -> list[dict[str, Any]]:
    return list((await service(town).list(uid, wanted)).items)


async def brief(town: Town, uid: UserId) -> list[tuple[str, int | None, int]]:
    """Who, the last message and how much is unread."""
    return [
        (
            f"g{item['group_id']}" if "group_id" in item else f"{item['peer_uid']}",
            item["last"] and item["last"]["message_id"],
            item["unread"],
        )
        for item in await listed(town, uid)
    ]


async def read(town: Town, uid: UserId, up_to: int, *, peer: int | None = None, group: int | None = None) -> None:
    await service(town).mark_read(uid, Conversation(peer, group), up_to)


def told(town: Town, uid: UserId) -> int:
    """How often they learned that something was read."""
    return town.told(uid).count("conversation_read")


async def test_people_and_groups_stand_there_by_what_was_said_last(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    group, _ = await town.group(ann, ben, cat), await town.group(ann, ben)
    first = await town.say(ann, receiver_uid=ben)
    second = await town.say(cat, group_id=group)
    third = (await town.send(ben, receiver_uid=ann)).message_id
    assert await brief(town, ann) == [(f"{ben}", third, 1), (f"g{group}", second, 1)]
    assert await brief(town, ben) == [(f"{ann}", third, 1), (f"g{group}", second, 1)]
    assert await brief(town, cat) == [(f"g{group}", second, 0)]
    [with_ben, in_group] = await listed(town, ann)
    assert (with_ben["nickname"], with_ben["last"]["kind"], with_ben["last"]["state"]) == ("x", "image", "pending")
    assert (in_group["name"], in_group["last"]["text"], in_group["read_up_to"]) == ("friends", "hello", 0)
    again = await town.say(cat, group_id=group)
    assert [who for who, *_ in await brief(town, ben)] == [f"g{group}", f"{ann}"]
    assert first < second < third < again


async def test_what_is_read_is_told_once_to_those_who_said_it(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    sent = [await town.say(ann, receiver_uid=ben) for _ in range(3)]
    own = await town.say(ben, receiver_uid=ann)
    await read(town, ben, sent[1], peer=ann)
    assert (await town.log(ann))[-1] == ("conversation_read", {"uid": ben, "up_to": sent[1]})
    assert await brief(town, ben) == [(f"{ann}", own, 1)]
    for again in (sent[1], sent[0], 1):
        await read(town, ben, again, peer=ann)
    assert await brief(town, ben) == [(f"{ann}", own, 1)]
    assert told(town, ann) == 1
    await read(town, ben, MAX_ID, peer=ann)
    assert [item["read_up_to"] for item in await listed(town, ben)] == [own]
    await town.say(ben, receiver_uid=ann)
    await read(town, ben, MAX_ID, peer=ann)
    assert (told(town, ann), told(town, ben)) == (2, 0)
    assert [item["unread"] for item in await listed(town, ann)] == [2]


async def test_in_a_group_those_learn_of_it_whose_messages_were_read(town: Town) -> None:
    ann, ben, cat, dan = await town.newcomers(4)
    group = await town.group(ann, ben, cat, dan)
    first, second = await town.say(ann, group_id=group), await town.say(ben, group_id=group)
    await read(town, cat, first, group=group)
    assert [told(town, uid) for uid in (ann, ben, cat, dan)] == [1, 0, 0, 0]
    assert (await town.log(ann))[-1][1] == {"uid": cat, "up_to": first, "group_id": group}
    await read(town, cat, second, group=group)
    await read(town, ann, second, group=group)
    assert [told(town, uid) for uid in (ann, ben, cat, dan)] == [1, 2, 0, 0]
    await town.leave_all(ben)
    await read(town, dan, second, group=group)
    assert [told(town, uid) for uid in (ann, ben, cat, dan)] == [2, 2, 0, 0]


async def test_who_does_not_want_it_tells_nobody(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    group = await town.group(ann, ben)
    town.engine.execute("UPDATE users SET read_receipts = 0 WHERE uid = ?", ben)
    await read(town, ben, await town.say(ann, receiver_uid=ben), peer=ann)
    await read(town, ben, await town.say(ann, group_id=group), group=group)
    assert told(town, ann) == 0
    assert [item["unread"] for item in await listed(town, ben)] == [0, 0]


async def test_strangers_and_groups_of_others_are_not_there(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    group = await town.group(ann, ben)
    await town.say(ann, receiver_uid=ben)
    for nobody in ({"peer": ben}, {"peer": 2**60}, {"group": group}, {"group": 2**60}):
        with pytest.raises(NotFound):
            await read(town, cat, 1, **nobody)
    assert await brief(town, cat) == []


async def test_what_is_withheld_changes_no_conversation_of_who_does_not_get_it(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    group = await town.group(ann, ben, cat)
    first = await town.say(cat, group_id=group)
    await town.people.block(ben, ann)
    second = await town.say(ann, group_id=group)
    assert await brief(town, ben) == [(f"g{group}", first, 1)]
    assert await brief(town, ann) == [(f"g{group}", second, 1)]
    await read(town, ben, second, group=group)
    assert (told(town, ann), told(town, cat)) == (0, 1)


async def test_what_is_withheld_between_two_is_the_sender_s_alone(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    before = await town.say(ann, receiver_uid=ben)
    for person in (ann, cat):
        await town.people.block(ben, person)
        after = await town.say(person, receiver_uid=ben)
        assert await brief(town, person) == [(f"{ben}", after, 0)]
    assert await brief(town, ben) == [(f"{ann}", before, 1)]
    with pytest.raises(NotFound):
        await read(town, ben, MAX_ID, peer=cat)
    await read(town, ben, MAX_ID, peer=ann)
    assert (told(town, ann), [item["read_up_to"] for item in await listed(town, ben)]) == (1, [before])


async def test_a_newcomer_to_a_group_begins_with_what_is_said_from_then_on(town: Town) -> None:
    ann, ben, cat = await town.newcomers(3)
    group = await town.group(ann, ben)
    await town.say(ann, group_id=group)
    await town.groups.join(cat, await town.room_gid(group))
    assert await brief(town, cat) == []
    since = await town.say(ann, group_id=group)
    assert await brief(town, cat) == [(f"g{group}", since, 1)]
    await town.leave_all(cat)
    assert await brief(town, cat) == []


async def test_where_the_last_message_is_gone_the_newest_that_is_left_is_shown(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    group = await town.group(ann, ben)
    kept, gone = await town.say(ann, receiver_uid=ben), await town.say(ann, receiver_uid=ben)
    lost = await town.say(ann, group_id=group)
    for message_id in (gone, lost):
        await town.messaging.delete(ann, message_id)
    assert await brief(town, ben) == [(f"g{group}", None, 0), (f"{ann}", kept, 1)]


async def test_notes_to_oneself_are_never_unread(town: Town) -> None:
    [ann] = await town.newcomers(1)
    sent = [await town.say(ann, receiver_uid=ann) for _ in range(2)]
    assert await brief(town, ann) == [(f"{ann}", sent[1], 0)]
    await read(town, ann, sent[1], peer=ann)
    assert told(town, ann) == 0


async def test_pages_show_every_conversation_once_and_no_page_says_too_much(town: Town) -> None:
    ann, *others = await town.newcomers(8)
    for number, other in enumerate(others):
        await town.say(other, receiver_uid=ann, text="\U0001f600" * 8000 if number % 2 else "short")
    seen: list[int] = []
    before: int | None = MAX_ID
    sizes = []
    while before is not None:
        page = await service(town).list(ann, IdRange(0, before, 4))
        seen += [item["peer_uid"] for item in page.items]
        sizes.append(len(page.items))
        before = page.next
    assert seen == others[::-1]
    assert sizes == [4, 3]


async def test_no_more_is_counted_than_is_shown(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    await town.say(ann, receiver_uid=ben)
    row = "kind, sender_uid, receiver_uid, send_time, exist, filetype, size, caption, body, expires_at, stored"
    town.engine.execute(
        f"INSERT INTO messages ({row}) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
        " SELECT kind, sender_uid, receiver_uid, send_time, exist, filetype, size, caption, body, expires_at, stored"
        " FROM messages, n"
    )
    town.engine.execute(
        "INSERT INTO deliveries (message_id, receiver_uid, sender_uid, state)"
        " SELECT message_id, receiver_uid, sender_uid, 'sent' FROM messages WHERE message_id > 1"
    )
    last = await town.say(ann, receiver_uid=ben)
    assert await brief(town, ben) == [(f"{ann}", last, conversations.MAX_UNREAD)]


async def test_marks_and_messages_at_once_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(5)
    group = await town.group(*people)
    with no_deadlock(town):
        for _ in range(4):
            calls = [town.say(one, receiver_uid=other) for one in people for other in people if one != other]
            await all_well([*calls, *(town.say(one, group_id=group) for one in people)])
            marks = [read(town, one, MAX_ID, peer=other) for one in people for other in people if one != other]
            says = [town.say(one, receiver_uid=other) for one in people for other in people if one != other]
            in_group = [read(town, one, MAX_ID, group=group) for one in people]
            await all_well([*marks, *in_group, *says, *(town.say(one, group_id=group) for one in people)])
    for one in people:
        for other in people:
            if one != other:
                await read(town, one, MAX_ID, peer=other)
        await read(town, one, MAX_ID, group=group)
        assert [unread for _, _, unread in await brief(town, one)] == [0] * 5


async def test_a_mark_and_a_setting_outlive_what_they_are_about(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    sent = await town.say(ann, receiver_uid=ben)
    await read(town, ben, sent, peer=ann)
    await town.messaging.delete(ann, sent)
    assert await brief(town, ben) == [(f"{ann}", None, 0)]
    newest = await town.say(ann, receiver_uid=ben)
    assert await brief(town, ben) == [(f"{ann}", newest, 1)]
