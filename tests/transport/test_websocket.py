# SPDX-License-Identifier: Apache-2.0
"""WebSocket as RFC 6455 has it: handshakes, frames and ends, by clients that write their frames by hand."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from models.errors import AppError
from tests.process.hostile_wire import request
from tests.transport.world import Base, Client, World, serving, turns, until
from transport.limits import Limits
from transport.websocket import CLOSE_SECONDS, MAX_FRAGMENTS, PIECE_BYTES, WebSocketClosed, WebSocketHandler

pytestmark = pytest.mark.gen_test(timeout=30)
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
ASK = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY)
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Chat(Base, WebSocketHandler):
    """Says back what it hears; `slow` waits until it may go on, `bye` ends it, `fail` fails, `flood` says much."""

    max_message_bytes = 1000

    async def get(self) -> None:
        try:
            accepted = self.handshake()
        except AppError:
            self.set_status(400)
            return
        self.accept_websocket(accepted, self)

    async def on_message(self, message: str | bytes) -> None:
        assert self.websocket
        self.log.events.append(f"{type(message).__name__} {len(message)}")
        if message == "slow":
            await self.log.go_on.wait()
        elif message == "fail":
            raise RuntimeError
        elif message == "bye":
            self.websocket.close(4001, "bye")
        elif message == "flood":
            await self._flood()
        else:
            self.websocket.send(message if isinstance(message, str) else message.decode("latin-1"))

    async def _flood(self) -> None:
        assert self.websocket
        try:
            while True:
                await self.websocket.send("x" * 60_000)
                self.log.pieces += 1
        except Exception as error:  # noqa: BLE001 - which one it is is told
            self.log.events.append(type(error).__name__)

    def on_ping(self, data: bytes) -> None:
        self.log.events.append(f"ping {len(data)}")

    def on_pong(self, data: bytes) -> None:
        self.log.events.append(f"pong {len(data)}")

    def on_close(self) -> None:
        self.log.events.append("closed")


class Late(Chat):
    """Opens when it is told to."""

    async def get(self) -> None:
        self.log.events.append("asked")
        await self.log.go_on.wait()
        await super().get()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, bits: int = 0) -> bytes:
    first = (0x80 if fin else 0) | bits | opcode
    size = len(payload)
    length = bytes([size]) if size < 126 else (b"\x7e" + struct.pack("!H", size))
    if size > 0xFFFF:
        length = b"\x7f" + struct.pack("!Q", size)
    if not masked:
        return bytes([first]) + length + payload
    mask = b"\x01\x02\x03\x04"
    covered = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first, length[0] | 0x80]) + length[1:] + mask + covered


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, (struct.pack("!H", code) if code is not None else b"") + reason)


def text(content: str) -> bytes:
    return frame(TEXT, content.encode())


@dataclass
class Socket:
    client: Client

    def send(self, raw: bytes) -> None:
        self.client.send(raw)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and what is in it."""
        first, size = await self.client.reader.readexactly(2)
        assert not size & 0x80, "a server does not mask"
        if size == 126:
            (size,) = struct.unpack("!H", await self.client.reader.readexactly(2))
        return first & 0x0F, await self.client.reader.readexactly(size)

    async def end(self) -> int | None:
        """The code that the server closes with, once it has closed; None for no close frame."""
        async with asyncio.timeout(10):
            raw = await self.client.reader.read()
        self.client.close()
        while raw:
            size = raw[1]
            if raw[0] & 0x0F == CLOSE:
                return int(struct.unpack("!H", raw[2:4])[0]) if size else 1005
            raw = raw[2 + size :]
        return None


@asynccontextmanager
async def chatting(limits: Limits | None = None) -> AsyncIterator[World]:
    async with serving(limits, extra={"/chat": Chat, "/late": Late}) as world:
        yield world


async def opened(world: World, *, after: bytes = b"", window: int = 0) -> Socket:
    client = await world.connect(window=window)
    client.send(request("GET", "/chat", *ASK) + after)
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"Content-" not in head
    assert b"Extensions" not in head
    return Socket(client)


REFUSED = {
    "version 8": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8", KEY),
    "no version": ("Connection: Upgrade", "Upgrade: websocket", KEY),
    "two versions": (*ASK, "Sec-WebSocket-Version: 8"),
    "no key": ASK[:3],
    "two keys": (*ASK, KEY),
    "a key of 3 characters": (*ASK[:3], "Sec-WebSocket-Key: abc"),
    "a key of 15 bytes": (*ASK[:3], "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"),
    "a key that is no base64": (*ASK[:3], "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="),
    "an empty key": (*ASK[:3], "Sec-WebSocket-Key:"),
    "no upgrade": ASK[0:1] + ASK[2:],
    "another upgrade": ("Connection: Upgrade", "Upgrade: h2c", *ASK[2:]),
    "no connection": ASK[1:],
    "another connection": ("Connection: keep-alive", *ASK[1:]),
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_handshake_is_refused_with_the_version(headers: tuple[str, ...]) -> None:
    async with chatting() as world:
        client = await world.connect()
        client.send(request("GET", "/chat", *headers))
        answer = await client.answer()
        assert answer.status == 400
        assert answer.headers["sec-websocket-version"] == "13"
        client.close()


async def test_http_1_0_opens_no_websocket() -> None:
    async with chatting() as world:
        raw = request("GET", "/chat", *ASK).replace(b"HTTP/1.1", b"HTTP/1.0")
        assert [answer.status for answer in await world.ask(raw)] == [400]


@pytest.mark.parametrize("case", ["Upgrade", "upgrade, foo", "keep-alive, UPGRADE"])
async def test_the_words_of_a_handshake_are_read_as_lists_without_case(case: str) -> None:
    async with chatting() as world:
        client = await world.connect()
        client.send(request("GET", "/chat", f"Connection: {case}", "upgrade: WebSocket", *ASK[2:]))
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        client.close()


SPOKEN = {
    "a text": ([text("hello")], [(TEXT, b"hello")]),
    "nothing": ([text("")], [(TEXT, b"")]),
    "125 bytes": ([text("a" * 125)], [(TEXT, b"a" * 125)]),
    "126 bytes": ([text("a" * 126)], [(TEXT, b"a" * 126)]),
    "1,000 bytes": ([text("a" * 1000)], [(TEXT, b"a" * 1000)]),
    "beyond ASCII": ([text("κόσμε𝄞")], [(TEXT, "κόσμε𝄞".encode())]),
    "binary": ([frame(BINARY, b"abc")], [(TEXT, b"abc")]),
    "fragments": ([frame(TEXT, b"a", fin=False), frame(CONT, b"b", fin=False), frame(CONT, b"c")], [(TEXT, b"abc")]),
    "empty fragments": ([frame(TEXT, b"", fin=False), frame(CONT, b"", fin=False), frame(CONT)], [(TEXT, b"")]),
    "a letter in two fragments": ([frame(TEXT, b"\xc3", fin=False), frame(CONT, b"\xa9")], [(TEXT, b"\xc3\xa9")]),
    "a ping": ([frame(PING, b"hey")], [(PONG, b"hey")]),
    "an empty ping": ([frame(PING)], [(PONG, b"")]),
    "a ping of 125 bytes": ([frame(PING, b"p" * 125)], [(PONG, b"p" * 125)]),
    "a ping between fragments": (
        [frame(TEXT, b"a", fin=False), frame(PING, b"p"), frame(CONT, b"b")],
        [(PONG, b"p"), (TEXT, b"ab")],
    ),
    "a pong that nobody asked for": ([frame(PONG, b"p"), text("a")], [(TEXT, b"a")]),
    "ten pings": ([frame(PING, bytes([number])) for number in range(10)], [(PONG, bytes([n])) for n in range(10)]),
    "a length in more bytes than it needs": (
        [b"\x81\xfe\x00\x01" + b"\0\0\0\0" + b"a"],
        [(TEXT, b"a")],
    ),
}


@pytest.mark.parametrize(("said", "heard"), SPOKEN.values(), ids=SPOKEN.keys())
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "byte by byte"])
async def test_what_is_said_is_heard(said: list[bytes], heard: list[tuple[int, bytes]], *, apart: bool) -> None:
    raw = b"".join(said)
    async with chatting() as world:
        socket = await opened(world)
        for piece in [raw[at : at + 1] for at in range(len(raw))] if apart else [raw]:
            socket.send(piece)
            await asyncio.sleep(0)
        assert [await socket.frame() for _ in heard] == heard
        socket.send(close(1000))
        assert await socket.end() == 1000
        await until(lambda: world.log.events[-1] == "closed")


async def test_frames_that_came_with_the_handshake_are_heard() -> None:
    async with chatting() as world:
        socket = await opened(world, after=text("early"))
        assert await socket.frame() == (TEXT, b"early")
        socket.client.close()


ENDED = {
    "an unmasked frame": (frame(TEXT, b"a", masked=False), 1002),
    "an unmasked close": (frame(CLOSE, b"", masked=False), 1002),
    "a reserved bit": (frame(TEXT, b"a", bits=0x40), 1002),
    "a second reserved bit": (frame(TEXT, b"a", bits=0x20), 1002),
    "a third reserved bit": (frame(TEXT, b"a", bits=0x10), 1002),
    "a reserved bit of a ping": (frame(PING, b"a", bits=0x40), 1002),
    "opcode 3": (frame(3, b"a"), 1002),
    "opcode 7": (frame(7, b"a"), 1002),
    "opcode 11": (frame(11, b"a"), 1002),
    "opcode 15": (frame(15, b"a"), 1002),
    "a ping of 126 bytes": (frame(PING, b"p" * 126), 1002),
    "a ping in fragments": (frame(PING, b"a", fin=False), 1002),
    "a close in fragments": (frame(CLOSE, b"", fin=False), 1002),
    "a continuation of nothing": (frame(CONT, b"a"), 1002),
    "a text within a text": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a close within a text": (frame(TEXT, b"a", fin=False) + close(1000), 1002),
    "a text that is not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "a text that ends in a letter": (frame(TEXT, b"\xc3"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "a letter longer than it needs": (frame(TEXT, b"\xc0\xaf"), 1007),
    "fragments that are not UTF-8": (frame(TEXT, b"a", fin=False) + frame(CONT, b"\xff"), 1007),
    "1,001 bytes": (text("a" * 1001), 1009),
    "fragments of 1,001 bytes": (frame(TEXT, b"a" * 600, fin=False) + frame(CONT, b"a" * 401), 1009),
    "4 GB": (b"\x81\xff" + struct.pack("!Q", 2**32) + bytes(4), 1009),
    "a length with its highest bit": (b"\x81\xff" + struct.pack("!Q", 2**63) + bytes(4), 1009),
    "close": (close(), 1005),
    "close 1000": (close(1000), 1000),
    "close 1000 with a reason": (close(1000, b"bye"), 1000),
    "close 1001": (close(1001), 1001),
    "close 3000": (close(3000), 3000),
    "close 4999": (close(4999), 4999),
    "close 0": (close(0), 1002),
    "close 999": (close(999), 1002),
    "close 1004": (close(1004), 1002),
    "close 1005": (close(1005), 1002),
    "close 1006": (close(1006), 1002),
    "close 1015": (close(1015), 1002),
    "close 1016": (close(1016), 1002),
    "close 2999": (close(2999), 1002),
    "close 5000": (close(5000), 1002),
    "close 65535": (close(65535), 1002),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close whose reason is not UTF-8": (close(1000, b"\xff"), 1007),
    "a close of 126 bytes": (close(1000, b"r" * 124), 1002),
    "the end by the handler": (text("bye") + close(4001), 4001),
}


@pytest.mark.parametrize(("said", "code"), ENDED.values(), ids=ENDED.keys())
async def test_what_ends_a_websocket_and_how(said: bytes, code: int) -> None:
    async with chatting() as world:
        socket = await opened(world)
        socket.send(said + text("after the end"))
        assert await socket.end() == code
        await until(lambda: world.log.events[-1:] == ["closed"])
        assert "str 13" not in world.log.events


async def test_fragments_without_end_end_the_websocket() -> None:
    async with chatting() as world:
        socket = await opened(world)
        socket.send(frame(TEXT, b"a", fin=False) + frame(CONT, b"", fin=False) * (MAX_FRAGMENTS + 1))
        assert await socket.end() == 1009


async def test_a_client_that_goes_is_told_to_the_handler() -> None:
    async with chatting() as world:
        socket = await opened(world)
        socket.client.close()
        await until(lambda: world.log.events == ["closed"])


async def test_one_message_is_handled_at_a_time_and_little_is_read_ahead() -> None:
    async with chatting() as world:
        socket = await opened(world)
        socket.send(text("slow") + text("a" * 900) * 2000)
        await until(lambda: world.log.events == ["str 4"])
        (connection,) = world.server._connections
        await until(lambda: connection._reading_paused)
        world.log.go_on.set()
        for _ in range(2000):
            assert await socket.frame() == (TEXT, b"a" * 900)
        socket.client.close()


@pytest.mark.parametrize("together", [False, True], ids=["afterwards", "with the handshake"])
async def test_many_small_frames_at_once_are_read_in_turns(*, together: bool) -> None:
    pings = frame(PING) * 5000
    async with chatting() as world:
        socket = await opened(world, after=pings if together else b"")
        socket.send(b"" if together else pings)
        heard = [len(world.log.events)]
        while heard[-1] < 5000:
            await turns(1)
            heard.append(len(world.log.events))
        assert max(after - before for before, after in pairwise(heard)) <= 2 * PIECE_BYTES // len(frame(PING))
        for _ in range(5000):
            assert await socket.frame() == (PONG, b"")
        socket.client.close()


async def test_what_came_with_the_end_of_a_client_is_heard_before_it() -> None:
    async with chatting() as world:
        client = await world.connect()
        client.send(request("GET", "/late", *ASK) + text("one") + text("a" * 900) * 5)
        client.writer.write_eof()
        await until(lambda: world.log.events == ["asked"])
        await turns()
        world.log.go_on.set()
        assert (await client.rest()).endswith(b"\x81\x7e" + struct.pack("!H", 900) + b"a" * 900)
        await until(lambda: world.log.events[-1] == "closed")
        assert world.log.events == ["asked", "str 3", *["str 900"] * 5, "closed"]


async def test_a_client_that_takes_nothing_is_sent_no_more_and_its_pings_are_not_read() -> None:
    async with chatting() as world:
        socket = await opened(world, window=4096)
        socket.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        socket.send(text("flood"))
        (connection,) = world.server._connections
        await until(lambda: connection.unsent() > 0)
        said = world.log.pieces
        socket.send(frame(PING, b"p" * 125) * 20_000)
        await turns()
        assert world.log.pieces == said
        assert connection.unsent() < 2_000_000
        socket.client.reset()
        await until(lambda: "closed" in world.log.events)
        await until(lambda: world.log.events[-1] in ("StreamClosedError", WebSocketClosed.__name__))


async def test_a_client_that_does_not_answer_a_close_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.websocket.CLOSE_SECONDS", CLOSE_SECONDS / 50)
    async with chatting() as world:
        socket = await opened(world)
        socket.send(text("bye"))
        assert await socket.end() == 4001


async def test_the_end_of_the_server_is_told() -> None:
    async with chatting() as world:
        socket = await opened(world)
        await asyncio.gather(world.server.close_all_connections(), told_to_go(socket))
        assert world.log.events == ["closed"]


async def told_to_go(socket: Socket) -> None:
    assert await socket.frame() == (CLOSE, b"\x03\xe9the server is stopping")
    socket.send(close(1001))
    assert await socket.client.rest() == b""


async def test_a_message_that_came_with_the_end_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with chatting() as world:
        socket = await opened(world)
        socket.send(text("one") + text("two") + close(1000))
        assert await socket.end() == 1000
        await until(lambda: world.log.events[-1:] == ["closed"])
        assert world.log.events == ["str 3", "str 3", "closed"]
    assert caplog.records == []


@pytest.mark.parametrize("after", [b"", close(1000)])
async def test_a_message_that_its_handler_cannot_take_is_logged_and_ends_it(
    caplog: pytest.LogCaptureFixture, after: bytes
) -> None:
    async with chatting() as world:
        socket = await opened(world)
        socket.send(text("fail") + after)
        await until(lambda: world.log.events[-1:] == ["closed"])
    assert [record.getMessage() for record in caplog.records] == ["a WebSocket's message failed"]


async def test_bytes_without_sense_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(6455)
    async with chatting() as world:
        for _ in range(150):
            socket = await opened(world)
            for _ in range(chance.randrange(1, 6)):
                opcode = chance.choice((CONT, TEXT, BINARY, CLOSE, PING, PONG, chance.randrange(16)))
                payload = chance.randbytes(chance.choice((0, 1, 2, 125, 126, 300)))
                raw = frame(opcode, payload, fin=chance.random() < 0.7, masked=chance.random() < 0.95)
                socket.send(raw[: chance.randrange(len(raw))] if chance.random() < 0.2 else raw)
                await asyncio.sleep(0)
            socket.client.writer.write_eof()
            await socket.end()
        await until(lambda: not world.server._connections)
        assert world.log.events.count("closed") == 150
    assert caplog.records == []
