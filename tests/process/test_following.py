# SPDX-License-Identifier: Apache-2.0
"""The log of events by long poll, by Server-Sent Events and by WebSocket, on the real server."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from os import urandom
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from models.clock import now_ms
from services.events import READERS_PER_PERSON
from tests.process.groups.world import alter
from tests.support import PATIENCE
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import png
from tests.support.rows import insert

SETTINGS = {"limits": {"enabled": False}, "inbox": {"max_pending": 100_000}}
PICTURE = png(1, 1)
HELD = ("01", "08")
"""ESTABLISHED, and CLOSE_WAIT: the other end is gone and this one not yet closed."""


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    settings = {**SETTINGS, "server": {"cors_origins": ["https://app.example"]}}
    with running(new_folder("events"), settings) as server:
        yield server
        assert server.failures() == []


def send(sender: Person, receiver: Person) -> str:
    reply = sender.send(receiver, PICTURE)
    assert reply.status_code == 201, reply.text
    return reply.headers["message-key"]


def listed(person: Person, **query: Any) -> dict[str, Any]:
    reply = person.request("GET", "/v1/events", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


@contextlib.contextmanager
def socket_of(
    person: Person, query: str = "", headers: dict[str, str] | None = None, **how: Any
) -> Iterator[ClientConnection]:
    own = {"Authorization": person.basic} if headers is None else headers
    url = f"ws://127.0.0.1:{person.server.port}/v1/events/ws{query}"
    with connect(url, additional_headers=own, proxy=None, compression=None, **how) as opened:
        yield opened


def closed_with(opened: ClientConnection, seconds: float = 20) -> int | None:
    """The code with which the server closes, whatever it says before."""
    try:
        while True:
            opened.recv(timeout=seconds)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


class Stream:
    """Server-Sent Events as a client reads them."""

    def __init__(self, reply: httpx.Response) -> None:
        self._lines = reply.iter_lines()

    def message(self) -> dict[str, str]:
        """The next message, comments left out; empty at the end."""
        found: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                found[name] = value
            if not line and found:
                break
        return found


@contextlib.contextmanager
def stream_of(person: Person, headers: dict[str, str] | None = None, query: str = "") -> Iterator[Stream]:
    own = {"Authorization": person.basic, **(headers or {})}
    with person.server.client.stream("GET", f"/v1/events/stream{query}", headers=own) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield Stream(reply)


def test_three_ways_read_one_log(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert listed(ben) == {"items": [], "next": 0}
    keys = [send(ann, ben) for _ in range(3)]
    polled = listed(ben, after=0)
    assert [item["data"]["message_key"] for item in polled["items"]] == keys
    assert [item["id"] for item in polled["items"]] == [1, 2, 3]
    assert {item["type"] for item in polled["items"]} == {"image"}
    assert polled["next"] == 3
    with stream_of(ben, query="?after=0") as stream:
        messages = [stream.message() for _ in range(3)]
    assert [json.loads(message["data"]) for message in messages] == polled["items"]
    assert [(message["id"], message["event"]) for message in messages] == [(str(n), "image") for n in (1, 2, 3)]
    with socket_of(ben, "?after=0") as opened:
        assert [json.loads(opened.recv(timeout=PATIENCE)) for _ in range(3)] == polled["items"]
    assert listed(ben, after=1, limit=1) == {"items": polled["items"][1:2], "next": 2}
    with stream_of(ben, {"Last-Event-ID": "2"}, "?after=0") as stream:
        assert stream.message()["id"] == "3"
    with stream_of(ben, {"Last-Event-ID": ""}, "?after=2") as stream:  # a reader that has seen no event
        assert stream.message()["id"] == "3"


def test_without_a_cursor_a_reader_is_told_what_comes_next_and_the_sender_of_its_consumption(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    send(ann, ben)
    with socket_of(ben) as to_ben, socket_of(ann) as to_ann, stream_of(ann) as ann_too:
        key = send(ann, ben)
        seen = json.loads(to_ben.recv(timeout=PATIENCE))
        assert (seen["id"], seen["data"]["message_key"]) == (2, key)
        ben.get(key)
        told = json.loads(to_ann.recv(timeout=PATIENCE))
        assert (told["type"], told["data"]["message_key"], told["data"]["receiver_uid"]) == (
            "image_consumed",
            key,
            ben.uid,
        )
        assert json.loads(ann_too.message()["data"]) == told


def test_a_poll_waits_for_what_comes_and_answers_at_once_when_it_is_there(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    found: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: found.append(listed(ben, wait=60)))
    waiting.start()
    keys: list[str] = []

    def answered() -> bool:
        keys.append(send(ann, ben))
        waiting.join(0.05)
        return not waiting.is_alive()

    wait_until(answered, what="the poll's answer")
    [event] = found[0]["items"][:1]
    assert event["data"]["message_key"] in keys
    assert listed(ben, after=event["id"] - 1, wait=60)["items"][0] == event
    assert listed(ben, after=len(keys), wait=1) == {"items": [], "next": len(keys)}


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "99999999999999999999", "7", "", "٣"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/stream"])
def test_a_cursor_that_cannot_be_is_refused(server: Server, path: str, cursor: str) -> None:
    refused = server.register("Ann").request("GET", path, params={"after": cursor})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")


def test_a_cursor_from_before_the_log_is_told_so_everywhere(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    for _ in range(4):
        send(ann, ben)
    erase_events(server, ben.uid, up_to=3)
    refused = ben.request("GET", "/v1/events", params={"after": 2})
    assert (refused.status_code, refused.json()["code"]) == (410, "cursor_expired")
    assert [item["id"] for item in listed(ben, after=3)["items"]] == [4]
    assert [item["id"] for item in listed(ben, after=0)["items"]] == [4]
    assert ben.request("GET", "/v1/events/stream?after=1").status_code == 410
    with socket_of(ben, "?after=1") as opened:
        assert closed_with(opened) == 4410


def test_ids_that_a_restore_has_skipped_are_no_gap(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    for _ in range(2):
        send(ann, ben)
    with socket_of(ben) as opened:
        alter(server, "UPDATE users SET event_seq = event_seq + 1000 WHERE uid = ?", ben.uid)
        send(ann, ben)
        assert json.loads(opened.recv(timeout=PATIENCE))["id"] == 1003
    for known, seen in ((0, [1, 2, 1003]), (2, [1003]), (7, [1003])):
        assert [item["id"] for item in listed(ben, after=known)["items"]] == seen
    erase_events(server, ben.uid, up_to=2)
    assert ben.request("GET", "/v1/events", params={"after": 7}).status_code == 410


def erase_events(server: Server, uid: int, up_to: int) -> None:
    alter(server, "DELETE FROM events WHERE uid = ? AND event_id <= ?", uid, up_to)


@pytest.mark.usefixtures("engine")
def test_nothing_is_missed_or_doubled_over_reconnects_and_a_killed_server(tmp_path: Path) -> None:
    with running(tmp_path, SETTINGS) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        sent: list[str] = []
        ended = threading.Event()

        def keep_sending() -> None:
            while not ended.wait(0.005):
                with contextlib.suppress(httpx.TransportError, RuntimeError):
                    sent.append(send(ann, ben))

        sending = threading.Thread(target=keep_sending)
        sending.start()
        seen: list[dict[str, Any]] = []

        def read_some(count: int) -> None:
            after = seen[-1]["id"] if seen else 0
            with contextlib.suppress(OSError, ConnectionClosed), socket_of(ben, f"?after={after}") as opened:
                seen.extend(json.loads(opened.recv(timeout=PATIENCE)) for _ in range(count))

        try:
            for _ in range(2):
                read_some(15)
                read_some(15)
                server.kill()
                server.start()
        finally:
            ended.set()
            sending.join()
        while seen[-1]["id"] < listed(ben)["next"]:
            read_some(1)
        assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
        keys = [event["data"]["message_key"] for event in seen]
        assert len(set(keys)) == len(keys)
        assert set(sent) <= set(keys)


@ON_SQLITE
@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("https://app.example", True),
        ("http://127.0.0.1:{port}", True),
        ("http://127.0.0.1:1", False),
        ("https://evil.example", False),
        ("https://app.example.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_other_origins_open_no_socket(server: Server, origin: str | None, welcome: bool) -> None:
    ann = server.register("Ann")
    headers = {"Authorization": ann.basic}
    if origin is not None:
        headers["Origin"] = origin.format(port=server.port)
    if welcome:
        with socket_of(ann, headers=headers):
            return
    with pytest.raises(InvalidStatus) as caught, socket_of(ann, headers=headers):
        pass
    assert caught.value.response.status_code == 403


@ON_SQLITE
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upgrade": "h2c"}, 400),
        ({"Connection": "close"}, 400),
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Authorization": "Basic bm86bm8="}, 401),
        ({"path": "/v1/events/ws?access_token=x"}, 422),
        ({"path": "/v1/events/ws?after=-1"}, 422),
    ],
)
def test_what_is_no_handshake_is_refused_as_any_request(server: Server, changes: dict[str, str], status: int) -> None:
    path = changes.get("path", "/v1/events/ws")
    headers = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Authorization": server.register("Ann").basic,
        **{name: value for name, value in changes.items() if name != "path"},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with server.connect() as connection, contextlib.closing(HTTPResponse(connection)) as answer:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        answer.begin()
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
        assert answer.headers["Sec-WebSocket-Version"] == ("13" if status == 400 else None)  # RFC 6455, 4.4


def tokens_of(person: Person) -> dict[str, str]:
    reply = person.request("POST", "/v1/tokens")
    assert reply.status_code == 200, reply.text
    found: dict[str, str] = reply.json()
    return found


def test_the_first_frame_may_say_who_it_is(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    access_token = tokens_of(ben)["access_token"]
    with socket_of(ben, headers={}) as opened:
        opened.send(json.dumps({"access_token": access_token}))
        seen: list[str | bytes] = []

        def told() -> bool:
            send(ann, ben)
            with contextlib.suppress(TimeoutError):
                seen.append(opened.recv(timeout=0.2))
            return bool(seen)

        wait_until(told, what="an event")


@ON_SQLITE
@pytest.mark.parametrize("frame", ["", "[]", "{}", '{"access_token": 7}', '{"access_token": "x"}', "null", b"\0\1"])
def test_a_first_frame_that_proves_nobody_ends_the_socket(server: Server, frame: str | bytes) -> None:
    with socket_of(server.register("Ann"), headers={}) as opened:
        opened.send(frame)
        assert closed_with(opened) == 4401


def masked(first: int, payload: bytes, length: int | None = None) -> bytes:
    """A client's frame with a mask of zeros."""
    size = len(payload) if length is None else length
    head = bytes([first, 0x80 | size]) if size < 126 else bytes([first, 0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


@ON_SQLITE
@pytest.mark.parametrize(
    "frames",
    [
        masked(0x81, b"", length=11_000_000),
        masked(0x81, b"x" * 5000),
        masked(0x01, b"x" * 100) + masked(0x00, b"x" * 100) * 60,
        masked(0x81, b"\xff\xfe"),
        masked(0xC1, b"x"),
        masked(0x80, b"x"),
        masked(0x83, b"x"),
        masked(0x09, b"x"),
        masked(0x89, b"x") * 10_000,
        masked(0x81, b"{}") * 10_000,
    ],
)
def test_frames_that_nobody_should_send_end_the_socket_and_harm_nobody(server: Server, frames: bytes) -> None:
    ann = server.register("Ann")
    with server.connect() as connection:
        connection.sendall(handshake(ann, "/v1/events/ws"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        with contextlib.suppress(ConnectionError):
            connection.sendall(frames)
        with contextlib.suppress(ConnectionError):
            while b"too many frames" not in (said := connection.recv(65536)) and said:
                pass
    assert server.client.get("/healthz").status_code == 200


@ON_SQLITE
def test_readers_that_take_nothing_and_those_whose_credential_ends_are_cut(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    bearer = {"Authorization": f"Bearer {tokens_of(ann)['access_token']}"}
    lengthen_log(server, ben.uid, events=20_000)
    before, memory = connections(server), resident_bytes(server)
    with contextlib.ExitStack() as stack:
        for path in ("ws", "stream") * 5:
            stack.enter_context(silent(server, ben, f"/v1/events/{path}?after=0"))
        opened = stack.enter_context(socket_of(ann, headers=bearer))
        stream = stack.enter_context(stream_of(ann, bearer))
        assert server.client.post("/v1/logout", headers=bearer).status_code == 204
        assert closed_with(opened, seconds=60) == 4401
        assert stream.message() == {"event": "end", "data": '{"code": "unauthenticated"}'}
        wait_until(lambda: connections(server) <= before + 1, what="the end of the silent", pause=0.2)
    assert resident_bytes(server) < memory + 20_000_000
    assert server.client.get("/healthz").status_code == 200


@pytest.mark.usefixtures("engine")
def test_large_replies_that_nobody_takes_cost_little_memory_and_are_cut(tmp_path: Path) -> None:
    settings = {"delivery": {"stall_seconds": 1}, "uploads": {"min_bytes_per_second": 100_000_000}}
    with running(tmp_path, {**SETTINGS, **settings}) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        lengthen_log(server, ben.uid, events=200, letters=90_000)
        lengthen_history(server, ann.uid, ben.uid, messages=400, letters=30_000)
        assert 0 < len(listed(ben, after=0, limit=200)["items"]) < 10
        before, memory = connections(server), resident_bytes(server)

        def connections_left() -> int:
            server.client.get("/healthz")  # so that our own connection is always among them
            return connections(server) - before

        history = f"/v1/messages?with_uid={ann.uid}&"
        with contextlib.ExitStack() as stack:
            for path in ("/v1/events/stream?after=0", "/v1/events?after=0&limit=200", history + "limit=200") * 6:
                connection = stack.enter_context(silent(server, ben, path))
                assert connection.recv(1, socket.MSG_PEEK)
            assert resident_bytes(server) < memory + 60_000_000
        wait_until(lambda: connections_left() <= 0, what="the end of those who are gone")
        with silent(server, ben, history + "page=1&per_page=200"):
            wait_until(lambda: connections_left() > 0, what="the connection")
            wait_until(lambda: connections_left() <= 0, what="the end of the silent")
        assert server.failures() == []


def lengthen_log(server: Server, uid: int, events: int, letters: int = 600) -> None:
    data = json.dumps({"said": urandom(letters // 2).hex()})
    rows = [(uid, number + 1, "of_later", now_ms(), data) for number in range(events)]
    insert(server.database, "events", "uid, event_id, type, at, data", rows)
    alter(server, "UPDATE users SET event_seq = ? WHERE uid = ?", events, uid)


def lengthen_history(server: Server, sender_uid: int, receiver_uid: int, messages: int, letters: int) -> None:
    columns = "kind, sender_uid, receiver_uid, send_time, exist, filetype, size, caption, body, expires_at, stored"
    body = json.dumps({"text": urandom(letters // 2).hex()})
    row = ("text", sender_uid, receiver_uid, now_ms(), 0, "", 0, "", body, 2 * now_ms(), 0)
    insert(server.database, "messages", columns, [row] * messages)


def connections(server: Server) -> int:
    """How many clients' connections the server has open, be it to those who are gone: proc(5), /proc/net/tcp."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{server.port:04X}") and state in HELD for _, local, _, state, *_ in rows)


def resident_bytes(server: Server) -> int:
    assert server.process
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def silent(server: Server, person: Person, path: str) -> socket.socket:
    """A client with a small buffer that asks for all there is and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(handshake(person, path))
    return connection


def handshake(person: Person, path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: {person.basic}\r\n\r\n"
    ).encode()


def test_a_person_has_so_many_readers_and_no_more(server: Server) -> None:
    ann = server.register("Ann")
    with contextlib.ExitStack() as stack:
        for _ in range(READERS_PER_PERSON):
            stack.enter_context(socket_of(ann))
        wait_until(lambda: ann.request("GET", "/v1/events").status_code == 429, what="the last reader")
        with socket_of(ann) as one_more:
            assert closed_with(one_more) == 4429
    wait_until(lambda: ann.request("GET", "/v1/events").status_code == 200, what="the end of the readers")


@pytest.mark.usefixtures("engine")
def test_readers_do_not_hold_the_end_of_the_server_up(tmp_path: Path) -> None:
    with running(tmp_path, SETTINGS) as server:
        ann = server.register("Ann")
        with socket_of(ann) as opened, stream_of(ann) as stream, server.connect() as poll:
            poll.sendall(handshake(ann, "/v1/events?wait=60"))
            assert [server.client.get("/healthz").status_code for _ in range(3)] == [200] * 3
            server.terminate()
            assert closed_with(opened) == 1001
            assert stream.message() == {}
            assert poll.recv(4096).endswith(b'{"items":[],"next":0}')
        assert server.wait() == 0
        assert server.failures() == []
