# SPDX-License-Identifier: Apache-2.0
"""The same turns, bounds and ends under TLS."""

import _ssl
import asyncio
import contextlib
import ctypes
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.process.hostile_wire import CLOSE, request
from tests.support.certificates import own_certificate
from tests.transport.world import PIECE, World, sending_more_than_is_taken, serving, taking_nothing, turns, until
from transport.limits import Limits
from transport.server import BEGUN_AT_ONCE
from transport.tls import RECORDS_AT_ONCE

pytestmark = pytest.mark.gen_test(timeout=30)
REQUESTED = 1
"""SSL_KEY_UPDATE_REQUESTED: openssl/ssl.h."""
POINTER = ctypes.sizeof(ctypes.c_void_p)
LAST = request("GET", "/", CLOSE)
Secured = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    certificate = own_certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.settings["cert"], certificate.settings["key"])

    @asynccontextmanager
    async def secured(limits: Limits | None = None) -> AsyncIterator[World]:
        async with serving(limits, tls=(context, certificate.trust)) as world:
            yield world

    return secured


async def test_requests_are_answered_and_the_end_is_a_farewell(secured: Secured) -> None:
    async with secured() as world:
        client = await world.connect()
        for _ in range(3):
            client.send(request("GET", "/"))
            assert (await client.answer()).body == b"hello"
        client.send(LAST)
        assert (await client.rest()).endswith(b"hello")


async def test_a_body_larger_than_any_buffer_comes_whole(secured: Secured) -> None:
    async with secured() as world:
        body = bytes(range(256)) * 20_000
        found = await world.ask(request("POST", "/echo", CLOSE, body=body))
        assert [answer.body for answer in found] == [b"%d" % len(body)]
        assert world.log.bodies == [body]


async def test_a_body_is_read_no_faster_than_its_handler_takes_it(secured: Secured) -> None:
    async with secured() as world:
        client, _ = await sending_more_than_is_taken(world)
        taken = world.log.pieces
        await turns()
        assert world.log.pieces == taken < 1_000_000
        world.log.go_on.set()
        assert (await client.rest()).endswith(b"done")


async def test_a_reply_in_pieces_is_written_no_faster_than_the_client_takes_it(secured: Secured) -> None:
    async with secured() as world:
        client, connection = await taking_nothing(world)
        written = world.log.pieces
        assert connection.unsent() <= len(PIECE) + 1000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.reader.readexactly(1_000_000)
        assert world.log.pieces > written
        client.reset()
        await until(lambda: "cut" in world.log.events)


async def test_a_refusal_is_read_by_a_client_that_sends_everything_first(secured: Secured) -> None:
    async with secured() as world:
        raw = request("POST", "/refuse", body=bytes(1_000_000))
        assert [answer.body for answer in await world.ask(raw)] == [b"no"]
        assert [answer.status for answer in await world.ask(b"nonsense\r\n\r\n" + bytes(100_000))] == [400]


async def test_what_is_no_handshake_ends_without_a_word_to_the_log(secured: Secured) -> None:
    async with secured() as world:
        for raw in (LAST, b"\x16\x03\x01\x00\x05hello", b"\0" * 1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(raw)
            async with asyncio.timeout(10):
                await reader.read()
            writer.close()
        await until(lambda: not world.server._connections)


async def test_who_never_ends_the_handshake_is_cut(secured: Secured) -> None:
    async with secured(Limits(idle_seconds=0.2)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_client_that_says_farewell_is_still_answered_and_one_that_does_not_is_gone(secured: Secured) -> None:
    async with secured() as world:
        assert world.tls
        for polite in (True, False):
            world.log.events.clear()
            world.log.go_on.clear()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = world.tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            await shake_hands(tls, incoming, outgoing, reader, writer)
            tls.write(request("GET", "/wait"))
            if polite:
                with pytest.raises(ssl.SSLWantReadError):
                    tls.unwrap()
            writer.write(outgoing.read())
            await until(lambda: world.log.events == ["asked"])
            if polite:
                world.log.go_on.set()
                async with asyncio.timeout(5):
                    assert len(await reader.read()) > 200
            else:
                writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
                await until(lambda: world.log.events == ["asked", "lost"])
            writer.close()


async def shake_hands(
    tls: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
        else:
            return


class RawClient:
    """A client whose records are made by hand: what is to be sent for a hello, or for each byte of something."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self.received, self._sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.is_shaken = False
        self.tls = trust.wrap_bio(self.received, self._sent, server_hostname="localhost")

    def shake(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.is_shaken = True
        return self._sent.read()

    def in_one_record(self, content: bytes) -> bytes:
        self.tls.write(content)
        return self._sent.read()

    def renewals(self, count: int) -> bytes:
        """Requests that both sides renew their keys (RFC 8446, 4.6.3), which Python has no word for."""
        openssl = ctypes.CDLL(_ssl.__file__)
        # What follows the head of an object of `_ssl`: its socket, and the SSL of OpenSSL.
        place = id(self.tls._sslobj) + object.__basicsize__  # type: ignore[attr-defined]
        for _ in range(count):
            assert openssl.SSL_key_update(ctypes.c_void_p.from_address(place + POINTER), REQUESTED) == 1
            self.tls.do_handshake()
        return self._sent.read()

    def in_records(self, content: bytes) -> bytes:
        for at in range(len(content)):
            self.tls.write(content[at : at + 1])
        return self._sent.read()


async def test_handshakes_that_come_at_once_are_made_in_turns(secured: Secured) -> None:
    async with secured() as world:
        assert world.tls
        hello = RawClient(world.tls).shake()
        crowd = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(5 * BEGUN_AT_ONCE)]
        await until(lambda: world.server.counter.own == len(crowd))
        for each in crowd:
            each.sendall(hello)
        shaken = [0]
        while shaken[-1] < len(crowd):
            await turns(1)
            shaken.append(len(select.select(crowd, [], [], 0)[0]))
        assert max(after - before for before, after in pairwise(shaken)) <= 2 * BEGUN_AT_ONCE
        for each in crowd:
            each.close()


async def test_the_smallest_records_are_read_in_turns(secured: Secured) -> None:
    count = 5000
    async with secured() as world:
        assert world.tls
        world.log.go_on.set()
        loop, raw = asyncio.get_running_loop(), RawClient(world.tls)
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", world.port))
            await loop.sock_sendall(sock, raw.shake())
            raw.received.write(await loop.sock_recv(sock, 65_536))
            await loop.sock_sendall(sock, raw.shake())
            head = request("POST", "/slow", f"Content-Length: {count + 1}")
            sending = asyncio.create_task(loop.sock_sendall(sock, raw.in_records(head + bytes(count))))
            read = [0]
            while read[-1] < count:
                await turns(1)
                read.append(world.log.pieces)
            await sending
        # A turn may read twice, where the last one stopped and what has come since; between two looks are parts of two.
        assert max(after - before for before, after in pairwise(read)) <= 4 * RECORDS_AT_ONCE


@asynccontextmanager
async def by_hand(world: World) -> AsyncIterator[tuple[RawClient, socket.socket]]:
    """A client that has shaken hands, and reads no more than a few kilobytes that its kernel takes."""
    assert world.tls
    loop, raw = asyncio.get_running_loop(), RawClient(world.tls)
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", world.port))
        await loop.sock_sendall(sock, raw.shake())
        while not raw.is_shaken:
            raw.received.write(await loop.sock_recv(sock, 65_536))
            await loop.sock_sendall(sock, raw.shake())
        yield raw, sock


async def test_answers_to_renewals_of_keys_count_for_the_budget_of_what_is_unsent(secured: Secured) -> None:
    loop = asyncio.get_running_loop()
    async with secured(Limits(max_unsent_bytes=150_000)) as world, by_hand(world) as (raw, sock):
        await loop.sock_sendall(sock, raw.in_one_record(request("GET", "/pieces", CLOSE)))
        await until(lambda: world.log.pieces)
        (connection,) = world.server._connections
        await until(lambda: connection.unsent() > 0)
        for _ in range(300):
            before = connection.unsent()
            await loop.sock_sendall(sock, raw.renewals(20))
            await until(lambda before=before: world.log.events or connection.unsent() > before)
            if world.log.events:
                break
        assert world.log.events == ["cut"]


async def test_who_has_keys_renewed_more_often_than_anybody_needs_is_cut(secured: Secured) -> None:
    loop = asyncio.get_running_loop()
    async with secured() as world, by_hand(world) as (raw, sock):
        await loop.sock_sendall(sock, raw.in_one_record(request("GET", "/wait")))
        await until(lambda: world.log.events == ["asked"])
        await loop.sock_sendall(sock, raw.renewals(3))
        await turns()
        assert world.log.events == ["asked"]
        await loop.sock_sendall(sock, raw.renewals(1000))
        await until(lambda: world.log.events == ["asked", "lost"])
