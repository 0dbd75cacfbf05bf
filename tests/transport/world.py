# SPDX-License-Identifier: Apache-2.0
"""A server on the test's own event loop, with handlers that do one thing each, and clients that write bytes."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, stream_request_body

from handlers.errors import whole_reply
from tests.process.hostile_wire import CLOSE, Answer, answers, request
from tests.support import PATIENCE
from transport.connection import Connection
from transport.exchange import Exchange
from transport.limits import Limits
from transport.server import Server

PIECE = b"p" * 65_536
PIECES = 100


@dataclass
class Log:
    """What the handlers lived through."""

    events: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[bytes] = field(default_factory=list)
    pieces: int = 0


class Base(RequestHandler):
    log: Log

    def initialize(self, log: Log) -> None:
        self.log = log

    @property
    def exchange(self) -> Exchange:
        assert isinstance(self.request.connection, Exchange)
        return self.request.connection

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.log.events.append("lost")


class Hello(Base):
    async def get(self) -> None:
        self.finish(b"hello")

    async def head(self) -> None:
        await self.get()


@stream_request_body
class Echo(Base):
    """Answers with the method and the body."""

    def prepare(self) -> None:
        self.body = b""

    async def data_received(self, chunk: bytes) -> None:
        self.body += chunk

    async def post(self) -> None:
        self.log.bodies.append(self.body)
        self.finish(b"%d" % len(self.body))


@stream_request_body
class Slow(Base):
    """Takes its body no faster than it is told to."""

    async def data_received(self, chunk: bytes) -> None:
        self.log.pieces += len(chunk)
        await self.log.go_on.wait()

    async def post(self) -> None:
        self.finish(b"done")


@stream_request_body
class Refusing(Base):
    """Answers by the head alone."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Connection", "close")
        self.finish(b"no")

    def data_received(self, chunk: bytes) -> None:  # noqa: ARG002 - Tornado's name
        raise AssertionError("the body is nobody's")


@stream_request_body
class Judging(Base):
    """Answers by the last piece of the body, before its end is told."""

    def data_received(self, chunk: bytes) -> None:
        if chunk.endswith(b"!"):
            self.set_header("Connection", "close")
            self.finish(b"no")


class Waiting(Base):
    """Answers when it is told to."""

    async def get(self) -> None:
        self.log.events.append("asked")
        await self.log.go_on.wait()
        self.finish(b"at last")


class Pieces(Base):
    """Writes without measure, piece by piece, as fast as they are taken."""

    async def get(self) -> None:
        try:
            for _ in range(PIECES):
                self.write(PIECE)
                await self.flush()
                self.log.pieces += 1
        except StreamClosedError:
            self.log.events.append("cut")


class Big(Base):
    """A reply that is written at once."""

    async def get(self) -> None:
        self.finish(bytes(8_000_000))


class FromFile(Base):
    """A file of which the kernel copies what it takes, and pieces are written where it takes none."""

    path = ""

    async def get(self) -> None:
        size = os.stat(self.path).st_size
        self.set_header("Content-Length", str(size))
        await self.flush()
        at, file = 0, os.open(self.path, os.O_RDONLY)
        while at < size:
            sent = self.exchange.send_file(file, at, size - at)
            self.log.events.append("by kernel" if sent else "by hand")
            if not sent:
                self.write(data := os.pread(file, 16_384, at))
                await self.flush()
                sent = len(data)
            at += sent
        os.close(file)


class Short(Base):
    """Promises more than it gives."""

    async def get(self) -> None:
        self.set_header("Content-Length", "10")
        self.write(b"12345")


@dataclass
class World:
    server: Server
    log: Log
    port: int
    tls: ssl.SSLContext | None
    clients: list["Client"] = field(default_factory=list)

    async def connect(self, *, window: int = 0) -> "Client":
        sock = socket.socket()
        sock.setblocking(False)
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=self.tls, server_hostname="localhost" if self.tls else None
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def ask(self, raw: bytes) -> list[Answer]:
        """What comes until the server closes."""
        client = await self.connect()
        client.writer.write(raw)
        return answers(await client.rest())


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def answer(self) -> Answer:
        """One reply that names its length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        (answer,) = answers(head)
        body = await self.reader.readexactly(int(answer.headers.get("content-length", 0)))
        return Answer(answer.status, answer.headers, body)

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            finally:
                self.close()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def until(condition: Any) -> None:
    """Return when it holds. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what others do is looked at from outside
            await asyncio.sleep(0.001)


async def turns(count: int = 500) -> None:
    """Let everybody do what they can do now: what has not happened after so many turns of the loop waits for more."""
    for _ in range(count):
        await asyncio.sleep(0)


async def sending_more_than_is_taken(world: World) -> tuple[Client, Connection]:
    """A client of a handler that takes one piece, and its connection, which reads no more of the 20 MB."""
    client = await world.connect()
    client.send(request("POST", "/slow", CLOSE, "Content-Length: 20000000"))
    for _ in range(20):
        client.send(bytes(1_000_000))
    await until(lambda: world.log.pieces)
    (connection,) = world.server._connections
    await until(lambda: connection._reading_paused)
    return client, connection


async def taking_nothing(world: World) -> tuple[Client, Connection]:
    """A client that reads nothing of a reply in pieces, and its connection, which has stopped writing them."""
    client = await world.connect(window=4096)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(request("GET", "/pieces", CLOSE))
    await until(lambda: world.log.pieces)
    (connection,) = world.server._connections
    await until(lambda: connection.unsent() > 0)
    written = world.log.pieces
    await turns()
    assert world.log.pieces == written
    return client, connection


@asynccontextmanager
async def serving(
    limits: Limits | None = None,
    *,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    extra: Mapping[str, type[Base]] | None = None,
) -> AsyncIterator[World]:
    """A server for the length of a block; after it no connection may be left."""
    log = Log()
    handlers = {"/": Hello, "/echo": Echo, "/slow": Slow, "/refuse": Refusing, "/wait": Waiting, "/pieces": Pieces}
    handlers |= {"/judge": Judging, "/big": Big, "/short": Short, **(extra or {})}
    app = Application([(path, handler, {"log": log}) for path, handler in handlers.items()])
    server = Server(
        app,
        limits or Limits(),
        refusal=lambda error: whole_reply(error, "0" * 16),
        tls=tls[0] if tls else None,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server.listen([listening])
    world = World(server, log, listening.getsockname()[1], tls[1] if tls else None)
    try:
        yield world
    finally:
        log.go_on.set()
        for client in world.clients:
            client.close()
        server.stop()
        await server.close_all_connections()
    assert server.counter.own == 0
    assert server.discarding == 0
