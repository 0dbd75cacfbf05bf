# SPDX-License-Identifier: Apache-2.0
"""A request whose body is held back must not outlive the credential that it began with."""

import json
import socket
from collections.abc import Callable

import pytest

from tests.harness import Person, Server, phone_number, wait_until
from tests.pictures import jpeg
from tests.process.hostile_wire import read_answer

Begin = Callable[[str, str, int], socket.socket]


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


def begin(person: Person, method: str, path: str, length: int, kind: str = "application/json") -> socket.socket:
    """The head of a request that is admitted, and nothing of its body."""
    connection = person.server.connect()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {person.basic}\r\nExpect: 100-continue\r\n"
    connection.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


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
    form = b'--b\r\nContent-Disposition: form-data; name="receiver_uid"\r\n\r\n%d\r\n' % ann.uid
    form += b'--b\r\nContent-Disposition: form-data; name="img_file"\r\n\r\n' + jpeg() + b"\r\n--b--\r\n"
    upload = begin(old, "POST", "/v1/images", len(form), "multipart/form-data; boundary=b")
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
