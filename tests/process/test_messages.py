# SPDX-License-Identifier: Apache-2.0
"""Texts, links and their history on the real server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.process.groups.world import alter, send
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import png

PNG = png(1, 1)
TEXT = {"kind": "text", "text": "See you at eight."}
IMAGE_LINK = {"kind": "image_link", "url": "https://pictures.example/cat.jpg", "width": 640, "height": 480}
VIDEO_LINK = {
    "kind": "video_link",
    "url": "https://videos.example/watch?v=1",
    "length_seconds": 212,
    "source": "YouTube",
}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("messages"), {"limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="module")
def wary(new_folder: NewFolder) -> Iterator[Server]:
    """Where only friends write to each other, and seldom."""
    rates = {"per_account": {"message": "3/hour"}}
    with running(new_folder("wary"), {"messaging": {"friends_only": True}, "limits": {"rates": rates}}) as server:
        yield server
        assert server.failures() == []


def say(person: Person, key: str | None = None, **fields: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else None
    return person.request("POST", "/v1/messages", json=fields, headers=headers)


def said(person: Person, **fields: Any) -> int:
    reply = say(person, **fields)
    assert reply.status_code == 201, reply.text
    found: int = reply.json()["message_id"]
    return found


def history(person: Person, **query: Any) -> dict[str, Any]:
    reply = person.request("GET", "/v1/messages", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def ids(person: Person, **query: Any) -> list[int]:
    return [item["message_id"] for item in history(person, **query)["items"]]


def group_of(owner: Person, *members: Person) -> int:
    return owner.begin_group(*members, join="open")


def refusal(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


@pytest.mark.parametrize("content", [TEXT, IMAGE_LINK, VIDEO_LINK], ids=lambda content: content["kind"])
def test_a_message_stands_in_both_histories_and_in_the_receivers_events_and_push(
    server: Server, content: dict[str, Any]
) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid=f"ben-{content['kind']}")
    reply = say(ann, receiver_uid=ben.uid, **content).json()
    expected = {"sender_uid": ann.uid, "receiver_uid": ben.uid, "group_id": None, **reply, **content}
    assert history(ben, with_uid=ann.uid) == {"items": [expected], "next": None}
    assert history(ann, with_uid=ben.uid) == {"items": [expected], "next": None}
    [event] = ben.request("GET", "/v1/events?after=0").json()["items"]
    assert (event["type"], event["data"]) == ("message", expected)

    def pushed() -> list[dict[str, Any]]:
        log = server.data_dir / "outbox.log"  # made by the first push
        lines = log.read_text().splitlines() if log.exists() else []
        return [push["payload"] for push in map(json.loads, lines) if push.get("token") == f"ben-{content['kind']}"]

    wait_until(lambda: bool(pushed()), what="the push")
    assert pushed() == [
        {
            "sender_region": "86",
            "sender_phone": ann.phone_hash,
            "sender_uid": ann.uid,
            "message_id": reply["message_id"],
            "message_key": None,
            "send_time": reply["send_time"],
            "kind": content["kind"],
        }
    ]
    assert "See you" not in (server.data_dir / "outbox.log").read_text()
    assert ben.request("GET", "/v1/inbox").json()["items"] == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["kind"]),
        ({"kind": "image"}, ["kind"]),
        ({"kind": ["text"]}, ["kind"]),
        ({**TEXT}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": 1, "group_id": 1}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": 0}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": -1}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": 2**63}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": 1.5}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": True}, ["receiver_uid"]),
        ({**TEXT, "receiver_uid": [1]}, ["receiver_uid"]),
        ({"kind": "text", "receiver_uid": 1, "text": ""}, ["text"]),
        ({"kind": "text", "receiver_uid": 1, "text": "x" * 8001}, ["text"]),
        ({"kind": "text", "receiver_uid": 1, "text": "a\0b"}, ["text"]),
        ({"kind": "text", "receiver_uid": 1, "text": 7}, ["text"]),
        ({"kind": "text", "receiver_uid": 1, "text": None}, ["text"]),
        ({**TEXT, "receiver_uid": 1, "url": "https://x.example"}, ["url"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "url": "javascript:alert(1)"}, ["url"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "url": "https://"}, ["url"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "url": "https://x.example/a b"}, ["url"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "url": "https://[x"}, ["url"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "url": "https://x.example/" + "a" * 2048}, ["url"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "width": 0, "height": 100_001}, ["height", "width"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "width": "640"}, ["width"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "width": True}, ["width"]),
        ({**IMAGE_LINK, "receiver_uid": 1, "width": 10**400}, ["width"]),
        ({**VIDEO_LINK, "receiver_uid": 1, "length_seconds": -1, "source": ""}, ["length_seconds", "source"]),
        ({**VIDEO_LINK, "receiver_uid": 1, "source": "x" * 65}, ["source"]),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    server: Server, fields: dict[str, Any], wrong: list[str]
) -> None:
    ann = server.register("Ann")
    reply = say(ann, **fields)
    assert refusal(reply) == (422, "invalid_field")
    assert [error["field"] for error in reply.json()["errors"]] == wrong
    assert history(ann, with_uid=1)["items"] == []


def test_half_a_surrogate_pair_is_refused(server: Server) -> None:
    ann = server.register("Ann")
    body = b'{"kind": "text", "receiver_uid": 1, "text": "\\ud800"}'
    reply = ann.request("POST", "/v1/messages", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422)


def test_every_text_comes_back_as_it_was(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")

    @settings(max_examples=40, deadline=None)
    @given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300))
    def check(text: str) -> None:
        message_id = said(ann, receiver_uid=ben.uid, kind="text", text=text)
        [item] = history(ben, with_uid=ann.uid, limit=1)["items"]
        assert (item["message_id"], item["text"]) == (message_id, text)

    check()


def test_the_longest_text_of_the_widest_letters_goes_through(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    said(ann, receiver_uid=ben.uid, kind="text", text="𝄞" * 8000)
    assert history(ben, with_uid=ann.uid)["items"][0]["text"] == "𝄞" * 8000


def test_unknown_and_ended_people_look_the_same(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert ben.request("DELETE", "/v1/me").status_code == 204
    replies = [say(ann, receiver_uid=uid, **TEXT) for uid in (ben.uid, 2**62)]
    bodies = [{**reply.json(), "request_id": ""} for reply in replies]
    assert bodies[0] == bodies[1]
    assert refusal(replies[0]) == (403, "recipient_unavailable")
    assert refusal(say(ann, group_id=2**62, **TEXT)) == (403, "recipient_unavailable")
    assert history(ann, with_uid=ben.uid)["items"] == []


def test_only_friends_where_the_operator_wants_so(wary: Server) -> None:
    ann, ben = wary.register("Ann"), wary.register("Ben")
    assert refusal(say(ann, receiver_uid=ben.uid, **TEXT)) == (403, "recipient_unavailable")
    ann.befriend(ben)
    assert say(ann, receiver_uid=ben.uid, **TEXT).status_code == 201


def test_a_repeat_answers_the_first_reply_and_other_content_is_a_conflict(server: Server) -> None:
    ann, ben, key = server.register("Ann"), server.register("Ben"), "once-and-only-once"
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: say(ann, key, receiver_uid=ben.uid, **TEXT), range(8)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.text for reply in replies}) == 1
    assert len(ids(ben, with_uid=ann.uid)) == 1
    assert refusal(say(ann, key, receiver_uid=ben.uid, kind="text", text="other")) == (409, "idempotency_conflict")
    assert refusal(say(ann, key, receiver_uid=ann.uid, **TEXT)) == (409, "idempotency_conflict")
    assert say(ben, key, receiver_uid=ann.uid, **TEXT).json() != replies[0].json()


def test_a_group_hears_it_but_for_who_came_later_or_blocks_the_sender(server: Server) -> None:
    ann, ben, cat, dan, eve = (server.register(name) for name in ("Ann", "Ben", "Cat", "Dan", "Eve"))
    group = group_of(ann, ben, cat)
    assert cat.request("PUT", f"/v1/blocks/{ann.uid}").status_code == 204
    first = said(ann, group_id=group, **TEXT)
    ann.request("PUT", f"/v1/groups/{group}/members/{dan.uid}", json={"role": "member"})
    dan.enter_group(group)
    second = said(ben, group_id=group, **IMAGE_LINK)
    assert ids(ann, group_id=group) == ids(ben, group_id=group) == [second, first]
    assert ids(cat, group_id=group) == ids(dan, group_id=group) == [second]
    assert history(cat, group_id=group, page=1)["total"] == 1
    kinds = [event["type"] for event in cat.request("GET", "/v1/events?after=0").json()["items"]]
    assert kinds.count("message") == 1
    assert refusal(eve.request("GET", f"/v1/messages?group_id={group}")) == (404, "not_found")
    ben.request("DELETE", f"/v1/groups/{group}/members/{ben.uid}")
    assert refusal(ben.request("GET", f"/v1/messages?group_id={group}")) == (404, "not_found")
    assert refusal(say(ben, group_id=group, **TEXT)) == (403, "recipient_unavailable")
    alone = group_of(eve)
    assert refusal(say(eve, group_id=alone, **TEXT)) == (422, "empty_group")


def test_images_stand_in_the_history_with_their_state(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    keys = [ann.send(ben, png(2, 2), caption=f"number {n}").headers["message-key"] for n in range(3)]
    ben.get(keys[0])
    ann.request("DELETE", f"/v1/images/{keys[1]}")
    wait_until(lambda: ann.status(keys[0])["state"] == "consumed", what="the consumption")
    for person, other in ((ann, ben), (ben, ann)):
        items = history(person, with_uid=other.uid)["items"]
        assert [item["state"] for item in items] == ["pending", "recalled", "consumed"]
        assert [item["message_key"] for item in items] == keys[::-1]
        assert items[0].items() >= {"kind": "image", "filetype": "png", "caption": "number 2"}.items()


def test_what_people_send_themselves_stands_in_their_history_once(server: Server) -> None:
    ann = server.register("Ann")
    sent = [said(ann, receiver_uid=ann.uid, **TEXT) for _ in range(3)] + [int(ann.send(ann, PNG).headers["message-id"])]
    assert ids(ann, with_uid=ann.uid) == sent[::-1]
    assert history(ann, with_uid=ann.uid, limit=2)["next"] == sent[2]
    assert history(ann, with_uid=ann.uid, page=1)["total"] == 4
    assert history(ann, with_uid=ann.uid)["items"][0]["state"] == "pending"


def test_an_image_stays_in_the_history_when_all_who_got_it_have_left_for_good(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    group = group_of(ann, ben)
    send(ann, group, PNG)
    assert ben.request("DELETE", "/v1/me").status_code == 204
    [item] = history(ann, group_id=group)["items"]
    assert (item["kind"], item["state"]) == ("image", "expired")


def test_who_comes_back_sees_nothing_of_before_whatever_the_clock_says(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    group = group_of(ann, ben)
    before = said(ann, group_id=group, **TEXT)
    alter(server, "UPDATE messages SET send_time = send_time + 3600000 WHERE message_id = ?", before)
    room = ann.request("GET", f"/v1/groups/{group}").json()["room_gid"]
    assert ann.request("DELETE", f"/v1/groups/{group}/members/{ann.uid}").status_code == 204
    assert ann.request("POST", "/v1/groups/join", json={"room_gid": room}).status_code == 200
    since = said(ann, group_id=group, **TEXT)
    assert ids(ann, group_id=group) == [since]
    assert ids(ben, group_id=group) == [since, before]


def test_a_page_of_long_texts_is_cut_short_and_goes_on(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    sent = [said(ann, receiver_uid=ben.uid, kind="text", text="𝄞" * 8000) for _ in range(40)][::-1]
    seen: list[int] = []
    page: dict[str, Any] = {"next": 2**63 - 1}
    while page["next"]:
        page = history(ben, with_uid=ann.uid, limit=200, before=page["next"])
        assert 0 < len(json.dumps(page["items"], ensure_ascii=False)) < 200_000
        seen += [item["message_id"] for item in page["items"]]
    assert seen == sent


def test_pages_and_cursors_show_every_message_once(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    sent = [
        said((ann, ben)[n % 3 == 0], receiver_uid=(ben, ann)[n % 3 == 0].uid, kind="text", text=str(n))
        for n in range(25)
    ][::-1]
    assert ids(ann, with_uid=ben.uid) == sent
    paged = [history(ben, with_uid=ann.uid, page=page, per_page=10) for page in (1, 2, 3, 4)]
    assert [item["message_id"] for page in paged for item in page["items"]] == sent
    assert [(page["page"], page["per_page"], page["total"]) for page in paged] == [(n, 10, 25) for n in (1, 2, 3, 4)]
    seen: list[int] = []
    before: int | None = 2**63 - 1
    while before is not None:
        said(ann, receiver_uid=ben.uid, kind="text", text="meanwhile")
        page = history(ben, with_uid=ann.uid, limit=7, **({"before": before} if seen else {"before": sent[0] + 1}))
        seen += [item["message_id"] for item in page["items"]]
        before = page["next"]
    assert seen == sent
    assert ids(ben, with_uid=ann.uid, after=sent[3], before=sent[0]) == sent[1:3]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "with_uid=1&group_id=1",
        "with_uid=x",
        "with_uid=0",
        "with_uid=99999999999999999999",
        "with_uid=1&page=0",
        "with_uid=1&page=1&per_page=201",
        "with_uid=1&page=1&before=5",
        "with_uid=1&limit=0",
        "with_uid=1&limit=201",
        "with_uid=1&before=-1",
        "with_uid=1&page=1000001",
        "with_uid=1&with_uid=2",
        "with_uid=1&sort=asc",
    ],
)
def test_a_range_that_cannot_be_is_refused(server: Server, query: str) -> None:
    assert refusal(server.register("Ann").request("GET", f"/v1/messages?{query}")) == (422, "invalid_field")


def test_a_text_is_taken_back_by_its_sender_alone(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="ben")
    message_id, kept = said(ann, receiver_uid=ben.uid, **TEXT), said(ann, receiver_uid=ben.uid, **TEXT)
    image = int(ann.send(ben, png(1, 1)).headers["message-id"])
    for person, wanted in ((ben, message_id), (ann, image), (ann, 2**62)):
        assert refusal(person.request("DELETE", f"/v1/messages/{wanted}")) == (404, "not_found")
    for no_id in ("x", "0", "-1"):
        assert ann.request("DELETE", f"/v1/messages/{no_id}").status_code == 404
    assert ann.request("DELETE", f"/v1/messages/{message_id}").status_code == 204
    assert ids(ben, with_uid=ann.uid) == ids(ann, with_uid=ben.uid) == [image, kept]
    assert refusal(ann.request("DELETE", f"/v1/messages/{message_id}")) == (404, "not_found")


def test_what_was_taken_back_is_gone_from_the_events_too(server: Server) -> None:
    ann, ben, cat = server.register("Ann"), server.register("Ben"), server.register("Cat")
    group = group_of(ann, ben, cat)
    addressees: list[dict[str, Any]] = [{"receiver_uid": ben.uid}, {"group_id": group}]
    for addressee in addressees:
        kept, taken = (say(ann, kind="text", text=text, **addressee).json() for text in ("keep", "hush"))
        assert ann.request("DELETE", f"/v1/messages/{taken['message_id']}").status_code == 204
        *_, first, second, last = ben.request("GET", "/v1/events?after=0").json()["items"]
        assert (first["data"]["message_id"], first["data"]["text"]) == (kept["message_id"], "keep")
        left = {"message_id": taken["message_id"], "deleted": True}
        assert [(event["type"], event["data"]) for event in (second, last)] == [
            ("message", left),
            ("message_deleted", left),
        ]
    for person in (ben, cat):
        assert "hush" not in person.request("GET", "/v1/me/export").text


def test_a_flood_of_texts_is_held_back(wary: Server) -> None:
    ann, ben = wary.register("Ann"), wary.register("Ben")
    ann.befriend(ben)
    first = say(ann, "again", receiver_uid=ben.uid, **TEXT)
    replies = [say(ann, receiver_uid=ben.uid, **TEXT) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [201, 201, 429]
    assert "retry-after" in replies[-1].headers
    assert say(ann, "again", receiver_uid=ben.uid, **TEXT).json() == first.json()


def conversations(person: Person, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = person.request("GET", "/v1/conversations", params=query).json()
    return found


def mark(person: Person, conversation: str, up_to: object) -> httpx.Response:
    return person.request("PUT", f"/v1/conversations/{conversation}/read", json={"up_to": up_to})


def test_what_is_unread_is_counted_until_it_is_marked_and_the_other_side_is_told(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    group = group_of(ann, ben)
    for text in ("one", "two"):
        last = said(ann, receiver_uid=ben.uid, kind="text", text=text)
    in_group = said(ann, group_id=group, **TEXT)
    [room, with_ann] = conversations(ben)["items"]
    assert (room["group_id"], room["unread"], room["last"]["message_id"]) == (group, 1, in_group)
    assert with_ann == {
        "peer_uid": ann.uid,
        "nickname": "Ann",
        "unread": 2,
        "read_up_to": 0,
        "last": history(ben, with_uid=ann.uid)["items"][0],
    }
    assert mark(ben, f"{ann.uid}", last).status_code == mark(ben, f"g{group}", in_group).status_code == 204
    assert [(item["unread"], item["read_up_to"]) for item in conversations(ben)["items"]] == [(0, in_group), (0, last)]
    told = [event["data"] for event in ann.request("GET", "/v1/events?after=0").json()["items"][-2:]]
    assert told == [{"uid": ben.uid, "up_to": last}, {"uid": ben.uid, "up_to": in_group, "group_id": group}]
    first = conversations(ben, limit=1)
    assert (len(first["items"]), first["next"]) == (1, in_group)
    rest = conversations(ben, limit=1, before=first["next"])
    assert (rest["items"][0]["peer_uid"], rest["next"]) == (ann.uid, None)


def test_who_keeps_read_receipts_to_themselves_is_asked_nothing_more(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert ben.request("GET", "/v1/me").json()["read_receipts"] is True
    assert ben.request("PATCH", "/v1/me", json={"read_receipts": False}).json()["read_receipts"] is False
    assert ben.request("PATCH", "/v1/me", json={"read_receipts": 0}).status_code == 422
    message_id = said(ann, receiver_uid=ben.uid, **TEXT)
    assert mark(ben, f"{ann.uid}", message_id).status_code == 204
    assert ann.request("GET", "/v1/events?after=0").json()["items"] == []
    assert ben.request("GET", "/v1/me").json()["read_receipts"] is False


@pytest.mark.parametrize(("conversation", "status"), [("x", 404), ("g", 404), ("g0", 404), ("1g", 404), ("G1", 404)])
def test_a_conversation_that_cannot_be_is_not_there(server: Server, conversation: str, status: int) -> None:
    assert mark(server.register("Ann"), conversation, 1).status_code == status


@pytest.mark.parametrize("up_to", [0, -1, "1", None, 1.5, True, 2**63])
def test_a_mark_is_a_message_id(server: Server, up_to: object) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    said(ann, receiver_uid=ben.uid, **TEXT)
    assert refusal(mark(ben, f"{ann.uid}", up_to)) == (422, "invalid_field")
