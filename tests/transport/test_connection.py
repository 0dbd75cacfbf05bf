# SPDX-License-Identifier: Apache-2.0
"""Connections on Tornado's own loop: turns, bounds, ends. What goes over the wire as a whole is in `tests.process`."""

import asyncio
import os
import socket
import time
from itertools import pairwise
from pathlib import Path

import pytest
from tornado.iostream import StreamClosedError

from tests.process.hostile_wire import CLOSE, answers, chunked, request
from tests.transport.world import (
    PIECE,
    PIECES,
    Client,
    FromFile,
    sending_more_than_is_taken,
    serving,
    taking_nothing,
    turns,
    until,
)
from transport.body import MAX_CHUNKS_AT_ONCE
from transport.connection import READ_AHEAD_BYTES
from transport.limits import Limits
from transport.server import SWEEP_SECONDS

pytestmark = pytest.mark.gen_test(timeout=30)
GET = request("GET", "/")
LAST = request("GET", "/", CLOSE)
CONTENT = os.urandom(12_000_000)
QUICK = Limits(idle_seconds=0.2, body_seconds=0.2, stall_seconds=0.2, discard_seconds=0.2, min_bytes_per_second=10**9)


async def test_a_request_is_answered_and_the_connection_stays() -> None:
    async with serving() as world:
        client = await world.connect()
        for _ in range(3):
            client.send(GET)
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"hello")
        client.close()


async def test_requests_that_came_together_are_answered_in_order_without_depth() -> None:
    async with serving() as world:
        found = await world.ask(GET * 3000 + request("POST", "/echo", CLOSE, body=b"12"))
        assert [answer.body for answer in found] == [b"hello"] * 3000 + [b"2"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_where_the_network_cuts_makes_no_difference(size: int) -> None:
    raw = (
        request("POST", "/echo", body=b"12345")
        + request("POST", "/echo", "Transfer-Encoding: chunked")
        + chunked([b"1", b"234", b"5" * 40])
        + request("POST", "/echo", CLOSE, body=b"")
    )
    async with serving() as world:
        client = await world.connect()
        for at in range(0, len(raw), size):
            client.send(raw[at : at + size])
            await asyncio.sleep(0)
        await client.rest()
        assert world.log.bodies == [b"12345", b"1234" + b"5" * 40, b""]


async def test_a_body_is_read_no_faster_than_its_handler_takes_it() -> None:
    async with serving() as world:
        client, connection = await sending_more_than_is_taken(world)
        assert len(connection._unread) < 2 * READ_AHEAD_BYTES
        assert world.log.pieces <= 256 * 1024
        world.log.go_on.set()
        assert (await client.rest()).endswith(b"done")


@pytest.mark.parametrize("path", ["/slow", "/refuse"], ids=["that is taken", "that is thrown away"])
async def test_a_body_in_the_smallest_chunks_is_read_in_turns(path: str) -> None:
    count = 20_000
    async with serving() as world:
        world.log.go_on.set()
        client = await world.connect()
        client.send(request("POST", path, "Transfer-Encoding: chunked") + b"1\r\na\r\n" * count)
        await until(lambda: world.server._connections)
        (connection,) = world.server._connections
        read = [0]
        while read[-1] < count:
            await turns(1)
            read.append(world.log.pieces + connection._discarded)
        # A turn may read twice, where the last one stopped and what has come since; between two looks are parts of two.
        assert max(after - before for before, after in pairwise(read)) <= 4 * MAX_CHUNKS_AT_ONCE
        client.send(b"0\r\n\r\n")
        assert (await client.answer()).status in {200, 403}
        client.close()


async def test_a_reply_in_pieces_is_written_no_faster_than_the_client_takes_it() -> None:
    async with serving() as world:
        client, connection = await taking_nothing(world)
        assert connection.unsent() <= len(PIECE) + 100
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        body = (await client.rest()).partition(b"\r\n\r\n")[2]
        assert body.endswith(b"0\r\n\r\n")
        assert body.count(b"p") == PIECES * len(PIECE)


async def test_what_is_written_to_a_broken_connection_is_not_taken() -> None:
    """The transport learns of a reset by its write; until it says so a turn later, all looks sent."""
    async with serving() as world:
        client = await world.connect()
        client.send(request("GET", "/wait"))
        await until(lambda: world.log.events == ["asked"])
        (connection,) = world.server._connections
        exchange = connection._exchange
        assert exchange
        connection.hold_reading(held=True)  # so that the reset is not read before
        client.reset()
        await turns()
        for _ in range(2):
            connection.send(PIECE)
        taken = exchange.taken()
        with pytest.raises(StreamClosedError):
            await taken


async def test_a_reply_in_pieces_to_http_1_0_ends_with_the_connection() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(b"GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert b"Connection: close" in head
        assert body == PIECE * PIECES


async def test_the_next_request_waits_until_the_last_reply_has_been_taken() -> None:
    async with serving() as world:
        client = await world.connect(window=4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request("GET", "/big") * 50)
        await until(lambda: any(each.unsent() for each in world.server._connections))
        (connection,) = world.server._connections
        await turns()
        assert connection.served == 1
        client.reset()
        await until(lambda: not world.server._connections)


async def test_a_refusal_by_the_head_is_read_by_a_client_that_sends_everything_first() -> None:
    async with serving() as world:
        raw = request("POST", "/refuse", body=bytes(1_000_000))
        assert [answer.body for answer in await world.ask(raw)] == [b"no"]


async def test_a_refusal_by_the_last_piece_ends_the_connection_at_once() -> None:
    async with serving() as world:
        began = asyncio.get_running_loop().time()
        for raw in (request("POST", "/judge", body=b"!"), request("POST", "/judge", body=bytes(300_000) + b"!")):
            assert [answer.body for answer in await world.ask(raw)] == [b"no"]
        assert asyncio.get_running_loop().time() - began < 5


async def test_who_is_told_to_go_can_read_so_though_the_next_request_is_on_its_way() -> None:
    async with serving() as world:
        world.server.let_go()
        client = await world.connect()
        client.send(GET * 2000)  # more than is read at once
        (answer,) = answers(await client.rest())
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await until(lambda: not world.server._connections)


async def test_what_nobody_should_send_after_the_last_request_does_not_spoil_its_reply() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(LAST + b"\r\n" * 20_000)
        assert (await client.rest()).endswith(b"hello")


async def test_an_empty_line_after_the_last_request_is_no_reason_to_wait_for_more() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("GET", "/wait") + b"\r\n")
        client.writer.write_eof()
        await until(lambda: world.log.events == ["asked"])
        await turns()
        world.log.go_on.set()
        assert (await client.rest()).endswith(b"at last")


async def test_a_body_that_goes_on_for_ever_is_not_read_for_ever() -> None:
    async with serving(Limits(max_discard_bytes=100_000)) as world:
        client = await world.connect()
        client.send(request("POST", "/refuse", "Content-Length: 1000000000000"))
        assert (await client.answer()).status == 403
        with pytest.raises(ConnectionError):
            await send_for_ever(client)


async def send_for_ever(client: Client) -> None:
    while True:
        client.send(bytes(100_000))
        await client.writer.drain()
        await asyncio.sleep(0)


async def test_so_many_bodies_are_thrown_away_at_once_and_no_more() -> None:
    async with serving(Limits(max_discarding=2)) as world:
        clients = [await world.connect() for _ in range(3)]
        for client in clients:
            client.send(request("POST", "/refuse", "Content-Length: 10"))
            assert (await client.answer()).status == 403
        assert await clients[2].rest() == b""
        assert world.server.discarding == 2
        for client in clients:
            client.close()


async def test_a_client_that_goes_is_told_to_the_handler_that_waits() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("GET", "/wait"))
        await until(lambda: world.log.events == ["asked"])
        client.reset()
        await until(lambda: world.log.events == ["asked", "lost"])


async def test_a_client_that_goes_in_its_body_is_told_to_the_handler() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("POST", "/echo", "Content-Length: 10") + b"12345")
        await until(lambda: any(each.served for each in world.server._connections))
        client.close()
        await until(lambda: world.log.events == ["lost"])
        assert world.log.bodies == []


async def test_a_client_that_has_ended_its_side_is_answered_later_too() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("GET", "/wait"))
        client.writer.write_eof()
        await until(lambda: world.log.events == ["asked"])
        world.log.go_on.set()
        assert (await client.rest()).endswith(b"at last")
        assert world.log.events == ["asked"]


async def test_a_reply_that_falls_short_is_cut_off_not_ended() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("GET", "/short"))
        assert (await client.rest()).endswith(b"12345")


async def test_a_reply_to_head_has_no_content() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("HEAD", "/") + LAST)
        raw = await client.rest()
        assert raw.count(b"Content-Length: 5") == 2
        assert raw.count(b"hello") == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GET / HT",
        GET,
        request("POST", "/echo", "Content-Length: 5") + b"1",
        request("POST", "/refuse", "Content-Length: 5") + b"1",
    ],
    ids=["nothing", "half a head", "a kept connection", "half a body", "half a body that nobody wants"],
)
async def test_who_dawdles_is_cut(raw: bytes) -> None:
    async with serving(QUICK) as world:
        client = await world.connect()
        client.send(raw)
        began = asyncio.get_running_loop().time()
        await client.rest()
        assert 0.1 < asyncio.get_running_loop().time() - began < 2


async def test_whose_bytes_waited_while_the_loop_stood_still_is_not_cut() -> None:
    async with serving(QUICK) as world:
        with socket.create_connection(("127.0.0.1", world.port)) as client:
            client.sendall(LAST)
            while not world.server._connections:  # noqa: ASYNC110 - it is seen in the turn in which it is accepted
                await asyncio.sleep(0)
            stand_still(seconds=2 * QUICK.idle_seconds + 2 * SWEEP_SECONDS)
            assert (await asyncio.to_thread(client.recv, 65_536)).endswith(b"hello")


def stand_still(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def test_who_does_not_take_a_whole_reply_is_cut() -> None:
    async with serving(QUICK) as world:
        client = await world.connect(window=4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request("GET", "/big"))
        await until(lambda: world.server._connections)
        await until(lambda: not world.server._connections)
        client.close()


async def test_an_early_end_of_the_server_leaves_no_connection() -> None:
    async with serving() as world:
        client = await world.connect()
        client.send(request("GET", "/wait"))
        await until(lambda: world.log.events == ["asked"])
        world.server.stop()
        await world.server.close_all_connections()
        assert world.log.events == ["asked", "lost"]
        assert await client.rest() == b""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


async def test_the_kernel_copies_from_a_file_what_it_takes_and_what_follows_is_written(file: Path) -> None:
    handler = type("Handler", (FromFile,), {"path": str(file)})
    async with serving(extra={"/file": handler}) as world:
        client = await world.connect(window=4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request("GET", "/file"))
        await until(lambda: world.log.events[-1:] == ["by hand"])
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await client.answer()).body == CONTENT
        assert "by kernel" in world.log.events
        client.send(request("GET", "/"))
        assert (await client.answer()).body == b"hello"


async def test_of_a_file_that_is_shorter_than_was_said_the_reply_is_cut(file: Path) -> None:
    class Shrinking(FromFile):
        path = str(file)

        async def get(self) -> None:
            self.set_header("Content-Length", "12000000")
            await self.flush()
            os.truncate(self.path, 5)
            opened = os.open(self.path, os.O_RDONLY)
            assert self.exchange.send_file(opened, 0, 100) == 5
            assert self.exchange.send_file(opened, 5, 100) == 0
            with pytest.raises(ValueError, match="Content-Length"):
                self.exchange.send_file(opened, 0, 12_000_001)
            os.close(opened)

    async with serving(extra={"/file": Shrinking}) as world:
        client = await world.connect()
        client.send(request("GET", "/file"))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert (head[:12], len(body)) == (b"HTTP/1.1 200", 5)


async def test_to_a_client_that_has_gone_the_kernel_copies_nothing() -> None:
    class Late(FromFile):
        async def get(self) -> None:
            await self.log.go_on.wait()
            with pytest.raises(StreamClosedError):
                self.exchange.send_file(0, 0, 100)
            self.log.events.append("told")

    async with serving(extra={"/file": Late}) as world:
        client = await world.connect()
        client.send(request("GET", "/file"))
        await until(lambda: world.server._connections)
        await turns()
        client.reset()
        await until(lambda: "lost" in world.log.events)
        world.log.go_on.set()
        await until(lambda: "told" in world.log.events)
