# SPDX-License-Identifier: Apache-2.0
"""Clients that ask for the longest lists and take nothing of them: they cost little memory, and others nothing."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.clock import now_ms
from tests.process.samples.world import Listener, Talker, hello, settle, talker
from tests.process.wires import BOTH_WIRES, reply_begins, running_on
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, running, wait_until
from tests.support.rows import insert

pytestmark = ON_SQLITE

EMOJI = "\U0001f600"
SETTINGS = {"limits": {"enabled": False}, "samples": {"enabled": True, "room_socket_port": 0}}
READERS = 200
FEW_BYTES = 60_000_000
MESSAGE = (
    "kind, sender_uid, receiver_uid, group_id, send_time, exist, filetype, size, caption, body, expires_at, stored"
)


def say_much(server: Server, sender: int, *, receiver: int | None = None, group: int | None = None) -> None:
    """200 texts of 32 KB."""
    body = json.dumps({"text": EMOJI * 8000}, ensure_ascii=False)
    row = ("text", sender, receiver, group, now_ms(), 0, "", 0, "", body, 2 * now_ms(), 0)
    insert(server.database, "messages", MESSAGE, [row] * 200)


def resident_bytes(server: Server) -> int:
    assert server.process
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def silent(server: Server, path: str, credential: str) -> socket.socket:
    """A client with a small buffer that asks and never reads."""
    connection = server.connect(window=4096)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{credential}\r\n\r\n".encode())
    return connection


@contextlib.contextmanager
def many_silent(server: Server, path: str, credential: str, count: int = READERS) -> Iterator[list[socket.socket]]:
    """So many, each of whom an answer has reached."""
    with contextlib.ExitStack() as stack:
        asking = [stack.enter_context(silent(server, path, credential)) for _ in range(count)]
        for connection in asking:
            assert reply_begins(connection)
        yield asking


def of(person: Person) -> str:
    return f"Authorization: {person.basic}"


def pair(server: Server) -> tuple[str, str]:
    ann, ben = server.register("Ann"), server.register("Ben")
    say_much(server, ann.uid, receiver=ben.uid)
    return f"/v1/messages?with_uid={ann.uid}&page=1&per_page=200", of(ben)


def by_cursor(server: Server) -> tuple[str, str]:
    path, credential = pair(server)
    return path.replace("page=1&per_page", "limit"), credential


def export(server: Server) -> tuple[str, str]:
    return "/v1/me/export", pair(server)[1]


def room_history(server: Server) -> tuple[str, str]:
    ann, group, room = room_of(server)
    say_much(server, 1, group=group)
    return f"/get-room-history?room_gid={room}", f"user: {ann.uuid}"


def room_of(server: Server) -> tuple[Talker, int, str]:
    ann = talker(server)
    room = ann.create_room()
    [(group,)] = server.database.rows("SELECT group_id FROM `groups` WHERE room_gid = ?", room)
    return ann, group, room


@BOTH_WIRES
@pytest.mark.parametrize("longest", [pair, by_cursor, export, room_history])
def test_readers_that_take_nothing_of_the_longest_list_cost_little(
    tmp_path: Path, wire: str, longest: Callable[[Server], tuple[str, str]]
) -> None:
    with running_on(wire, tmp_path, SETTINGS) as server:
        path, credential = longest(server)
        before = resident_bytes(server)
        with many_silent(server, path, credential):
            assert server.client.get("/healthz").status_code == 200
            assert resident_bytes(server) - before < FEW_BYTES
        assert server.failures() == []


def test_followers_of_a_room_that_take_nothing_cost_little(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(tmp_path, {**SETTINGS, "samples": {"enabled": True, "room_socket_port": port}}) as server:
        ann, _, room = room_of(server)
        with contextlib.ExitStack() as stack:
            listeners = []
            for person in [talker(server) for _ in range(5)]:
                for _ in range(18):
                    listener = stack.enter_context(contextlib.closing(Listener(port, 4096)))
                    listener.send(hello(person, room))
                    settle(listener, ann, room)
                    listeners.append(listener)
            before = resident_bytes(server)
            for _ in range(120):
                assert ann.say(room, EMOJI * 8000).status_code == 200
            for listener in listeners:  # each is behind now, and goes on until it has taken a little
                assert len(listener.lines.read(300_000)) == 300_000
            assert server.client.get("/healthz").status_code == 200
            assert resident_bytes(server) - before < FEW_BYTES
        assert server.failures() == []


@BOTH_WIRES
def test_over_the_budget_who_takes_nothing_is_cut_and_who_reads_has_everything(tmp_path: Path, wire: str) -> None:
    settings = {**SETTINGS, "server": {"max_unsent_bytes": 1 << 20}, "delivery": {"stall_seconds": 600}}
    with running_on(wire, tmp_path, settings) as server:
        path, credential = pair(server)
        with many_silent(server, path, credential, 100):
            name, _, value = credential.partition(": ")
            reply = server.client.get(path, headers={name: value})
            assert [len(item["text"]) for item in reply.json()["items"]] == [8000] * 200
            wait_until(lambda: established(server) <= 60, what="the end of those who take nothing")
        assert server.failures() == []


def established(server: Server) -> int:
    """How many connections the server has: proc(5), /proc/net/tcp."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{server.port:04X}") and state == "01" for _, local, _, state, *_ in rows)
