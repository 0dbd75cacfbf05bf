# SPDX-License-Identifier: Apache-2.0
"""The longest texts that are taken come back whole: a TEXT of MySQL is bounded in bytes, the contract in characters."""

import json
from pathlib import Path

import pytest

from models.db.tables.outbox import REASON_CHARACTERS
from models.rules import MAX_CAPTION_CHARACTERS
from services.messaging import MAX_TEXT
from tests.services.town import open_town
from tests.support.engines import Engine

WIDEST = ["\x01", "\U0001f600", '"', "\\", "%"]
"""In JSON, in UTF-8, or in a statement's text."""


@pytest.mark.anyio
@pytest.mark.parametrize("letter", WIDEST)
async def test_the_longest_text_is_kept_and_told_as_it_was_said(engine: Engine, tmp_path: Path, letter: str) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben = await town.newcomers(2)
        await town.say(ann, receiver_uid=ben, text=letter * MAX_TEXT)
        [(body,)] = engine.rows("SELECT body FROM messages")
        [(_, told)] = await town.log(ben)
        assert json.loads(body)["text"] == told["text"] == letter * MAX_TEXT
        await town.send(ann, receiver_uid=ben, caption=letter * MAX_CAPTION_CHARACTERS)
        assert engine.rows("SELECT caption FROM messages WHERE kind = 'image'") == [(letter * MAX_CAPTION_CHARACTERS,)]


@pytest.mark.anyio
async def test_whatever_a_vendor_says_its_push_is_settled(engine: Engine, tmp_path: Path) -> None:
    async with open_town(engine, tmp_path) as town:
        [ann] = await town.newcomers(1)
        await town.equip(ann)
        await town.push_each(town.device_of(ann), 1)
        [row] = await town.claim(1, "held")
        said = "\ud800" + "\U0001f600" * REASON_CHARACTERS
        assert await town.settle(row, "held", said)
        assert engine.rows("SELECT reason FROM outbox") == [("?" + "\U0001f600" * (REASON_CHARACTERS - 1),)]
