# SPDX-License-Identifier: Apache-2.0
"""Many at once over one database: images, texts and claims stay what they would be one after the other.

SQLite runs units one after the other by itself; on MariaDB they interleave, and each test here was seen to fail there
without the lock, the compare-and-set or the unique key that it is about.
"""

import asyncio
from contextlib import closing
from typing import Any

import pytest

from models.clock import DAY_MS
from models.db.database import DatabaseError, Transaction
from models.db.engine import parse_url
from models.db.mysql.connection import MysqlLocation
from models.db.tables import outbox, refresh_tokens
from models.errors import (
    AppError,
    IdempotencyConflict,
    ImageConsumed,
    ImageExpired,
    InboxFull,
    NotFound,
    RecipientUnavailable,
    Unauthenticated,
)
from models.user import UserId
from services.accounts.account_deletion import AccountDeletion, finish_all
from services.authentication import Caller
from services.sending import SentImage
from tests.services.town import MAX_PENDING, TTL_SECONDS, Town, all_well, at_once, no_deadlock, of
from tests.support import PATIENCE
from tests.support.engines import ON_MARIADB, Engine, mariadb_server

pytestmark = pytest.mark.anyio


async def test_an_inbox_takes_what_it_has_room_for_from_many_senders_at_once(town: Town) -> None:
    ben, *senders = await town.newcomers(21)
    with no_deadlock(town):
        results = await at_once(town.send(sender, receiver_uid=ben) for sender in senders)
    assert len(of(SentImage, results)) == MAX_PENDING
    assert len(of(InboxFull, results)) == len(senders) - MAX_PENDING
    assert town.files() == MAX_PENDING


async def test_people_who_write_to_each_other_at_once_wait_for_nobody_in_a_circle(town: Town) -> None:
    people = await town.newcomers(5)
    await town.equip(*people)
    pairs = [(one, two) for one in people for two in people if one != two]
    with no_deadlock(town):
        await all_well(town.say(one, receiver_uid=two) for one, two in pairs * 3)
        await all_well(town.send(one, receiver_uid=two) for one, two in pairs)


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
    assert len(of(SentImage, results)) == 1
    assert len(of(IdempotencyConflict, results)) == 3
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


async def test_people_who_fetch_and_take_back_at_once_wait_for_nobody_in_a_circle(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    pairs = [(ann, ben), (ben, ann)] * (MAX_PENDING - 1)
    images = [await town.send(sender, receiver_uid=receiver) for sender, receiver in pairs]
    with no_deadlock(town):
        fetched = [town.fetch(receiver, image) for (_, receiver), image in zip(pairs[4:], images[4:], strict=True)]
        recalled = [town.fetch(sender, image) for (sender, _), image in zip(pairs[:4], images[:4], strict=True)]
        await all_well([*fetched, *recalled, town.say(ann, receiver_uid=ben), town.say(ben, receiver_uid=ann)])


async def test_an_image_ends_in_one_way_and_who_is_told_of_it_is_told_so(town: Town) -> None:
    people = await town.newcomers(12)
    pairs = list(zip(people[::2], people[1::2], strict=True))
    images = [await town.send(ann, receiver_uid=ben) for ann, ben in pairs]
    taken = [town.fetch(ben, image) for (_, ben), image in zip(pairs, images, strict=True)]
    recalled = [town.fetch(ann, image) for (ann, _), image in zip(pairs, images, strict=True)]
    over = [town.sweep(1000 * TTL_SECONDS), town.sweep(1000 * TTL_SECONDS)]
    with no_deadlock(town):
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


async def test_who_fetches_many_while_they_are_swept_waits_for_nobody_in_a_circle(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    for _ in range(3):
        images = [await town.send(ann, receiver_uid=ben) for _ in range(MAX_PENDING)]
        with no_deadlock(town):
            await at_once([*(town.fetch(ben, image) for image in images), town.sweep(1000 * TTL_SECONDS)])
        assert set(town.states(images[-1].message_id)) <= {"consumed", "expired"}


async def test_two_who_sweep_at_once_end_everything_once(town: Town) -> None:
    people = await town.newcomers(6)
    group = await town.group(*people)
    for member in people:
        await town.send(member, group_id=group)
    await all_well(town.sweep(1000 * TTL_SECONDS + 1) for _ in range(3))
    assert town.files() == 0
    assert town.engine.rows("SELECT DISTINCT state FROM deliveries") == [("expired",)]


BLOCK = "INSERT INTO blocks (uid, blocked_uid, created_at) SELECT max(uid), min(uid), 0 FROM users"
END = {"ukey": "DELETE FROM credentials", "token": "DELETE FROM refresh_tokens"}


@ON_MARIADB
@pytest.mark.parametrize("by", ["ukey", "token"])
async def test_a_sending_that_meets_a_block_waits_for_it_and_is_withheld(town: Town, engine: Engine, by: str) -> None:
    """Whoever was told that a sender is blocked gets nothing from them that was on its way."""
    ann, ben = await town.newcomers(2)
    if by == "token":
        town.callers[ann] = await _by_token(town, ann)
    await _say_while(town, engine, BLOCK, ann, receiver_uid=ben)
    assert town.engine.rows("SELECT state FROM deliveries") == [("withheld",)]
    assert town.told(ben) == []


@ON_MARIADB
@pytest.mark.parametrize("by", ["ukey", "token"])
@pytest.mark.parametrize("to", ["person", "group"])
async def test_a_sending_that_meets_the_end_of_its_credential_waits_for_it_and_is_refused(
    town: Town, engine: Engine, by: str, to: str
) -> None:
    ann, ben = await town.newcomers(2)
    addressee = {"receiver_uid": ben} if to == "person" else {"group_id": await town.group(ann, ben)}
    if by == "token":
        town.callers[ann] = await _by_token(town, ann)
    with pytest.raises(Unauthenticated):
        await _say_while(town, engine, END[by], ann, **addressee)


async def _by_token(town: Town, uid: UserId) -> Caller:
    async def unit(tx: Transaction) -> None:
        end = town.clock() + DAY_MS
        await refresh_tokens.insert_token(tx, uid=uid, family="f", digest=b"", now=town.clock(), expires_at=end)

    await town.db.write(unit)
    return Caller(uid, None, family="f")


async def _say_while(town: Town, engine: Engine, statement: str, sender: UserId, **addressee: Any) -> None:
    """Say something that comes upon somebody else's transaction, which does this and then commits."""
    location = parse_url(engine.url)
    assert isinstance(location, MysqlLocation)
    with closing(mariadb_server().connect(location.name)) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT uid FROM users FOR UPDATE")
        cursor.execute(statement)
        saying = asyncio.create_task(town.say(sender, **addressee))
        async with asyncio.timeout(PATIENCE):
            while not saying.done() and not _somebody_waits():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.2)  # for a tenth of a second the server gives the same answer again
        cursor.execute("COMMIT")
    await saying


def _somebody_waits() -> bool:
    with closing(mariadb_server().connect()) as connection, connection.cursor() as cursor:
        return bool(cursor.execute("SELECT 1 FROM information_schema.innodb_lock_waits"))


async def test_a_text_that_is_taken_back_twice_at_once_is_there_once(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    said = [await town.say(ann, receiver_uid=ben) for _ in range(6)]
    results = await at_once(town.messaging.delete(ann, message_id) for message_id in said for _ in range(2))
    assert len(of(NotFound, results)) == len(said)
    assert town.engine.rows("SELECT count(*) FROM messages") == [(0,)]
    assert sorted(town.told(ben)) == ["message"] * len(said) + ["message_deleted"] * len(said)


async def test_no_row_is_claimed_twice_and_none_is_passed_over(town: Town) -> None:
    people = await town.newcomers(3)
    await town.equip(*people)
    for person in people:
        await town.push_each(town.device_of(person), outbox.CLAIMED_PER_PERSON)
    claimed: list[int] = []
    while found := [row.outbox_id for rows in await all_well(town.claim(7) for _ in range(5)) for row in rows]:
        claimed += found
    assert len(set(claimed)) == len(claimed) == 3 * outbox.CLAIMED_PER_PERSON


async def test_whatever_people_do_at_once_adds_up(town: Town) -> None:
    people = await town.newcomers(6)
    await town.equip(*people)
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


async def test_what_somebody_sends_while_their_account_ends_does_not_outlive_it(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    group = await town.group(ann, ben)
    leaving = AccountDeletion(db=town.db, keys=town.keys, wake_retention=lambda: None, clock=town.clock)
    sent = [town.send(ann, receiver_uid=ben), town.send(ann, group_id=group)]
    said = [town.say(ann, receiver_uid=ben), town.say(ann, group_id=group)]
    results = await at_once([*sent, leaving.leave(ann), *said])
    await finish_all(town.db, town.clock)
    assert {type(each) for each in results if isinstance(each, BaseException)} <= {
        Unauthenticated,
        RecipientUnavailable,
    }
    assert town.engine.rows("SELECT count(*) FROM users WHERE uid = ?", ann) == [(0,)]
    assert town.engine.rows("SELECT count(*) FROM messages WHERE sender_uid = ?", ann) == [(0,)]
    with pytest.raises(Unauthenticated):
        await town.say(ann, receiver_uid=ben)


@ON_MARIADB
async def test_a_download_learns_that_its_image_was_taken_back_through_another_process(town: Town) -> None:
    ann, ben = await town.newcomers(2)
    image = await town.send(ann, receiver_uid=ben)
    reading = town.reading
    download = await reading.open_image(await reading.find_image(ben, image.message_key))
    del town.reading  # another process has another
    await town.fetch(ann, image)
    assert not download.recalled
    async with asyncio.timeout(PATIENCE):
        while not await reading.is_recalled(download):  # noqa: ASYNC110 - as a download does, piece by piece
            await asyncio.sleep(0.05)
    reading.close_image(download)
