# SPDX-License-Identifier: Apache-2.0
"""The event socket of room chat, as its document describes it, and clients that are not so kind."""

import contextlib
import json
import resource
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.samples.room_socket import read_hello
from models.errors import AppError, InvalidField, MalformedRequest
from tests.process.samples.world import Hosted, Listener, hello, listening, settle, talker
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server, running, wait_until

UUID, ROOM = "99f0e998-1360-41e9-ab6c-00e04c681690", "wjLJb3Jo"
RESET = struct.pack("ii", 1, 0)
HELLO = json.dumps({"uuid": UUID, "room_gid": ROOM}).encode()


def test_members_hear_everybody_s_messages_as_the_history_has_them(server: Server, room_port: int) -> None:
    ann, ben = talker(server, "Ann"), talker(server, "Ben")
    room, elsewhere = ann.create_room(), ann.create_room()
    with listening(room_port, hello(ann, room)) as hers, listening(room_port, hello(ben, room) + b"\n") as his:
        settle(hers, ann, room)
        hers.skip_to(settle(his, ann, room))
        ann.say(elsewhere, "not for this room")
        for person, text in ((ben, "hi"), (ann, "zażółć 🙂\nand a second line")):
            assert person.say(room, text).json() == {"ok": True}
            expected = ann.history(room)[-1]
            assert expected["msg"]["txt"] == text
            assert hers.next() == expected
            assert his.next() == expected


@pytest.mark.parametrize(
    "pieces",
    [
        lambda text: [text],
        lambda text: [text + b"\r\n"],
        lambda text: [bytes([letter]) for letter in text],
        lambda text: [json.dumps(json.loads(text), indent=2).encode()],
        lambda text: [json.dumps({**json.loads(text), "uuid": json.loads(text)["uuid"].upper(), "more": 1}).encode()],
    ],
    ids=["bare", "a line", "byte by byte", "many lines", "in capitals"],
)
def test_a_hello_may_come_in_many_ways(server: Server, room_port: int, pieces: object) -> None:
    assert callable(pieces)
    ann = talker(server)
    room = ann.create_room()
    with listening(room_port) as listener:
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces(hello(ann, room)):
            listener.send(piece)
        settle(listener, ann, room)


@ON_SQLITE
@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"{garbage",
        b"[]",
        b"null\n",
        b"{}",
        b'{"uuid": 7, "room_gid": "wjLJb3Jo"}',
        b'{"uuid": "%s"}' % UUID.encode(),
        HELLO,
        b'{"uuid": "\\ud800", "room_gid": "\\ud800"}',
        b'{"uuid": "x", "room_gid": ' + b"[" * 3000,
        b'{"uuid": "' + b"x" * 1_000_000,
        b" " * 1_000_000,
    ],
    ids=lambda said: repr(said[:24]),
)
def test_what_is_wrong_is_closed_at_once(room_port: int, server: Server, said: bytes) -> None:
    with listening(room_port) as listener:
        with contextlib.suppress(ConnectionError):
            listener.send(said)
        assert listener.is_closed()
    assert server.client.get("/healthz").status_code == 200


def test_a_right_session_opens_no_room_that_is_not_there_and_no_closed_one(server: Server, room_port: int) -> None:
    ann, ben = talker(server), talker(server)
    closed = ann.native("POST", "/v1/groups", json={"name": "Closed", "members": []}).json()["room_gid"]
    for room in ("AAAAAAAA", closed, ""):
        with listening(room_port, hello(ben, room)) as listener:
            assert listener.is_closed()


@ON_SQLITE
def test_half_a_hello_and_then_the_end_is_closed(room_port: int, server: Server) -> None:
    with listening(room_port, HELLO[:-9]) as listener:
        listener.socket.shutdown(socket.SHUT_WR)
        assert listener.is_closed()
    assert server.client.get("/healthz").status_code == 200


@ON_SQLITE
def test_who_ends_its_side_after_the_hello_still_listens(server: Server, room_port: int) -> None:
    ann, ben = talker(server), talker(server)
    room = ann.create_room()
    with listening(room_port, hello(ben, room)) as listener:
        settle(listener, ann, room)
        listener.socket.shutdown(socket.SHUT_WR)
        for text in ("are you there?", "still?"):
            ann.say(room, text)
            assert listener.next()["msg"]["txt"] == text


@ON_SQLITE
def test_who_has_ended_its_side_makes_room_for_the_same_persons_next(server: Server, room_port: int) -> None:
    ann = talker(server)
    room = ann.create_room()
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(listening(room_port, hello(ann, room))) for _ in range(20)]
        settle(first[-1], ann, room)
        first[0].socket.shutdown(socket.SHUT_WR)
        settle(stack.enter_context(listening(room_port, hello(ann, room))), ann, room)
        assert first[0].lines.read().endswith(b"\n")


@ON_SQLITE
def test_who_talks_on_and_on_is_cut(server: Server, room_port: int) -> None:
    ann = talker(server)
    room = ann.create_room()
    with listening(room_port, hello(ann, room)) as listener:
        settle(listener, ann, room)
        with contextlib.suppress(ConnectionError):
            listener.send(b"x" * 100_000)
        assert listener.is_closed()


def test_an_ended_session_hears_nothing_more(server: Server, room_port: int) -> None:
    ann, ben = talker(server), talker(server)
    room = ann.create_room()
    with listening(room_port, hello(ann, room)) as listener:
        settle(listener, ben, room)
        changed = {"current_password": "password", "password": "another one"}
        assert ann.native("PUT", "/v1/me/password", json=changed).status_code == 204
        ben.say(room, "is she still there?")
        assert listener.is_closed()


def is_held(port: int, listener: Listener) -> bool:
    """Whether the server has this connection open, whatever of it is still on its way: proc(5), /proc/net/tcp."""
    wanted = f":{port:04X}", f":{listener.socket.getsockname()[1]:04X}"
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = row.split()
        if (local[-5:], remote[-5:]) == wanted:
            return state == "01"
    return False


@ON_SQLITE
def test_who_takes_nothing_is_cut_and_holds_up_nobody(server: Server, room_port: int) -> None:
    ann = talker(server)
    room = ann.create_room()
    text = "🙂" * 8000
    with (
        listening(room_port, hello(ann, room), receive_buffer=4096) as slow,
        listening(room_port, hello(ann, room)) as quick,
    ):
        for listener in (slow, quick):
            settle(listener, ann, room)
        with ThreadPoolExecutor(1) as talking:
            replies = talking.map(lambda _: ann.say(room, text), range(30))
            taken = 0
            while taken < 30:
                taken += quick.next()["msg"]["txt"] == text
            assert {reply.status_code for reply in replies} == {200}
        wait_until(lambda: not is_held(room_port, slow), what="the slow one's end")
        with contextlib.suppress(ConnectionError):
            assert len(slow.lines.read()) < 30 * len(text.encode())


@ON_SQLITE
def test_who_hang_up_without_a_word_while_somebody_talks_are_no_failure(server: Server, room_port: int) -> None:
    ann, others = talker(server), [talker(server) for _ in range(3)]
    room = ann.create_room()
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(listening(room_port, hello(ben, room))) for ben in others * 20]
            settle(crowd[-1], ann, room)
            with ThreadPoolExecutor(1) as talking:
                talking.map(lambda text: ann.say(room, text), ["are you all there?" * 100] * 10)
                for listener in crowd:
                    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    listener.close()
    assert server.failures() == []


@ON_SQLITE
def test_one_person_and_one_address_have_so_many_and_no_more(server: Server, room_port: int) -> None:
    people = [talker(server) for _ in range(11)]
    room = people[0].create_room()
    with contextlib.ExitStack() as stack:
        for person in people[:10]:
            for _ in range(20):
                last = stack.enter_context(listening(room_port, hello(person, room)))
            settle(last, person, room)
            if person is people[0]:
                with listening(room_port, hello(person, room)) as one_too_many:
                    assert one_too_many.is_closed()
        with listening(room_port) as one_too_many:
            with contextlib.suppress(ConnectionError):
                one_too_many.send(hello(people[10], room))
            assert one_too_many.is_closed()


@ON_SQLITE
def test_thousands_of_silent_connections_are_bounded_and_end(server: Server, room_port: int) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", room_port), 30)) for _ in range(2000)]
        for number, connection in enumerate(crowd):
            with contextlib.suppress(ConnectionError):
                connection.send(HELLO[:30] if number % 2 else b"")
        assert server.client.get("/healthz").status_code == 200
        for connection in crowd:
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
    ann = talker(server)
    room = ann.create_room()
    with listening(room_port, hello(ann, room)) as listener:
        settle(listener, ann, room)


@ON_SQLITE
def test_a_port_that_is_somebody_else_s_is_a_warning(hosted: Hosted, room_port: int) -> None:
    assert '"room chat has no socket"' in hosted.server.log.read_text()
    ann = talker(hosted.server)
    with listening(room_port, hello(ann, ann.create_room())) as listener:
        assert listener.is_closed(), "it is the other server's"


@pytest.mark.usefixtures("engine")
def test_a_server_that_stops_says_what_was_said_and_closes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(tmp_path, {"samples": {"room_socket_port": port}}) as server:
        ann = talker(server)
        room = ann.create_room()
        with listening(port, hello(ann, room)) as listener, listening(port) as silent:
            settle(listener, ann, room)
            ann.say(room, "last words")
            server.terminate()
            assert listener.next()["msg"]["txt"] == "last words"
            assert listener.is_closed()
            assert silent.is_closed()
            assert server.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        assert server.failures() == []


@pytest.mark.parametrize("text", [HELLO, b"\n" + HELLO, json.dumps(json.loads(HELLO), indent=1).encode()])
def test_a_hello_is_awaited_to_its_last_byte_and_no_longer(text: bytes) -> None:
    assert [read_hello(text[:end]) for end in range(len(text))] == [None] * len(text)
    assert read_hello(text) == read_hello(text + b"\n{more") == (UUID, ROOM)


@pytest.mark.parametrize(
    "text",
    [b"x", b"[", b'"', b"1", b"\xff", b"\0", b"{x", b"{,", b'{"a" 1', b'{"a": b', b'{"a": 1}', b'{"uuid": null}'],
)
def test_what_cannot_become_a_hello_is_refused(text: bytes) -> None:
    with pytest.raises((MalformedRequest, InvalidField)):
        read_hello(text)


@given(st.binary(max_size=64) | st.text(alphabet='{}[]":,\\u0 aéx\n', max_size=64).map(str.encode))
def test_whatever_comes_is_a_hello_or_half_of_one_or_refused(received: bytes) -> None:
    with contextlib.suppress(AppError):
        found = read_hello(received)
        assert found is None or isinstance(found[0], str)
