# SPDX-License-Identifier: Apache-2.0
"""What a commit adds to many logs is read and rendered once for all who follow them."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models.db.database import Database, Row, Statement, Value
from models.event import Event
from services.events import Events, Reader
from tests.services.town import Town, open_town
from tests.support import PATIENCE
from tests.support.engines import Engine
from tests.support.interposed import Interposed

pytestmark = pytest.mark.anyio


class Counting(Interposed):
    """Counts what is read."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.reads = 0

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self.reads += 1
        return await super().read(statement, **params)


async def follow(town: Town, events: Events, people: Sequence[int]) -> list[tuple[Reader, asyncio.Task[list[Event]]]]:
    """A reader for each, who has looked and waits for what comes."""
    found = []
    for uid in people:
        reader = await events.open(town.callers[uid], None)  # type: ignore[index]
        found.append((reader, asyncio.create_task(reader.next(60))))
    while not all(reader.woken._waiters for reader, _ in found):  # noqa: ASYNC110 - nobody tells that somebody waits
        await asyncio.sleep(0.001)
    return found


async def told(followers: Sequence[tuple[Reader, asyncio.Task[list[Event]]]]) -> list[list[tuple[str, Any]]]:
    async with asyncio.timeout(PATIENCE):
        return [[(event.type, json.loads(event.data)) for event in await task] for _, task in followers]


async def test_however_many_follow_it_is_read_once(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, cat, dan = await town.newcomers(4)
        group = await town.group(ann, ben, cat, dan)
        db = Counting(town.db)
        followers = await follow(town, town.events(db), [ben, ben, cat, cat, cat, dan])
        before = db.reads
        await town.say(ann, group_id=group, text="hello")
        found = await told(followers)
        assert db.reads == before + 2
        assert [[(kind, said["text"]) for kind, said in each] for each in found] == [[("message", "hello")]] * 6
        assert [(await town.log(uid))[-1:] for uid in (ben, cat, dan)] == [found[0], found[2], found[5]]
        followers = [(reader, asyncio.create_task(reader.next(60))) for reader, _ in followers]
        image = await town.send(ann, group_id=group)
        found = await told(followers)
        assert [[said["message_key"] for _, said in each] for each in found] == [[image.message_key]] * 6


async def test_who_is_behind_reads_on_from_where_they_were(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben = await town.newcomers(2)
        events = town.events()
        [(behind, waiting)] = await follow(town, events, [ben])
        waiting.cancel()
        await town.say(ann, receiver_uid=ben, text="one")
        followers = await follow(town, events, [ben, ben])
        await town.say(ann, receiver_uid=ben, text="two")
        assert [[said["text"] for _, said in each] for each in await told(followers)] == [["two"]] * 2
        assert [json.loads(event.data)["text"] for event in await behind.next(0)] == ["one", "two"]


async def test_what_is_deleted_is_not_told_to_who_comes_later(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, cat = await town.newcomers(3)
        group = await town.group(ann, ben, cat)
        events = town.events()
        late = await events.open(town.callers[ben], None)
        followers = await follow(town, events, [ben, cat])
        message_id = await town.say(ann, group_id=group, text="hush")
        await told(followers)
        await town.messaging.delete(ann, message_id)
        gone = {"message_id": message_id, "deleted": True}
        assert [(event.type, json.loads(event.data)) for event in await late.next(0)] == [
            ("message", gone),
            ("message_deleted", gone),
        ]


async def test_who_blocks_the_sender_is_told_nothing(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, cat = await town.newcomers(3)
        group = await town.group(ann, ben, cat)
        await town.people.block(cat, ann)
        events = town.events()
        [*followers, (blocking, waiting)] = await follow(town, events, [ben, ben, cat])
        await town.say(ann, group_id=group, text="hello")
        await town.say(ann, receiver_uid=cat, text="psst")
        assert [kind for each in await told(followers) for kind, _ in each] == ["message"] * 2
        assert await blocking.next(0) == []
        waiting.cancel()
