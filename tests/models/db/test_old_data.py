# SPDX-License-Identifier: Apache-2.0
"""What a database of an earlier version holds comes through its migrations, on each engine."""

import json
from pathlib import Path

import pytest

from models.db.engine import bring_up_to_date, parse_url
from tests.support.engines import Engine
from tests.support.rows import insert
from tests.support.schemas import make, steps_up_to

pytestmark = pytest.mark.anyio

USER = "uid, nickname, reg_time, seen_at"


MESSAGE = (
    "message_id, kind, sender_uid, receiver_uid, group_id,"
    " send_time, exist, filetype, size, caption, expires_at, stored"
)


async def test_who_has_spoken_with_whom_is_known_afterwards_and_counts_as_read(engine: Engine, tmp_path: Path) -> None:
    await make(engine, steps_up_to(3, tmp_path / "steps"))
    insert(engine, "users", USER, [(uid, "x", 0, 0) for uid in (1, 2, 3)])
    insert(engine, "`groups`", "group_id, room_gid, name, join_policy, created_at", [(7, "a", "g", "open", 0)])
    members = [(7, 1, 0), (7, 2, 3), (7, 3, 9)]
    columns = "group_id, uid, joined_after, role, joined_at"
    insert(engine, "group_members", columns, [(*member, "member", 0) for member in members])
    sent = [(1, 1, 2, None), (2, 2, 1, None), (3, 1, None, 7), (4, 3, 3, None), (5, None, 2, None), (6, 2, None, 7)]
    rest = (0, 0, "", 0, "", 0, 0)
    insert(engine, "messages", MESSAGE, [(number, "text", *between, *rest) for number, *between in sent])
    await bring_up_to_date(parse_url(engine.url))
    found = "SELECT uid, peer_uid, last_message_id, read_up_to FROM conversations ORDER BY uid, peer_uid"
    assert engine.rows(found) == [(1, 2, 2, 2), (2, 1, 2, 2), (3, 3, 4, 4)]
    found = "SELECT uid, last_message_id, read_up_to FROM group_members ORDER BY uid"
    assert engine.rows(found) == [(1, 6, 6), (2, 6, 6), (3, 0, 0)]


async def test_events_that_hold_what_was_said_refer_to_it_afterwards(engine: Engine, tmp_path: Path) -> None:
    await make(engine, steps_up_to(2, tmp_path / "steps"))
    insert(engine, "users", USER, [(1, "x", 0, 0), (2, "y", 0, 0)])
    said = {"message_id": 2**40, "kind": "text", "sender_uid": 1, "text": "\U0001f600"}
    data = [
        ("message", json.dumps(said)),
        ("image", json.dumps({"message_id": 8, "message_key": "ab", "sender_uid": 1})),
        ("message", json.dumps({"message_id": 9, "kind": "text", "deleted": True})),
        ("image_consumed", json.dumps({"message_id": 8, "receiver_uid": 2})),
        ("friend_request", json.dumps({"uid": 1})),
        ("account_retrieved", "{}"),
    ]
    rows = [(2, number, kind, 5, text) for number, (kind, text) in enumerate(data, 1)]
    insert(engine, "events", "uid, event_id, type, at, data", rows)
    await bring_up_to_date(parse_url(engine.url))
    assert engine.rows("SELECT event_id, type, at, message_id, data FROM events ORDER BY event_id") == [
        (1, "message", 5, 2**40, "{}"),
        (2, "image", 5, 8, "{}"),
        (3, "message", 5, 9, "{}"),
        *((number, kind, at, None, text) for _, number, kind, at, text in rows[3:]),
    ]
