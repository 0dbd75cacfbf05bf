# SPDX-License-Identifier: Apache-2.0
"""The operations on devices, on the real server; a webhook of ours is the phone."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg
from tests.support.webhook_phone import Phone, running_phone

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDPOINT = "https://93.184.216.34/wpush/v2/gAAA"
JPEG = jpeg()
KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}


@pytest.fixture(scope="module")
def phone() -> Iterator[Phone]:
    with running_phone() as phone:
        yield phone


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, phone: Phone) -> Iterator[Server]:
    settings = {"push": {"allow_endpoints": [phone.url, phone.other_url], "webhook": {"secret": SECRET}}}
    with running(new_folder("devices"), settings) as server:
        yield server
        assert server.failures() == []


def register(person: Person, token: Any, **fields: Any) -> httpx.Response:
    return person.request("POST", "/v1/devices", json={"token": token, **fields})


def device_of(person: Person, token: Any, **fields: Any) -> int:
    reply = register(person, token, **fields)
    assert reply.status_code == 201, reply.text
    found: int = reply.json()["device_id"]
    return found


def items(person: Person, path: str = "/v1/devices") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.request("GET", path).json()["items"]
    return found


def ids(person: Person) -> list[int]:
    return [item["device_id"] for item in items(person)]


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def next_millisecond() -> None:
    """A token that is as old as a provider's word is not ended by it."""
    now = time.time_ns() // 1_000_000
    wait_until(lambda: time.time_ns() // 1_000_000 > now)


def test_the_life_of_a_device(server: Server) -> None:
    ann = server.register("Ann")
    device_id = device_of(ann, "secret-1", provider="log", device_type="ANDROID")
    [device] = items(ann)
    assert device.pop("registered_at") > 0
    assert device == {
        "device_id": device_id,
        "provider": "log",
        "app": "",
        "device_type": "ANDROID",
        "stale": False,
    }
    assert device_of(ann, "secret-1", provider="log", device_type="IOS") == device_id
    other_id = device_of(ann, "secret-2")
    replaced = ann.request("PUT", f"/v1/devices/{device_id}", json={"cid": "secret-3"})
    assert (replaced.status_code, replaced.json()) == (200, {"device_id": device_id})
    assert [(item["device_id"], item["device_type"]) for item in items(ann)] == [(device_id, "IOS"), (other_id, "")]
    assert "secret" not in ann.request("GET", "/v1/devices").text
    assert ann.request("DELETE", f"/v1/devices/{device_id}").status_code == 204
    assert ids(ann) == [other_id]
    for method, path in OPERATIONS:
        assert code(ann.request(method, f"/v1/devices/{device_id}{path}", json={"token": "t"})) == (404, "not_found")
    assert device_of(ann, "secret-3") == device_id


def test_devices_are_listed_by_pages(server: Server) -> None:
    ann = server.register("Ann")
    made = [device_of(ann, f"{ann.uid}-{n}") for n in range(5)]
    pages: list[dict[str, Any]] = [{"items": [], "next": 0}]
    while pages[-1]["next"] is not None:
        pages.append(ann.request("GET", "/v1/devices", params={"limit": 2, "after": pages[-1]["next"]}).json())
    assert [[item["device_id"] for item in page["items"]] for page in pages[1:]] == [made[:2], made[2:4], made[4:]]
    before = ann.request("GET", "/v1/devices", params={"before": made[2]}).json()
    assert ([item["device_id"] for item in before["items"]], before["next"]) == (made[:2], None)


@pytest.mark.parametrize("path", ["/v1/devices", "/v1/devices/{device}/pushes"])
def test_a_limit_that_is_none_is_refused_and_one_is_kept(server: Server, path: str) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    path = path.format(device=device_of(ann, f"limit-{ann.uid}"))
    device_of(ann, f"other-{ann.uid}")
    for _ in range(2):
        assert ben.send(ann, JPEG).status_code == 201
    for limit in (0, 201, "x", ""):
        assert code(ann.request("GET", path, params={"limit": limit})) == (422, "invalid_field")
    assert code(ann.request("GET", path, params={"page": 1})) == (422, "invalid_field")
    assert [len(items(ann, f"{path}?limit={limit}")) for limit in (1, 2, 200)] == [1, 2, 2]


OPERATIONS = [("PUT", ""), ("DELETE", ""), ("POST", "/test-push"), ("GET", "/pushes")]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_anothers_device_looks_like_none(server: Server, method: str, path: str) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    theirs = device_of(ben, f"{method}{path}")
    replies = [
        ann.request(method, f"/v1/devices/{device_id}{path}", json={"token": "mine"})
        for device_id in (theirs, theirs + 1000, 2**63, 0, -1, "x", "%00")
    ]
    bodies = [{**reply.json(), "request_id": ""} for reply in replies]
    assert bodies == [bodies[0]] * len(replies)
    assert code(replies[0]) == (404, "not_found")
    assert ids(ben) == [theirs]
    assert server.client.request(method, f"/v1/devices/{theirs}{path}").status_code == 401


def test_a_token_that_moves_leaves_the_first_account_and_shows_nothing_of_it(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    first = device_of(ann, "shared")
    assert ben.send(ann, JPEG).status_code == 201
    second = device_of(ben, "shared")
    assert (ids(ann), ids(ben)) == ([], [second])
    assert items(ben, f"/v1/devices/{second}/pushes") == []
    assert len(items(ann, f"/v1/devices/{first}/pushes")) == 1
    assert code(ben.request("GET", f"/v1/devices/{first}/pushes")) == (404, "not_found")
    mine = device_of(ann, "mine")
    assert ann.request("PUT", f"/v1/devices/{mine}", json={"token": "shared"}).status_code == 200
    assert (ids(ann), ids(ben)) == ([mine], [])


def test_one_token_at_once_has_one_holder(server: Server) -> None:
    people = [server.register(f"P{number}") for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: register(people[number % 4], "raced"), range(16)))
    assert [reply.status_code for reply in replies] == [201] * 16
    assert sum(len(ids(person)) for person in people) == 1


def test_beyond_twenty_devices_the_one_registered_longest_ago_ends(server: Server) -> None:
    ann = server.register("Ann")
    found = []
    for number in range(20):
        found.append(device_of(ann, f"many-{number}"))
        next_millisecond()
    assert device_of(ann, "many-0") == found[0]
    next_millisecond()
    newest = device_of(ann, "many-20")
    assert ids(ann) == [found[0], *found[2:], newest]


@pytest.mark.parametrize(
    ("fields", "field_names"),
    [
        ({}, ["token"]),
        ({"token": "", "cid": None}, ["token"]),
        ({"token": "a", "cid": "b"}, ["token"]),
        ({"token": 7}, ["token"]),
        ({"cid": ["a"]}, ["cid"]),
        ({"token": "a\u0000b"}, ["token"]),
        ({"token": "x" * 4097}, ["token"]),
        ({"token": "t", "provider": "pigeon"}, ["provider"]),
        ({"token": "t", "provider": "getui"}, ["provider"]),
        ({"token": "t", "provider": ["log"]}, ["provider"]),
        ({"token": "t", "provider": {}}, ["provider"]),
        ({"token": "t", "provider": False}, ["provider"]),
        ({"token": "t", "app": 0}, ["app"]),
        ({"token": "t", "app": []}, ["app"]),
        ({"token": "t", "app": "other"}, ["app"]),
        ({"token": "t", "app": ["a"]}, ["app"]),
        ({"token": "t", "device_type": "TOASTER"}, ["device_type"]),
        ({"token": "t", "uid": 1, "registered_at": 5}, ["registered_at", "uid"]),
        ({"token": {"endpoint": ENDPOINT, "keys": {**KEYS, "auth": "AA"}}, "provider": "webpush"}, ["token"]),
        ({"token": {"endpoint": ENDPOINT, "keys": {**KEYS, "p256dh": "B" * 87}}, "provider": "webpush"}, ["token"]),
        ({"token": ENDPOINT, "provider": "webpush"}, ["token"]),
        ({"token": {"a": 1}, "provider": "ntfy"}, ["token"]),
    ],
)
def test_what_is_wrong_is_named_and_leaves_no_device(
    server: Server, fields: dict[str, Any], field_names: list[str]
) -> None:
    ann = server.register("Ann")
    refused = ann.request("POST", "/v1/devices", json=fields)
    assert code(refused) == (422, "invalid_field")
    assert [error["field"] for error in refused.json()["errors"]] == field_names
    assert ids(ann) == []


FORBIDDEN = [
    "http://93.184.216.34/",
    "https://127.0.0.1/",
    "https://169.254.169.254/latest",
    "https://[::ffff:7f00:1]/",
    "https://0x7f000001/",
    "https://[64:ff9b::7f00:1]/",
    "https://user@93.184.216.34/",
    "https://93.184.216.34:22/",
    "https://localhost/",
    "file:///etc/passwd",
]


def test_a_url_that_is_forbidden_is_refused_wherever_a_device_is_named(server: Server, phone: Phone) -> None:
    ann = server.register("Ann")
    replies = []
    for url in FORBIDDEN:
        for provider in ("ntfy", "webhook", "webpush"):
            token: Any = {"endpoint": url, "keys": KEYS} if provider == "webpush" else url
            replies.append(register(ann, token, provider=provider))
    device_id = device_of(ann, f"{phone.url}/204/mine", provider="webhook")
    replies.append(ann.request("PUT", f"/v1/devices/{device_id}", json={"token": FORBIDDEN[1]}))
    newcomer = {"region_num": "86", "phone_num": "13812345678", "nickname": "x", "push_provider": "webhook"}
    replies.append(server.client.post("/v1/register", json={**newcomer, "cid": FORBIDDEN[1]}))
    assert {code(reply) for reply in replies} == {(422, "endpoint_not_allowed")}
    assert not [reply for reply in replies if "127.0.0.1" in reply.text]
    assert ids(ann) == [device_id]
    assert server.client.post("/v1/register", json=newcomer).status_code == 201


def test_urls_and_subscriptions_that_are_allowed_are_taken(server: Server) -> None:
    ann = server.register("Ann")
    subscription = {"endpoint": ENDPOINT, "expirationTime": None, "keys": KEYS}
    first = device_of(ann, subscription, provider="webpush", device_type="WEB")
    assert device_of(ann, json.dumps(subscription, indent=1), provider="webpush", device_type="WEB") == first
    second = device_of(ann, ENDPOINT, provider="ntfy")
    nowhere = device_of(ann, "https://nowhere.invalid/x", provider="ntfy")
    assert ids(ann) == [first, second, nowhere]


@pytest.mark.parametrize(
    ("status", "outcome", "reason", "left"),
    [
        (204, "delivered", "", 1),
        (503, "retry", "HTTP 503", 1),
        (302, "retry", "HTTP 302", 1),
        (400, "rejected", "HTTP 400", 1),
        (410, "gone", "HTTP 410", 0),
    ],
)
def test_a_test_push_says_what_the_provider_said(
    server: Server, phone: Phone, status: int, outcome: str, reason: str, left: int
) -> None:
    ann, path = server.register("Ann"), f"/{status}/{server.port}"
    device_id = device_of(ann, phone.url + path, provider="webhook")
    next_millisecond()
    tested = ann.request("POST", f"/v1/devices/{device_id}/test-push").json()
    assert tested.pop("latency_ms") >= 0
    assert tested == {"outcome": outcome, "provider": "webhook", "reason": reason}
    assert phone.got[path] == [{"type": "test"}]
    assert len(ids(ann)) == left


def test_a_device_that_registers_while_it_is_called_gone_stays(server: Server, phone: Phone) -> None:
    ann = server.register("Ann")
    device_id = device_of(ann, f"{phone.url}/410/again", provider="webhook")

    def again() -> None:
        next_millisecond()
        assert device_of(ann, f"{phone.url}/410/again", provider="webhook") == device_id

    phone.before = again
    try:
        tested = ann.request("POST", f"/v1/devices/{device_id}/test-push")
    finally:
        phone.before = lambda: None
    assert tested.json()["outcome"] == "gone"
    assert ids(ann) == [device_id]


def test_tests_are_counted_tightly(server: Server) -> None:
    ann = server.register("Ann")
    device_id = device_of(ann, "counted")
    replies = [ann.request("POST", f"/v1/devices/{device_id}/test-push") for _ in range(11)]
    assert [reply.status_code for reply in replies] == [200] * 10 + [429]
    assert int(replies[-1].headers["Retry-After"]) > 0


def test_the_latest_pushes_and_how_far_they_came(server: Server, phone: Phone) -> None:
    ann, ben, cal = server.register("Ann"), server.register("Ben"), server.register("Cal")
    good = device_of(ann, f"{phone.url}/204/history", provider="webhook")
    busy = device_of(cal, f"{phone.other_url}/503/history", provider="webhook")
    for receiver in (cal, *[ann] * 21):
        assert ben.send(receiver, JPEG).status_code == 201
    history, failing = f"/v1/devices/{good}/pushes", f"/v1/devices/{busy}/pushes"
    wait_until(lambda: {item["state"] for item in items(ann, history)} == {"delivered"}, what="delivery")
    found = items(ann, history)
    pending = [item["message_id"] for item in ann.request("GET", "/v1/inbox").json()["items"]]
    assert [item["message_id"] for item in found] == pending[:0:-1]
    assert {(item["kind"], item["reason"]) for item in found} == {("message", "")}
    assert all(item["attempts"] >= 1 for item in found)
    assert all(item["created_at"] <= item["settled_at"] for item in found)
    wait_until(lambda: any(item["reason"] == "HTTP 503" for item in items(cal, failing)), what="a failure")
    assert {(item["state"], item["settled_at"]) for item in items(cal, failing)} == {("due", None)}


def test_the_owner_of_a_device_that_a_provider_calls_dead_can_read_why(server: Server, phone: Phone) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    dead = device_of(ann, f"{phone.url}/410/dead", provider="webhook")
    next_millisecond()
    assert ben.send(ann, JPEG).status_code == 201
    history = f"/v1/devices/{dead}/pushes"
    wait_until(lambda: dead not in ids(ann), what="the device's end")
    assert [(item["state"], item["reason"]) for item in items(ann, history)] == [("dead", "gone: HTTP 410")]
    assert code(ben.request("GET", history)) == (404, "not_found")
    assert code(ann.request("POST", f"/v1/devices/{dead}/test-push")) == (404, "not_found")
