# SPDX-License-Identifier: Apache-2.0
"""Room chat over HTTP, as its document describes it."""

import hashlib
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.process.samples.world import Talker, new_name, talker
from tests.support.harness import Server

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def room(server: Server) -> str:
    """A room with one person in it."""
    return talker(server).create_room()


@pytest.fixture(scope="module")
def stranger(server: Server) -> Talker:
    """Who is not in that room."""
    return talker(server)


def test_two_people_talk_in_a_room(server: Server) -> None:
    ann, ben = talker(server, "sendaimono"), talker(server, "Mikolaj")
    assert ann.username == "sendaimono"
    room = ann.create_room()
    assert len(room) == 8
    before = time.time()
    said = ann.say(room, "is anybody here?")
    assert (said.status_code, said.json()) == (200, {"ok": True})
    assert ben.heard(room) == ["is anybody here?"], "a newcomer reads what was said before"
    ben.say(room, "asdf 🙂\n\u2028 asdf")
    entries = ann.history(room)
    assert entries == ben.history(room)
    assert [entry["msg"]["txt"] for entry in entries] == ["is anybody here?", "asdf 🙂\n\u2028 asdf"]
    assert [entry["sender"]["username"] for entry in entries] == ["sendaimono", "Mikolaj"]
    assert entries[0]["msg"]["msgId"] < entries[1]["msg"]["msgId"]
    for entry in entries:
        assert isinstance(entry["msg"]["timestamp"], float)
        assert abs(entry["msg"]["timestamp"] - before) < 3600


def test_the_room_learns_nobody_s_login_uuid_but_a_lasting_public_one(server: Server) -> None:
    ann, ben = talker(server), talker(server)
    rooms = [ann.create_room(), ben.create_room()]
    for room in rooms:
        for person in (ann, ben):
            assert person.say(room, person.login).status_code == 200
    shown = [{each["msg"]["txt"]: each["sender"]["uuid"] for each in ann.history(room)} for room in rooms]
    assert shown[0] == shown[1]
    assert len({*shown[0].values(), ann.uuid, ben.uuid}) == 4
    for uuid in (*shown[0].values(), ann.uuid):
        assert str(UUID(uuid)) == uuid
    public = server.client.post("/create-room", json={}, headers={"user": shown[0][ann.login]})
    assert (public.status_code, public.json()) == (401, {"ok": False})


def test_the_native_interface_sees_the_same_group(server: Server) -> None:
    ann, ben = talker(server), talker(server)
    room = ann.create_room()
    ben.say(room, "hello")
    [group] = [each for each in ann.native("GET", "/v1/groups").json()["items"] if each["room_gid"] == room]
    assert (group["join"], group["member_count"]) == ("open", 2)
    link = {
        "group_id": group["group_id"],
        "kind": "image_link",
        "url": "https://example.org/x",
        "width": 1,
        "height": 1,
    }
    assert ann.native("POST", "/v1/messages", json=link).status_code == 201
    assert ben.heard(room) == ["hello", "https://example.org/x"]


def test_of_a_group_that_is_no_room_newcomers_see_what_comes_after_them(server: Server) -> None:
    ann, ben, cat = talker(server), talker(server), talker(server)
    made = ann.native("POST", "/v1/groups", json={"name": "Open", "members": [], "join": "open"}).json()
    room = made["room_gid"]
    assert ben.heard(room) == []
    ann.say(room, "before")
    assert ben.heard(room) == ["before"]
    assert cat.heard(room) == []
    ann.say(room, "after")
    assert cat.heard(room) == ["after"]
    closed = ann.native("POST", "/v1/groups", json={"name": "Closed", "members": []}).json()
    for reply in (cat.ask(closed["room_gid"]), cat.say(closed["room_gid"], "let me in")):
        assert (reply.status_code, reply.json()) == (404, {"ok": False})


def test_who_blocks_a_member_does_not_hear_them(server: Server) -> None:
    ann, ben = talker(server), talker(server)
    room = ann.create_room()
    assert ben.heard(room) == []
    uid = ben.native("GET", "/v1/me").json()["uid"]
    assert ann.native("PUT", f"/v1/blocks/{uid}").status_code == 204
    assert ben.say(room, "can you hear me?").json() == {"ok": True}
    assert ann.heard(room) == []
    assert ben.heard(room) == ["can you hear me?"]


def test_what_a_gone_account_said_stays_without_its_name(server: Server) -> None:
    ann, ben = talker(server), talker(server)
    room = ann.create_room()
    ben.say(room, "goodbye")
    assert ben.native("DELETE", "/v1/me").status_code == 204
    [entry] = ann.history(room)
    assert entry["sender"]["username"] == ""
    assert entry["msg"]["txt"] == "goodbye"


def test_history_is_the_newest_of_it(server: Server) -> None:
    ann = talker(server)
    room = ann.create_room()
    for number in range(203):
        assert ann.say(room, str(number)).status_code == 200
    assert ann.heard(room) == [str(number) for number in range(3, 203)]


def test_a_session_is_kept_hashed_and_prolonged_by_use_and_ends_unused(server: Server) -> None:
    ann = talker(server)
    digest = hashlib.sha256(ann.uuid.encode()).digest()

    def days_left() -> float:
        [(end,)] = server.database.rows("SELECT expires_at FROM refresh_tokens WHERE digest = ?", digest)
        return (int(end) / 1000 - time.time()) / 86_400

    assert 29.9 < days_left() <= 30
    for file in (server.log, *filter(Path.is_file, server.data_dir.rglob("*")), *server.database.files()):
        assert ann.uuid.encode() not in file.read_bytes(), file
    server.database.execute(
        "UPDATE refresh_tokens SET expires_at = expires_at - ? WHERE digest = ?", 20 * DAY_MS, digest
    )
    room = ann.create_room()
    assert 29.9 < days_left() <= 30
    server.database.execute(
        "UPDATE refresh_tokens SET expires_at = expires_at - ? WHERE digest = ?", 31 * DAY_MS, digest
    )
    assert (ann.ask(room).status_code, ann.ask(room).json()) == (401, {"ok": False})


def test_a_changed_password_ends_sessions_and_other_credentials_are_none(server: Server) -> None:
    ann = talker(server)
    room = ann.create_room()
    upper = server.client.get("/get-room-history", params={"room_gid": room}, headers={"user": ann.uuid.upper()})
    assert upper.status_code == 200
    tokens = server.client.post("/v1/login", json={"login": ann.login, "password": "password"}).json()
    others = (tokens["refresh_token"], tokens["access_token"], "{" + ann.uuid + "}", ann.uuid[:-1] + "g")
    for wrong in ("", "x", "é", *others):
        refused = server.client.post("/create-room", json={}, headers=[(b"user", wrong.encode())])
        assert (refused.status_code, refused.json()) == (401, {"ok": False})
    assert server.client.post("/create-room", json={}).status_code == 401
    assert server.client.post("/v1/tokens/refresh", json={"refresh_token": ann.uuid}).status_code == 401
    changed = {"current_password": "password", "password": "another one"}
    assert ann.native("PUT", "/v1/me/password", json=changed).status_code == 204
    assert ann.ask(room).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/register", {"login": "aa", "password": "password", "username": "x"}, 422),
        ("/register", {"login": "abcdef", "password": "12", "username": "x"}, 422),
        ("/register", {"login": "abcdef", "password": "123", "username": 7}, 422),
        ("/register", {"login": None, "password": "123", "username": "x"}, 422),
        ("/register", b'{"login": "abcdef"', 400),
        ("/register", b"\xff\xfe", 400),
        ("/register", b"x" * 300_000, 413),
        ("/login", {"login": "nobody", "password": "password"}, 401),
        ("/login", {"login": "nobody"}, 422),
        ("/login", [], 400),
        ("/create-room", b"{", 400),
        ("/send-message", {"room_gid": "AAAAAAAA", "msg": "x"}, 404),
        ("/send-message", {"room_gid": "{room}", "msg": ""}, 422),
        ("/send-message", {"room_gid": "{room}", "msg": "x" * 8001}, 422),
        ("/send-message", {"room_gid": "{room}", "msg": "a\0b"}, 422),
        ("/send-message", {"room_gid": "{room}", "msg": {"a": 1}}, 422),
        ("/send-message", {"room_gid": 7, "msg": "x"}, 422),
        ("/send-message", {"room_gid": "' OR 1=1--", "msg": "x"}, 404),
        ("/send-message", {"msg": "x"}, 422),
        ("/send-message", b'{"room_gid": "\\ud800", "msg": "x"}', 400),
    ],
)
def test_failures_say_no_more_than_that(stranger: Talker, room: str, path: str, body: Any, status: int) -> None:
    server = stranger.server
    if isinstance(body, dict) and body.get("room_gid") == "{room}":
        body = {**body, "room_gid": room}
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"user": stranger.uuid, "Content-Type": "application/json"}
    refused = server.client.post(path, headers=headers, **content)
    assert (refused.status_code, refused.json()) == (status, {"ok": False})
    members = "SELECT count(*) FROM group_members JOIN `groups` USING (group_id) WHERE room_gid = ?"
    assert server.database.rows(members, room) == [(1,)], "a refused message brings nobody in"


@pytest.mark.parametrize(("query", "status"), [({}, 422), ({"room_gid": "AAAAAAAA"}, 404), ({"room": "x"}, 422)])
def test_a_room_that_is_not_there_has_no_history(stranger: Talker, query: dict[str, str], status: int) -> None:
    refused = stranger.server.client.get("/get-room-history", params=query, headers={"user": stranger.uuid})
    assert (refused.status_code, refused.json()) == (status, {"ok": False})


def test_a_login_is_one_person_s(server: Server) -> None:
    login = new_name("eve")
    body = {"login": login, "password": "password", "username": "Eve"}
    assert server.client.post("/register", json=body).json() == {"ok": True}
    again = server.client.post("/register", json={**body, "password": "another"})
    assert (again.status_code, again.json()) == (409, {"ok": False})
