# SPDX-License-Identifier: Apache-2.0
"""The event socket of room chat, over plain TCP, as docs/samples.md describes it.

The client says once, as a JSON object with or without a newline, who it is and which room it follows:
`{"uuid": …, "room_gid": …}`. What is wrong is closed without a word. From then on the server alone speaks: each message
of the room is one JSON object and a newline. A reader keeps nothing but a cursor and one message on its way, so that
one who takes nothing costs no memory, and is cut.
"""

import asyncio
import json
import logging
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from handlers import bodies
from handlers.shared import Services
from models.errors import AppError, InvalidField, MalformedRequest, RateLimited
from models.user import UserId
from services.authentication import Caller
from services.groups import read_room_gid
from services.limits import network
from services.rooms import RoomReader
from transport.unsent import UnsentBudget

MAX_HELLO_BYTES = 4096
"""The first object has a session id and a room: about 100 bytes."""
HELLO_SECONDS = 10
"""Who says nothing holds a connection that others could use."""
MAX_CONNECTIONS = 1000
"""Rooms are a sample: they must not take the open files of the interface itself."""
MAX_PER_ADDRESS = 200
"""People behind one carrier's address, and no single one of them all connections."""
SEND_BUFFER_BYTES = 64 * 1024
"""In the kernel, which doubles it: all that may be on its way to one reader."""
PROBE_SECONDS = 15
"""Between the kernel's questions whether a silent client is still there."""
UNFINISHED = ("Unterminated string", "Invalid \\")
"""How a string that goes on in the next segment looks to the parser."""

log = logging.getLogger("glimpse.rooms")


def read_hello(received: bytes) -> tuple[str, str] | None:
    """The session id and room_gid of a client's first object; None while it may still be on its way.

    Raises MalformedRequest for what is not such an object and cannot become one, and InvalidField.
    """
    try:
        text = getincrementaldecoder("utf-8")().decode(received).lstrip()
        if not text:
            return None
        if not text.startswith("{"):
            raise MalformedRequest
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith(UNFINISHED):
            return None
        raise MalformedRequest from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequest from error
    said = bodies.json_object(text[:end].encode(errors="surrogatepass"))
    if not isinstance(said.get("uuid"), str):
        raise InvalidField(fields=[("uuid", "must be text")])
    return said["uuid"], read_room_gid({"room_gid": said.get("room_gid")})


def line(message: dict[str, Any]) -> bytes:
    """A message as it travels."""
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Whose connection one is."""

    source: str
    uid: UserId


@dataclass(frozen=True, slots=True, eq=False)
class Untaken:
    """What one reader has not taken, as the budget of all connections counts it."""

    source: str
    writer: StreamWriter

    def unsent(self) -> int:
        return self.writer.transport.get_write_buffer_size()

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass
class RoomSocket:
    """The connections of this process. A reader that takes nothing for `stall_seconds` is cut."""

    services: Services
    max_connections: int
    stall_seconds: float
    budget: UnsentBudget
    stopping: bool = False
    introducing: set[asyncio.Task[None]] = field(default_factory=set)
    following: set[asyncio.Task[None]] = field(default_factory=set)
    per_address: Counter[str] = field(default_factory=Counter)
    half_closed: dict[asyncio.Task[None], Place] = field(default_factory=dict)
    """Whose client has ended its side, and may have gone altogether: they make room for others."""

    def accept(self, stream: StreamReader, writer: StreamWriter) -> None:
        """A new connection: one too many is closed at once."""
        address = (writer.get_extra_info("peername") or ("",))[0]  # none where the client has gone already
        source = network(address)
        full = len(self.introducing) + len(self.following) >= self.max_connections
        crowded = full or self.per_address[source] >= MAX_PER_ADDRESS
        if self.stopping or (crowded and not self._end_one(lambda place: full or place.source == source)):
            writer.transport.abort()
            return
        self.per_address[source] += 1
        task = asyncio.create_task(self._serve(stream, writer, address))
        self.introducing.add(task)
        task.add_done_callback(lambda ended: self._forget(ended, source))

    async def stop(self, seconds: float) -> None:
        """Take nobody new; let those who follow have what has been said, for so long."""
        self.stopping = True
        for task in self.introducing:
            task.cancel()
        if self.following:
            await asyncio.wait(self.following, timeout=seconds)
        left = self.introducing | self.following
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None], source: str) -> None:
        self.introducing.discard(task)
        self.following.discard(task)
        self.half_closed.pop(task, None)
        self.per_address[source] -= 1
        if not self.per_address[source]:
            del self.per_address[source]

    async def _serve(self, stream: StreamReader, writer: StreamWriter, address: str) -> None:
        bound(writer)
        try:
            await self.services.limits.check("default", address=address)
            async with asyncio.timeout(HELLO_SECONDS):
                session_id, room_gid = await introduction(stream)
            caller = await self.services.session_ids.caller(session_id)
            reader = await self._open(caller, room_gid)
            try:
                task, source = self._introduced(), network(address)
                half_closed = partial(self.half_closed.__setitem__, task, Place(source, caller.uid))
                await self._follow(reader, stream, writer, source, half_closed)
            finally:
                reader.close()
            writer.close()
            async with asyncio.timeout(self.stall_seconds):
                await writer.wait_closed()
        except (AppError, TimeoutError, OSError):
            pass
        except Exception:
            log.exception("a room socket failed")
        finally:
            writer.transport.abort()

    async def _open(self, caller: Caller, room_gid: str) -> RoomReader:
        """Raises AppError, where the person has as many readers as they may and none of them is half closed."""
        try:
            return await self.services.rooms.follow(caller, room_gid)
        except RateLimited:
            ending = self._end_one(lambda place: place.uid == caller.uid)
            if ending is None:
                raise
        await asyncio.wait({ending})
        return await self.services.rooms.follow(caller, room_gid)

    def _end_one(self, may_go: Callable[[Place], bool]) -> asyncio.Task[None] | None:
        """End the one that has been half closed longest, of those that may go."""
        for task, place in self.half_closed.items():
            if may_go(place):
                del self.half_closed[task]
                task.cancel()
                return task
        return None

    def _introduced(self) -> asyncio.Task[None]:
        task = asyncio.current_task()
        assert task
        self.introducing.discard(task)
        self.following.add(task)
        return task

    async def _follow(
        self,
        reader: RoomReader,
        stream: StreamReader,
        writer: StreamWriter,
        source: str,
        half_closed: Callable[[], None],
    ) -> None:
        """Send until the reader is closed, or the client has gone or says more than it has to say."""
        sending = asyncio.create_task(self._send(reader, writer, source))
        listening = asyncio.create_task(until_gone(stream, writer, half_closed))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.wait({sending, listening})
        if not sending.cancelled():
            sending.result()

    async def _send(self, reader: RoomReader, writer: StreamWriter, source: str) -> None:
        untaken = Untaken(source, writer)
        while found := await reader.next():
            for message in found:
                if writer.is_closing():
                    return
                writer.write(line(message))
                if untaken.unsent():
                    self.budget.hold(untaken)
                try:
                    async with asyncio.timeout(self.stall_seconds):
                        await writer.drain()
                finally:
                    self.budget.let_go(untaken)


async def introduction(stream: StreamReader) -> tuple[str, str]:
    """What a client says first. Raises MalformedRequest, InvalidField, OSError."""
    received = b""
    while len(received) < MAX_HELLO_BYTES:
        piece = await stream.read(MAX_HELLO_BYTES - len(received))
        if not piece:
            break
        received += piece
        hello = read_hello(received)
        if hello is not None:
            return hello
    raise MalformedRequest


async def until_gone(stream: StreamReader, writer: StreamWriter, half_closed: Callable[[], None]) -> None:
    """Until the connection is no more, or the client has said again as much as a hello may be.

    Who ends its side alone still listens; the kernel finds out whether somebody is there. Under TLS the end of one side
    is the end of both.
    """
    said = 0
    with suppress(OSError):
        while said <= MAX_HELLO_BYTES:
            piece = await stream.read(MAX_HELLO_BYTES)
            if not piece:
                half_closed()
                await writer.wait_closed()
                return
            said += len(piece)


def bound(writer: StreamWriter) -> None:
    """Let no more than one message wait in this process, and not much in the kernel; notice a peer that is gone."""
    writer.transport.set_write_buffer_limits(high=0)
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            connection.setsockopt(socket.IPPROTO_TCP, option, PROBE_SECONDS)


@asynccontextmanager
async def listening(
    services: Services,
    *,
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    max_connections: int,
    unsent: UnsentBudget,
    left: Callable[[], float],
) -> AsyncIterator[None]:
    """Serve on these listening sockets, if there are any, for the length of a block.

    `left` tells how many seconds the end may still take.
    """
    rooms = RoomSocket(services, max_connections, services.settings.stall_seconds, unsent)
    servers = [
        await asyncio.start_server(
            rooms.accept,
            sock=each,
            limit=MAX_HELLO_BYTES,
            backlog=MAX_CONNECTIONS,
            ssl=tls,
            ssl_handshake_timeout=HELLO_SECONDS if tls else None,
        )
        for each in sockets
    ]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        await rooms.stop(left())
