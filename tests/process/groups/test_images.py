# SPDX-License-Identifier: Apache-2.0
"""An image to a group: one file, one row for each of its receivers, and each of them for themselves."""

import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.process.groups.world import (
    add,
    alter,
    ask,
    begin,
    code,
    counters,
    crowd,
    events,
    inbox,
    let_in,
    remove,
    send,
    sent,
    states,
)
from tests.process.invariants import logged_pushes
from tests.support import PATIENCE
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import jpeg

NOBODY = 10**15
UNKNOWN_KEY = "0" * 64


def file_of(server: Server, key: str) -> bool:
    """Whether the image with this key is on the disk."""
    return any(path.name == key for path in server.stored_files())


def gone(server: Server, *keys: str) -> None:
    for key in keys:
        wait_until(lambda key=key: not file_of(server, key), what="the removal")  # type: ignore[misc]


def acknowledge(person: Person, key: str) -> httpx.Response:
    return person.request("DELETE", f"/v1/images/{key}")


def looks_unknown(person: Person, key: str) -> bool:
    """Whether this image is to this person as one that never was, whatever they ask of it."""
    for method in ("GET", "HEAD", "DELETE"):
        found, unknown = (person.request(method, f"/v1/images/{name}") for name in (key, UNKNOWN_KEY))
        if (found.status_code, unknown.status_code) != (404, 404):
            return False
        if method != "HEAD" and {**found.json(), "request_id": ""} != {**unknown.json(), "request_id": ""}:
            return False
    return key not in inbox(person)


def test_one_file_goes_to_everybody_else_and_ends_with_the_last(server: Server, ann: Person, ben: Person) -> None:
    cat = server.register("Cat", cid="cid-group-cat")
    group_id = begin(ann, ben, cat)
    picture = jpeg(50_000)
    reply = send(ben, group_id, picture, caption="us")
    key, message_id = sent(reply), int(reply.headers["Message-Id"])
    assert [path.name for path in server.stored_files()].count(key) == 1
    assert states(ben, key) == {ann.uid: "pending", cat.uid: "pending"}
    [item] = ann.request("GET", "/v1/inbox").json()["items"]
    assert (item["group_id"], item["caption"], item["sender_uid"]) == (group_id, "us", ben.uid)
    picture_said = {"message_key": key, "placeholder": None, "has_thumbnail": False}
    said = {"message_id": message_id, "sender_uid": ben.uid, "group_id": group_id, **picture_said}
    assert events(ann, "image") == events(cat, "image") == [said]
    assert events(ben, "image") == []
    assert counters(ann) == (1, 50_000)

    def pushed() -> list[dict[str, object]]:
        return [push for push in logged_pushes(server.data_dir) if push.get("message_key") == key]

    wait_until(lambda: bool(pushed()), what="the push")
    assert pushed() == [
        {
            "sender_region": "86",
            "sender_phone": ben.phone_hash,
            "sender_uid": ben.uid,
            "message_id": message_id,
            "message_key": key,
            "send_time": int(reply.headers["Send-Time"]),
            "group_id": group_id,
        }
    ]
    assert code(ben.get(key)) == (404, "not_found"), "the sender has no part in it"
    oldest = {"sender_phone": ben.phone_hash, "receiver_phone": ann.phone_hash}
    assert ann.request("GET", "/v1/images", params={**oldest, "ack": "manual"}).content == picture
    assert acknowledge(ann, key).status_code == 204
    assert code(ann.get(key)) == (410, "image_consumed")
    assert (states(ben, key), ben.status(key)["state"]) == ({ann.uid: "consumed", cat.uid: "pending"}, "pending")
    assert ben.status(key)["consumed_at"] is None
    assert cat.get(key, params={"ack": "manual"}).content == picture
    assert acknowledge(cat, key).status_code == 204
    status = ben.status(key)
    assert status["state"] == "consumed"
    assert status["consumed_at"] == max(receipt["consumed_at"] for receipt in status["receivers"])
    gone(server, key)
    assert [told["receiver_uid"] for told in events(ben, "image_consumed")] == [ann.uid, cat.uid]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (str(NOBODY), (403, "recipient_unavailable")),
        ("another's", (403, "recipient_unavailable")),
        ("of one", (422, "empty_group")),
        ("0", (422, "invalid_field")),
        ("x", (422, "invalid_field")),
        (str(2**63), (422, "invalid_field")),
    ],
)
def test_an_image_that_cannot_go_to_a_group_leaves_nothing(
    group: str, expected: tuple[int, str], server: Server, ann: Person, ben: Person
) -> None:
    group_id = {"another's": begin(ben), "of one": begin(ann)}.get(group, group)
    files = {path.name for path in server.stored_files()}
    refused = send(ann, group_id, jpeg(), {"Idempotency-Key": "once"})
    assert code(refused) == expected
    assert {path.name for path in server.stored_files()} <= files
    assert ask(ann, "SELECT message_id FROM messages WHERE sender_uid = ?", ann.uid) == []
    assert ask(ann, "SELECT uid FROM idempotency WHERE uid = ?", ann.uid) == []


def test_who_blocks_the_sender_or_has_no_room_is_left_out_and_nobody_can_tell(
    server: Server, ann: Person, ben: Person, cat: Person, dan: Person
) -> None:
    eve, fay = server.register("Eve"), server.register("Fay")
    group_id = begin(ann, ben, cat, dan, eve, fay)
    blocker, full, disabled = ben, cat, dan
    assert blocker.request("PUT", f"/v1/blocks/{ann.uid}").status_code == 204
    filling = [sent(fay.send(full, jpeg())) for _ in range(4)]
    alter(server, "UPDATE users SET disabled_at = 1 WHERE uid = ?", disabled.uid)
    keys = [sent(send(ann, group_id, jpeg())) for _ in range(2)]
    expiring, recalled = keys
    left_out = {person.uid: "pending" for person in (blocker, full, disabled)}
    assert states(ann, expiring) == {**left_out, eve.uid: "pending", fay.uid: "pending"}
    assert inbox(full) == filling
    assert (counters(blocker), events(blocker, "image")) == ((0, 0), [])
    for person in (blocker, full):
        assert looks_unknown(person, expiring)

    for person in (eve, fay):
        assert acknowledge(person, expiring).status_code == 204
    gone(server, expiring)
    assert ann.status(expiring)["state"] == "pending"
    alter(server, "UPDATE messages SET expires_at = send_time WHERE message_key = ?", expiring)
    assert states(ann, expiring) == {
        **dict.fromkeys(left_out, "expired"),
        eve.uid: "consumed",
        fay.uid: "consumed",
    }
    assert code(acknowledge(ann, expiring)) == (410, "image_consumed")

    assert acknowledge(eve, recalled).status_code == 204
    assert [acknowledge(ann, recalled).status_code for _ in range(2)] == [204, 204]
    assert states(ann, recalled) == {**dict.fromkeys(left_out, "recalled"), eve.uid: "consumed", fay.uid: "recalled"}
    assert code(fay.get(recalled)) == (410, "image_recalled")
    assert (counters(fay), events(fay, "image_recalled")[0]["message_key"]) == ((0, 0), recalled)
    for person in (blocker, full):
        assert looks_unknown(person, recalled)
    gone(server, recalled)

    # Those who have left look alike, whether they had got the image or not.
    last = sent(send(ann, group_id, jpeg()))
    for person in (blocker, eve):
        assert remove(ann, group_id, person).status_code == 204
    assert (states(ann, last)[blocker.uid], states(ann, last)[eve.uid]) == ("released", "released")


def test_an_image_that_reaches_nobody_is_taken_and_goes(server: Server, ann: Person, ben: Person) -> None:
    group_id = begin(ann, ben)
    ben.request("PUT", f"/v1/blocks/{ann.uid}")
    key = sent(send(ann, group_id, jpeg()))
    gone(server, key)
    assert ann.status(key)["state"] == "pending"
    assert [acknowledge(ann, key).status_code for _ in range(2)] == [204, 204]
    assert (ann.status(key)["state"], looks_unknown(ben, key)) == ("recalled", True)


def test_who_leaves_is_released_and_who_comes_later_sees_nothing(
    server: Server, ann: Person, ben: Person, cat: Person, dan: Person
) -> None:
    group_id, other = begin(ann, ben, cat), begin(ann, ben)
    key, kept = sent(send(ann, group_id, jpeg(9000))), sent(send(ann, other, jpeg(500)))
    fetched = sent(send(cat, group_id, jpeg(700)))
    add(ann, group_id, dan)
    assert looks_unknown(dan, key)
    assert ben.get(fetched).status_code == 200
    wait_until(lambda: states(cat, fetched)[ben.uid] == "consumed", what="the hand-over")
    assert counters(ben) == (2, 9500)
    assert remove(ann, group_id, ben).status_code == 204
    assert looks_unknown(ben, key)
    assert looks_unknown(ben, fetched), "the grace, too, is for members"
    assert (counters(ben), inbox(ben)) == ((1, 500), [kept])
    assert states(ann, key) == {ben.uid: "released", cat.uid: "pending"}
    assert states(cat, fetched)[ben.uid] == "consumed"
    add(ann, group_id, ben)
    assert looks_unknown(ben, key), "coming back brings nothing back"
    assert remove(cat, group_id, cat).status_code == 204
    gone(server, key)
    assert ann.status(key)["state"] == "expired"
    assert code(acknowledge(ann, key)) == (410, "image_expired")


def test_a_group_that_ends_releases_what_waits_however_much(server: Server, ann: Person, ben: Person) -> None:
    uids = [*crowd(server, 200), ben.uid]
    made = ann.request("POST", "/v1/groups", json={"name": "x", "members": uids})
    group_id = made.json()["group_id"]
    let_in(server, group_id)
    keys = [sent(send(ann, group_id, jpeg())) for _ in range(3)]
    assert len(states(ann, keys[0])) == 201
    assert ann.request("DELETE", f"/v1/groups/{group_id}").status_code == 204
    for key in keys:
        assert set(states(ann, key).values()) == {"released"}
    gone(server, *keys)
    assert looks_unknown(ben, keys[0])
    people = (ann.uid, *uids)
    among = f"uid IN ({', '.join(map(str, people))})"
    told = ask(ann, f"SELECT uid, data FROM events WHERE type = 'group_changed' AND {among}")
    assert Counter(uid for uid, data in told if json.loads(data)["change"] == "deleted") == dict.fromkeys(people, 1)
    assert set(ask(ann, f"SELECT pending_count, pending_bytes FROM users WHERE {among}")) == {(0, 0)}
    assert ask(ann, "SELECT uid FROM group_members WHERE group_id = ?", group_id) == []
    assert code(send(ann, group_id, jpeg())) == (403, "recipient_unavailable")


def test_a_repeat_answers_the_first_reply_whoever_is_in_the_group_by_then(
    ann: Person, ben: Person, cat: Person
) -> None:
    group_id, other = begin(ann, ben), begin(ann, ben)
    picture, key = jpeg(), {"Idempotency-Key": "same"}
    first = send(ann, group_id, picture, key)
    add(ann, group_id, cat)
    again = send(ann, group_id, picture, key)
    assert (again.status_code, again.headers["Message-Key"]) == (201, first.headers["Message-Key"])
    assert code(send(ann, other, picture, key)) == (409, "idempotency_conflict")
    assert (inbox(ben), inbox(cat)) == ([sent(first)], [])


def test_members_who_fetch_at_once_each_consume_once(server: Server, ann: Person) -> None:
    members = [server.register() for _ in range(5)]
    group_id = begin(ann, *members)
    picture = jpeg(200_000)
    key = sent(send(ann, group_id, picture))
    with ThreadPoolExecutor(10) as pool:
        fetches = [pool.submit(member.get, key) for member in members * 10]
        acks = [pool.submit(acknowledge, member, key) for member in members[:2]]
        assert all(fetch.result().status_code in (200, 410) for fetch in fetches)
        assert all(fetch.result().content == picture for fetch in fetches if fetch.result().status_code == 200)
        assert {ack.result().status_code for ack in acks} == {204}
    wait_until(lambda: ann.status(key)["state"] == "consumed", what="the last hand-over")
    told = [event["receiver_uid"] for event in events(ann, "image_consumed")]
    assert sorted(told) == sorted(member.uid for member in members)
    assert [counters(member) for member in members] == [(0, 0)] * 5


def test_who_leaves_while_it_downloads_has_not_consumed(server: Server, ann: Person, ben: Person) -> None:
    group_id = begin(ann, ben)
    picture = jpeg(8_000_000)
    key = sent(send(ann, group_id, picture))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", server.port))
        request = f"GET /v1/images/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: {ben.basic}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        received = len(connection.recv(1000))
        assert remove(ben, group_id, ben).status_code == 204
        while piece := connection.recv(1_000_000):
            received += len(piece)
    assert received > len(picture), "the server has sent all of it"
    assert states(ann, key) == {ben.uid: "released"}
    assert (counters(ben), events(ann, "image_consumed")) == ((0, 0), [])
    assert looks_unknown(ben, key)
    gone(server, key)


@pytest.mark.parametrize("end", ["expired", "recalled"])
def test_an_image_that_has_ended_tells_nothing_of_who_blocks_when_they_leave(
    end: str, server: Server, ann: Person, ben: Person, cat: Person
) -> None:
    group_id = begin(ann, ben, cat)
    assert cat.request("PUT", f"/v1/blocks/{ann.uid}").status_code == 204
    key = sent(send(ann, group_id, jpeg()))
    if end == "recalled":
        assert acknowledge(ann, key).status_code == 204
    else:
        alter(server, "UPDATE messages SET expires_at = 1 WHERE message_key = ?", key)
    for person in (ben, cat):
        assert remove(person, group_id, person).status_code == 204
    assert states(ann, key) == {ben.uid: end, cat.uid: end}
    wait_until(lambda: counters(ben) == (0, 0), what="the end of what waits")
    gone(server, key)
