# SPDX-License-Identifier: Apache-2.0
"""The same turns, bounds and ends under TLS."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.process.hostile_wire import CLOSE, request
from tests.support.certificates import own_certificate
from tests.transport.world import PIECE, World, sending_more_than_is_taken, serving, taking_nothing, turns, until
from transport.limits import Limits

pytestmark = pytest.mark.gen_test(timeout=30)
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
