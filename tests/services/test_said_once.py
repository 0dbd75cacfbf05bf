# SPDX-License-Identifier: Apache-2.0
"""What is said stands in the database once, whoever is told of it, and is rendered when it is read."""

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from models.db.database import Database
from models.errors import NotFound
from tests.services.town import open_town
from tests.support.engines import ON_SQLITE, Engine

pytestmark = pytest.mark.anyio

EMOJI = "\U0001f600"


@ON_SQLITE
async def test_long_texts_to_a_large_group_take_their_own_length_and_little_more(
    engine: Engine, tmp_path: Path
) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, *others = await town.newcomers(256)
        group = await town.group(ann, *others)
        before = checkpointed_bytes(engine)
        for _ in range(40):
            await town.say(ann, group_id=group, text=EMOJI * 8000)
        assert checkpointed_bytes(engine) - before < 6_000_000
        [(kind, said)] = (await town.log(others[-1]))[-1:]
        assert (kind, said["text"]) == ("message", EMOJI * 8000)


def checkpointed_bytes(engine: Engine) -> int:
    """https://www.sqlite.org/pragma.html#pragma_wal_checkpoint"""
    [path] = [file for file in engine.files() if file.suffix == ".db"]
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return path.stat().st_size


async def test_nothing_at_rest_is_escaped_to_ascii(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben = await town.newcomers(2)
        await town.say(ann, receiver_uid=ben, text=EMOJI, key="k" * 22)
        await town.send(ann, receiver_uid=ben, caption=EMOJI, key="i" * 22)
        stored = engine.rows("SELECT body FROM messages UNION ALL SELECT caption FROM messages")
        stored += engine.rows("SELECT data FROM events UNION ALL SELECT reply FROM idempotency")
        assert not [text for (text,) in stored if text and "\\u" in text]
        assert [text for (text,) in stored if text and EMOJI in text] == [f'{{"text": "{EMOJI}"}}', EMOJI]


async def test_an_event_tells_what_the_message_says_now(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben = await town.newcomers(2)
        message_id = await town.say(ann, receiver_uid=ben, text="hello")
        image = await town.send(ann, receiver_uid=ben)
        said, shown = await town.log(ben)
        head = {"message_id": message_id, "kind": "text", "sender_uid": ann, "receiver_uid": ben, "group_id": None}
        assert said == ("message", {**head, "send_time": said[1]["send_time"], "text": "hello"})
        key = {"message_key": image.message_key, "sender_uid": ann, "placeholder": None, "has_thumbnail": False}
        assert shown == ("image", {"message_id": image.message_id, **key})


async def test_of_what_was_taken_back_its_id_is_left_and_all_who_had_it_are_told(
    engine: Engine, tmp_path: Path
) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, cat, dan = await town.newcomers(4)
        group = await town.group(ann, ben, cat)
        await town.people.block(cat, ann)
        message_id = await town.say(ann, group_id=group, text="hush")
        gone = {"message_id": message_id, "deleted": True}
        await town.messaging.delete(ann, message_id)
        assert (await town.log(ben))[-2:] == [("message", gone), ("message_deleted", gone)]
        assert [kind for kind, _ in await town.log(cat)] == ["group_invited", "group_changed"]
        assert await town.log(dan) == []
        for stranger in (ann, ben, dan):
            with pytest.raises(NotFound):
                await town.messaging.delete(stranger, message_id)


async def test_no_more_is_read_than_fits_and_the_next_read_goes_on(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben = await town.newcomers(2)
        sent = [await town.say(ann, receiver_uid=ben, text=EMOJI * 8000) for _ in range(9)]
        db = Counted(town.db)
        reader = await town.events(db).open(town.callers[ben], 0)
        seen: list[int] = []
        while some := await reader.next(0):
            assert sum(len(event.data) for event in some) <= 4 * 8100
            seen += [json.loads(event.data)["message_id"] for event in some]
        assert seen == sent
        assert db.longest < 4 * 8100


class Counted:
    """A database that knows how many characters the longest of its answers had."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.longest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    async def read(self, statement: Any, **params: Any) -> list[tuple[Any, ...]]:
        rows = await self.db.read(statement, **params)
        self.longest = max(self.longest, sum(len(value) for row in rows for value in row if isinstance(value, str)))
        return rows
