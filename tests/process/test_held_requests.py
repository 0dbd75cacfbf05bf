# SPDX-License-Identifier: Apache-2.0
"""A request whose body is held back must not outlive the credential that it began with."""

import json
import socket
from pathlib import Path

import pytest

from tests.process.hostile_wire import Answer, read_answer
from tests.support.harness import Person, Server, phone_number, wait_until
from tests.support.pictures import jpeg


def retrieve(server: Server, number: str) -> Person:
    """The account on another device, by the code that went out."""
    log = server.data_dir / "outbox.log"
    started = server.client.post("/v1/register", json={"region_num": "86", "phone_num": number, "nickname": "x"})
    assert started.status_code == 202

    def codes() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [str(line["code"]) for line in map(json.loads, lines) if line.get("to") == f"+86{number}"]

    wait_until(lambda: bool(codes()), what="the code")
    reply = server.client.post(f"/v1/activations/{started.json()['activation_id']}", json={"code": codes()[-1]})
    assert reply.status_code == 201
    return Person(server, *(reply.json()[name] for name in ("uid", "ukey", "phone_hash")))


def begin(
    person: Person, method: str, path: str, length: int, kind: str = "application/json", by: str = "", key: str = ""
) -> socket.socket:
    """The head of a request that is admitted, and nothing of its body."""
    connection = person.server.connect()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {by or person.basic}\r\nExpect: 100-continue\r\n"
    head += f"Idempotency-Key: {key}\r\n" if key else ""
    connection.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


FORM = "multipart/form-data; boundary=b"


def image_to(name: str, value: object) -> bytes:
    """The form of an image to that addressee."""
    form = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    form += '--b\r\nContent-Disposition: form-data; name="img_file"\r\n\r\n'
    return form.encode() + jpeg() + b"\r\n--b--\r\n"


def text_to(name: str, value: object) -> bytes:
    return json.dumps({"kind": "text", "text": "hello", name: value}).encode()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/v1/me/ukey", b"{}"), ("PATCH", "/v1/me", b'{"nickname": "thief"}')],
)
def test_a_held_request_of_an_ended_ukey_changes_nothing(server: Server, method: str, path: str, body: bytes) -> None:
    number = phone_number()
    old = server.register(phone_num=number)
    held = begin(old, method, path, len(body))
    new = retrieve(server, number)
    with held:
        held.sendall(body)
        answer = read_answer(held)
    assert answer is not None
    assert (answer.status, answer.code) == (401, "unauthenticated")
    me = new.request("GET", "/v1/me")
    assert (me.status_code, me.json()["nickname"]) == (200, "somebody")
    assert old.request("GET", "/v1/me").status_code == 401


def test_a_held_upload_and_acknowledgement_of_an_ended_ukey_do_nothing(server: Server, ann: Person) -> None:
    number = phone_number()
    old = server.register(phone_num=number)
    key = ann.send(old, jpeg()).headers["Message-Key"]
    form = image_to("receiver_uid", ann.uid)
    upload = begin(old, "POST", "/v1/images", len(form), FORM)
    removal = begin(old, "DELETE", f"/v1/images/{key}", 2)
    new = retrieve(server, number)
    for held, body in ((upload, form), (removal, b"{}")):
        with held:
            held.sendall(body)
            answer = read_answer(held)
        assert answer is not None
        assert answer.status == 401
    assert ann.request("GET", "/v1/inbox").json()["items"] == []
    assert [item["message_key"] for item in new.request("GET", "/v1/inbox").json()["items"]] == [key]


def stored(server: Server) -> list[Path]:
    return [path for path in (server.data_dir / "images").rglob("*") if path.is_file()]


TO = ["person", "nobody", "group", "group of others", "repeat"]
SENDINGS = [("/v1/images", to) for to in (*TO, "phone", "phone of nobody")] + [("/v1/messages", to) for to in TO]


@pytest.mark.parametrize("by", ["ukey", "token"])
@pytest.mark.parametrize(("path", "to"), SENDINGS)
def test_what_an_ended_credential_still_sends_is_refused_and_reaches_nobody(
    server: Server, ann: Person, path: str, to: str, by: str
) -> None:
    """Nor is it told whom there is, or what was answered before."""
    number = phone_number()
    old = server.register(phone_num=number)
    token = old.request("POST", "/v1/tokens").json()["access_token"]
    addressees = {
        "nobody": ("receiver_uid", 2**40),
        "phone": ("receiver_phone", ann.phone_hash),
        "phone of nobody": ("receiver_phone", "0" * 64),
        "group": ("group_id", old.begin_group(ann)),
        "group of others": ("group_id", ann.begin_group()),
    }
    name, value = addressees.get(to, ("receiver_uid", ann.uid))
    body, kind = (image_to(name, value), FORM) if path == "/v1/images" else (text_to(name, value), "application/json")
    key = "again" if to == "repeat" else ""
    if key:
        with begin(old, "POST", path, len(body), kind, key=key) as first:
            assert finish(first, body).status == 201
    said, files = told(ann), stored(server)
    held = begin(old, "POST", path, len(body), kind, f"Bearer {token}" if by == "token" else "", key)
    if by == "ukey":
        retrieve(server, number)
    else:
        server.client.post("/v1/logout", headers={"Authorization": f"Bearer {token}"})
    with held:
        answer = finish(held, body)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert (told(ann), stored(server)) == (said, files)


def finish(held: socket.socket, body: bytes) -> Answer:
    held.sendall(body)
    answer = read_answer(held)
    assert answer is not None
    return answer


def told(person: Person) -> list[object]:
    """Of images and texts."""
    events = person.request("GET", "/v1/events", params={"after": 0}).json()["items"]
    return [event for event in events if event["type"] in ("image", "message")]
