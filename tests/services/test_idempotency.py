# SPDX-License-Identifier: Apache-2.0
"""What an Idempotency-Key stood for stays the same over a new version of the server, and so does its reply."""

from collections.abc import AsyncIterator

import pytest

from models.db.database import Database, Transaction
from models.errors import IdempotencyConflict
from services import idempotency
from services.idempotency import Request
from services.messaging import read_draft
from services.sending import image_digest, read_content
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio

REQUEST = Request(bytes(32), bytes([1]) * 32)
KEPT = 24 * 3600 * 1000


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    database = await engine.open()
    yield database
    await database.close()


async def remember(db: Database, request: Request | None) -> None:
    async def unit(tx: Transaction) -> None:
        await idempotency.remember(tx, request, {"message_id": 5, "send_time": 9}, uid=None, now=9, keep_ms=KEPT)

    await db.write(unit)


@pytest.mark.parametrize(
    ("fields", "sha256", "digest"),
    [
        (
            {"ttl_seconds": "0300", "caption": '安 "x"', "filetype": "opaque", "receiver_uid": "007", "ukey": "u"},
            bytes(range(32)),
            "eefb6f87d148b77d39ea69b56d425ef740f8a77e5d0a37fe60487d6f961218c2",
        ),
        ({"group_id": "5"}, bytes(32), "007037e9a611430a0fe5d1ce9bebc320b1f37de5a7fafa5bd84a413f5afd33ce"),
    ],
)
def test_a_key_stands_for_the_same_image_as_before(fields: dict[str, str], sha256: bytes, digest: str) -> None:
    assert image_digest(read_content(fields), sha256).hex() == digest


@pytest.mark.parametrize(
    ("fields", "digest"),
    [
        (
            {"kind": "text", "text": "你好", "receiver_uid": "7"},
            "4e135811e569826f6e12637705fb7806c7d52f4b15c36cf14b3288106eef7c4e",
        ),
        (
            {"kind": "image_link", "url": "https://e.org/a", "width": 2, "height": 3, "group_id": 5},
            "073ffd4f154a8b8372ad1da704ba1cc4d30a25040f21df4927139f7357b35036",
        ),
    ],
)
def test_a_key_stands_for_the_same_text_as_before(fields: dict[str, object], digest: str) -> None:
    assert read_draft(fields).digest.hex() == digest


async def test_a_repeat_finds_the_first_reply_until_its_time_is_over(db: Database) -> None:
    await remember(db, REQUEST)
    assert await idempotency.find_reply(db, REQUEST, 9) == {"message_id": 5, "send_time": 9}
    assert await idempotency.find_reply(db, REQUEST, 9 + KEPT) is None
    with pytest.raises(IdempotencyConflict):
        await idempotency.find_reply(db, Request(bytes(32), bytes(32)), 9)


async def test_without_a_key_nothing_is_remembered(db: Database) -> None:
    await remember(db, idempotency.request("image", "1", None, lambda: bytes(32)))
    assert await idempotency.find_reply(db, None, 9) is None
    assert not await idempotency.is_used(db, "image", "1", None, 9)


async def test_a_key_stands_for_itself_in_its_operation_and_for_its_caller_alone(db: Database) -> None:
    await remember(db, idempotency.request("image", "1", "key", lambda: bytes(32)))
    used = [
        await idempotency.is_used(db, *each, "key", 9) for each in (("image", "1"), ("image", "2"), ("message", "1"))
    ]
    assert used == [True, False, False]
