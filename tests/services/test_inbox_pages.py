# SPDX-License-Identifier: Apache-2.0
"""Pages of the inbox: a usual one in one read, and none larger than its reader may leave untaken."""

import json
from pathlib import Path

import pytest

from models.ids import MAX_ID
from models.paging import IdRange
from services.reading import INBOX_BYTES
from tests.services.town import open_town
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("limit", [1, 7, 63, 64, 65, 200])
async def test_every_image_stands_on_one_page_whatever_its_caption(engine: Engine, tmp_path: Path, limit: int) -> None:
    async with open_town(engine, tmp_path) as town:
        town.max_pending = 200
        ann, ben = await town.newcomers(2)
        sent = [
            (await town.send(ann, receiver_uid=ben, caption="\U0001f600" * (500 if number % 3 else 1))).message_id
            for number in range(70)
        ]
        seen: list[int] = []
        after: int | None = 0
        while after is not None:
            page = await town.reading.inbox(town.callers[ben], IdRange(after, MAX_ID, limit))
            assert 1 <= len(page.items) <= limit
            assert len(json.dumps(page.items, ensure_ascii=False).encode()) < INBOX_BYTES + 4000
            seen += [item["message_id"] for item in page.items]
            after = page.next
        assert seen == sent
