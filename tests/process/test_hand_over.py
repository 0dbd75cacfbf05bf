# SPDX-License-Identifier: Apache-2.0
"""When is an image handed over? Receivers that read all of it, some of it or nothing, over sockets of their own."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.process.hostile_wire import reset
from tests.process.invariants import check_database, consumptions
from tests.process.wires import BOTH_WIRES, reply_begins, running_on
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import jpeg

pytestmark = BOTH_WIRES

SETTINGS = {"limits": {"enabled": False}}
TRIES = 100
AT_ONCE = 20
SMALL_RECEIVE_BUFFER = 4096
BEYOND_THE_KERNEL = 8 * 1024 * 1024
WITHIN_THE_KERNEL = 300_000


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, wire: str) -> Iterator[Server]:
    with running_on(wire, new_folder("hand-over"), SETTINGS) as server:
        yield server
        assert server.failures() == []
        check_database(server.data_dir)


@pytest.fixture(scope="module")
def impatient(new_folder: NewFolder, wire: str) -> Iterator[Server]:
    """A server that cuts a download which takes nothing for a second."""
    with running_on(wire, new_folder("impatient"), {**SETTINGS, "delivery": {"stall_seconds": 1}}) as server:
        yield server
        assert server.failures() == []


def stored(ann: Person, ben: Person, picture: bytes) -> str:
    reply = ann.send(ben, picture)
    assert reply.status_code == 201, reply.text
    return reply.headers["Message-Key"]


def request(person: Person, key: str, *, version: str = "1.1", connection: str = "close") -> bytes:
    lines = (f"GET /v1/images/{key} HTTP/{version}", "Host: x", f"Authorization: {person.basic}")
    return "\r\n".join((*lines, f"Connection: {connection}", "\r\n")).encode()


def dial(server: Server) -> socket.socket:
    """A connection whose kernel takes little: what its owner does not read stays with the server."""
    return server.connect(SMALL_RECEIVE_BUFFER)


def head_of(connection: socket.socket) -> tuple[int, bytes]:
    """The length that the reply announces, and what of the body came with its head."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1024)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")), head
    [length] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return int(length.split(b":")[1]), body


def read_body(connection: socket.socket, least: int | None = None) -> bytes:
    """The body, or at least so many bytes of it."""
    length, body = head_of(connection)
    pieces, got = [body], len(body)
    while got < (length if least is None else least):
        piece = connection.recv(65536)
        assert piece, "the server ended the reply early"
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)


def in_parallel(act: Callable[[int], None], times: int = TRIES) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(act, range(times)):
            pass


def never_read(connection: socket.socket) -> None:
    reply_begins(connection)
    reset(connection)


def read_half(connection: socket.socket, size: int) -> None:
    read_body(connection, size // 2)
    reset(connection)


@pytest.mark.parametrize("size", [WITHIN_THE_KERNEL, BEYOND_THE_KERNEL])
@pytest.mark.parametrize("kind", ["never reads", "resets in the middle"])
def test_a_receiver_that_resets_before_the_last_byte_consumes_nothing(
    server: Server, ann: Person, ben: Person, kind: str, size: int
) -> None:
    key = stored(ann, ben, jpeg(size))
    ben.get(key, params={"ack": "manual"})
    before = server.open_files()

    def act(_: int) -> None:
        connection = dial(server)
        connection.sendall(request(ben, key))
        if kind == "never reads":
            never_read(connection)
        else:
            read_half(connection, size)

    in_parallel(act, TRIES // 2)
    wait_until(lambda: server.open_files() <= before, what="the end of the aborted downloads")
    assert ann.status(key)["state"] == "pending"
    assert consumptions(server.data_dir, key) == 0
    assert len(ben.get(key).content) == size


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_a_receiver_that_reads_all_and_goes_at_once_consumes(
    server: Server, ann: Person, keep_alive: bool, end: Callable[[socket.socket], None]
) -> None:
    ben = server.register("Ben")
    picture = jpeg(WITHIN_THE_KERNEL)
    keys = [stored(ann, ben, picture) for _ in range(TRIES // 2)]

    def act(number: int) -> None:
        connection = dial(server)
        connection.sendall(request(ben, keys[number], connection="keep-alive" if keep_alive else "close"))
        assert read_body(connection) == picture
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # a reset would take a late word with it
        end(connection)

    in_parallel(act, len(keys))
    wait_until(lambda: consumptions(server.data_dir, *keys) == len(keys), what="the consumptions")


def test_a_receiver_takes_one_image_after_the_other_over_one_connection(
    server: Server, ann: Person, ben: Person
) -> None:
    pictures = [jpeg(WITHIN_THE_KERNEL + number) for number in range(10)]
    keys = [stored(ann, ben, picture) for picture in pictures]
    with dial(server) as connection:
        for key, picture in zip(keys, pictures, strict=True):
            connection.sendall(request(ben, key, connection="keep-alive"))
            assert read_body(connection) == picture
    wait_until(lambda: consumptions(server.data_dir, *keys) == len(keys), what="the consumptions")


@pytest.mark.parametrize("size", [WITHIN_THE_KERNEL, BEYOND_THE_KERNEL])
def test_a_receiver_that_stalls_is_cut_and_consumes_nothing(impatient: Server, size: int) -> None:
    server = impatient
    ann, ben = server.register("Ann"), server.register("Ben")
    key = stored(ann, ben, jpeg(size))
    ben.get(key, params={"ack": "manual"})
    before = server.open_files()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(dial(server))
            connection.sendall(request(ben, key, connection="keep-alive"))
            assert reply_begins(connection)
        wait_until(lambda: server.open_files() > before, what="the downloads")
        wait_until(lambda: server.open_files() <= before, what="the cut")
        assert ann.status(key)["state"] == "pending"
    assert consumptions(server.data_dir, key) == 0
    assert len(ben.get(key).content) == size


def test_a_slow_receiver_is_not_a_stalled_one(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(WITHIN_THE_KERNEL)
    key = stored(ann, ben, picture)
    with dial(server) as connection:
        connection.sendall(request(ben, key))
        length, body = head_of(connection)

        def read_some() -> bool:
            nonlocal body
            body += connection.recv(1500)
            return len(body) == length

        wait_until(read_some, what="the whole image")
    assert body == picture
    wait_until(lambda: consumptions(server.data_dir, key) == 1, what="the consumption")


def test_an_old_client_consumes_too(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(WITHIN_THE_KERNEL)
    key = stored(ann, ben, picture)
    with dial(server) as connection:
        connection.sendall(request(ben, key, version="1.0"))
        assert read_body(connection) == picture
        assert connection.recv(1) == b"", "to HTTP/1.0 the end of the connection ends the reply"
    wait_until(lambda: consumptions(server.data_dir, key) == 1, what="the consumption")


def test_a_recall_ends_a_running_download_and_nothing_is_consumed(server: Server, ann: Person, ben: Person) -> None:
    key = stored(ann, ben, jpeg(BEYOND_THE_KERNEL))
    with dial(server) as connection:
        connection.sendall(request(ben, key))
        length, body = head_of(connection)
        assert ann.request("DELETE", f"/v1/images/{key}").status_code == 204
        got = len(body)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                got += len(piece)
    assert got < length == BEYOND_THE_KERNEL
    assert ann.status(key)["state"] == "recalled"
    assert ben.get(key).json()["code"] == "image_recalled"
    assert consumptions(server.data_dir, key) == 0


def test_racing_receivers_consume_once_and_all_read_the_whole_image(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(WITHIN_THE_KERNEL)
    key = stored(ann, ben, picture)

    def act(_: int) -> None:
        with dial(server) as connection:
            connection.sendall(request(ben, key))
            assert read_body(connection) == picture

    in_parallel(act, 40)
    wait_until(lambda: consumptions(server.data_dir, key) == 1, what="the consumption")
