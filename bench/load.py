# SPDX-License-Identifier: Apache-2.0
"""The load generator: kept-alive HTTP/1.1 connections on raw sockets, so that it costs less than what it measures.

Runs in a process of its own. Not here: what is asked and what the numbers mean.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import uvloop

BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request and the status it must meet. A `{}` in the head stands for a name: a message key or a file."""

    head: str
    status: int
    body: bytes = b""


LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class Load:
    """What came of a load: how long it took, how long each pass took (ms), and the name each pass ended with."""

    seconds: float = 0
    passes_ms: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


class Connection(asyncio.BufferedProtocol):
    """One connection, one request at a time. A reply's body is counted and thrown away; one in chunks is small."""

    # Read into and looked at before the next read: all connections can share it.
    _buffer = memoryview(bytearray(BUFFER_BYTES))

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._chunks: bytes | None = None
        self._reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionError("the server closed the connection"))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the interface's name
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._chunks is not None:
            self._chunks += self._buffer[:nbytes]
        elif self._left:
            self._left -= nbytes
        else:
            self._head += self._buffer[:nbytes]
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = head
            length = header(head, b"Content-Length")
            if length is None and header(head, b"Transfer-Encoding") == b"chunked":
                self._chunks = bytes(body)
            else:
                self._left = int(length or 0) - len(body)
        if self._chunks is not None:
            if not self._chunks.endswith(LAST_CHUNK):
                return
            self._chunks = None
        if not self._left and self._reply is not None:
            self._reply.set_result(self._head)

    async def ask(self, head: bytes, body: bytes) -> bytes:
        """The head of the reply, once the reply is whole. Raises ConnectionError."""
        self._head = b""
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(head)
        if body:
            self._transport.write(body)
        return await self._reply

    def close(self) -> None:
        self._transport.close()


def header(head: bytes, name: bytes) -> bytes | None:
    """The value of a header in a reply's head, None when it is not there."""
    _, found, rest = head.partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0] if found else None


def run(
    port: int,
    script: Sequence[Request],
    *,
    connections: int,
    seconds: float = float("inf"),
    names: Sequence[str] = (),
    again: bool = False,
) -> Load:
    """Pass through the script's requests over and over on each of so many connections.

    Each pass takes the next of `names` (`again`: from the first one when they are used up; else the load ends
    then), or the Message-Key of its own first reply. Raises ValueError for another status than the script's.
    """
    return uvloop.run(_run(port, script, connections, seconds, _supply(names, again=again)))


def run_each(
    port: int, loads: Sequence[tuple[Request, Sequence[str]]], *, seconds: float = float("inf"), again: bool = False
) -> list[Load]:
    """As `run`, each request with its names over and over on a connection of its own, all at once."""

    async def all_at_once() -> list[Load]:
        supplies = ((request, _supply(names, again=again)) for request, names in loads)
        return await asyncio.gather(*(_run(port, (request,), 1, seconds, supply) for request, supply in supplies))

    return uvloop.run(all_at_once())


def _supply(names: Sequence[str], *, again: bool) -> Iterator[str]:
    if not names:
        return itertools.repeat("")
    return itertools.cycle(names) if again else iter(names)


async def _run(port: int, script: Sequence[Request], connections: int, seconds: float, names: Iterator[str]) -> Load:
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    load = Load()
    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(_repeat(connection, script, names, began + seconds, load))
    load.seconds = perf_counter() - began
    for connection in opened:
        connection.close()
    return load


async def _repeat(
    connection: Connection, script: Sequence[Request], names: Iterator[str], end: float, load: Load
) -> None:
    for name in names:
        began = perf_counter()
        if began >= end:
            return
        load.names.append(await _pass(connection, script, name))
        load.passes_ms.append((perf_counter() - began) * 1000)


async def _pass(connection: Connection, script: Sequence[Request], name: str) -> str:
    for request in script:
        head = await connection.ask(request.head.replace("{}", name).encode(), request.body)
        if int(head[9:12]) != request.status:
            raise ValueError(f"{request.head.partition(chr(13))[0]} was answered {head[:300]!r}")
        key = header(head, b"Message-Key")
        if key:
            name = key.decode()
    return name
