# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time, and crowds of them: cut, with all they held given back."""

import contextlib
import itertools
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, FORM, JSON, by, form, image_part, part, read_answer, request
from tests.process.wires import BOTH_WIRES, reply_begins, running_on
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import jpeg

pytestmark = BOTH_WIRES

SETTINGS = {
    "limits": {"enabled": False},
    "server": {"idle_timeout_seconds": 1, "body_timeout_seconds": 1, "max_connections": 100},
    "delivery": {"stall_seconds": 1},
    "storage": {"max_bytes": 20_000_000},
}


CUT_SECONDS = 15
"""Far more than the second that these servers allow, and less than the 20 of config.yaml."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, wire: str) -> Iterator[Server]:
    with running_on(wire, tmp_path_factory.mktemp("server"), SETTINGS) as server:
        yield server
        assert server.failures() == []


@contextlib.contextmanager
def crowd_of(count: int, connect: Callable[[], socket.socket]) -> Iterator[list[socket.socket]]:
    """As many connections, closed after the block."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect()) for _ in range(count)]


def seconds_until_cut(connection: socket.socket, drip: bytes = b"") -> float:
    """How long the server lets this go on, with a byte of `drip` every tenth of a second."""
    began = time.monotonic()
    connection.settimeout(0.1)
    for at in itertools.count():
        assert time.monotonic() < began + CUT_SECONDS, "it was not cut"
        try:
            if drip:
                connection.send(drip[at % len(drip) :][:1])
            if connection.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError):
            break
    connection.close()
    return time.monotonic() - began


IDLE = {
    "nothing": (b"", b""),
    "a head that drips": (b"GET /healthz HTTP/1.1\r\nX: ", b"a"),
    "a head that breaks off": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b""),
    "a kept connection": (request("GET", "/healthz"), b""),
    "a body that drips": (request("POST", "/v1/register", JSON, "Content-Length: 100000"), b" "),
    "a body that never comes": (request("POST", "/v1/register", JSON, "Content-Length: 5"), b""),
    "a chunk that drips": (request("POST", "/v1/register", JSON, "Transfer-Encoding: chunked") + b"ffff\r\n", b" "),
    "a form that drips": (request("POST", "/v1/images", FORM, "Content-Length: 9000000") + form()[:-4], b"-"),
}


def test_who_dawdles_is_cut(server: Server) -> None:
    def dawdle(start: bytes, drip: bytes) -> float:
        with server.connect() as connection:
            connection.sendall(start)
            return seconds_until_cut(connection, drip)

    with unharmed(server), ThreadPoolExecutor(len(IDLE)) as pool:
        lived = dict(zip(IDLE, pool.map(dawdle, *zip(*IDLE.values(), strict=True)), strict=True))
    assert {name: seconds for name, seconds in lived.items() if seconds < 0.9} == {}


def test_fifty_who_drip_do_not_keep_others_waiting(server: Server) -> None:
    with unharmed(server) as bystander, ThreadPoolExecutor(50) as pool, crowd_of(50, server.connect) as connections:
        list(pool.map(lambda connection: seconds_until_cut(connection, b"GET /"), connections))
    assert bystander.answered > 20


def test_an_upload_that_crawls_gives_its_room_back(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    to = part("receiver_uid", str(ben.uid).encode())
    head = request("POST", "/v1/images", FORM, by(ann), "Content-Length: 15000000")
    big = form(to, image_part(jpeg(15_000_000)))
    with unharmed(server, 507), server.connect() as connection:
        connection.sendall(head + to + image_part(jpeg(300_000)))
        wait_until(lambda: refuses(ann, big), what="the use of the room")
        seconds_until_cut(connection, b"a")
        # The client sees the cut before the server has forgotten the upload.
        wait_until(lambda: not refuses(ann, big), what="the room that it had")
    assert len(server.stored_files()) == 1
    ben.request("DELETE", f"/v1/images/{server.stored_files()[0].name}")


def refuses(person: Person, body: bytes) -> bool:
    """Whether there is no room for an upload of this size; it is not sent when there is none."""
    head = request(
        "POST", "/v1/images", FORM, by(person), "Expect: 100-continue", f"Content-Length: {len(body)}", CLOSE
    )
    with person.server.connect() as connection:
        connection.sendall(head)
        answer = read_answer(connection)
        assert answer
        if answer.status != 100:
            assert answer.refusal == (507, "storage_full")
            return True
        connection.sendall(body)
        answer = read_answer(connection)
        assert answer
        assert answer.status == 201
        return False


def test_an_upload_that_is_slow_but_steady_is_taken(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    picture = jpeg(40_000)
    body = form(part("receiver_uid", str(ben.uid).encode()), image_part(picture))
    with unharmed(server), server.connect() as connection:
        connection.sendall(request("POST", "/v1/images", FORM, by(ann), f"Content-Length: {len(body)}", CLOSE))
        began = time.monotonic()
        for at in range(0, len(body), 1600):
            connection.sendall(body[at : at + 1600])
            time.sleep(0.08)  # the pace of a slow network
        assert time.monotonic() - began > 2, "longer than a plain body may take"
        answer = read_answer(connection)
    assert answer
    assert answer.status == 201
    assert ben.get(answer.headers["message-key"]).content == picture


def reader(server: Server, person: Person, key: str) -> socket.socket:
    """A connection with a small window that has asked for an image and read nothing of it."""
    connection = server.connect(window=16_384)
    connection.sendall(request("GET", f"/v1/images/{key}", by(person)))
    return connection


@pytest.fixture
def patient(tmp_path: Path, wire: str) -> Iterator[Server]:
    """A server whose patience outlasts the start of many downloads on a busy machine."""
    with running_on(wire, tmp_path, SETTINGS | {"delivery": {"stall_seconds": 5}}) as server:
        yield server
        assert server.failures() == []


def test_readers_that_stall_are_cut_and_the_image_waits(patient: Server) -> None:
    server = patient
    ann, ben = server.register("Ann"), server.register("Ben")
    picture = jpeg(9_000_000)
    key = ann.send(ben, picture).headers["Message-Key"]
    before = memory_bytes(server)
    few = server.open_files() + 1  # the bystander's
    with unharmed(server), crowd_of(20, lambda: reader(server, ben, key)) as readers:
        assert all(map(reply_begins, readers))
        assert server.open_files() > few + 20  # more than a socket each: all twenty at once
        wait_until(lambda: server.open_files() <= few, seconds=40, what="the end of the patience with them")
        assert memory_bytes(server) - before < 20_000_000
    assert ann.status(key)["state"] == "pending"
    assert ben.get(key).content == picture


def memory_bytes(server: Server) -> int:
    assert server.process
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(server: Server) -> float:
    assert server.process
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_flood_of_idle_connections_is_bounded_and_passes(server: Server) -> None:
    began = cpu_seconds(server)
    with unharmed(server), crowd_of(300, server.dial) as crowd:
        wait_until(lambda: sum(map(is_closed, crowd)) >= 200, what="the refusal of those who are too many")
        wait_until(lambda: all(map(is_closed, crowd)), what="the end of the rest")
    assert cpu_seconds(server) - began < 1
    assert server.client.get("/healthz").status_code == 200


def test_a_server_out_of_descriptors_recovers(tmp_path: Path, wire: str) -> None:
    with running_on(wire, tmp_path, SETTINGS) as server:
        assert server.process
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (50, hard))
        with crowd_of(90, server.dial):
            wait_until(lambda: server.open_files() >= 50, what="the last descriptor")
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/readyz").json()["status"] == "ready"
