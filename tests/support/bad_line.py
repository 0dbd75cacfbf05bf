# SPDX-License-Identifier: Apache-2.0
"""A line between a client and a server that cuts, holds back, damages and resets, as it is told.

It passes one request on each connection, so that a fault meets exactly the request that it is meant for.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support import PATIENCE

PIECE = 4096
"""Small, so that a cut is where it is meant to be."""
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, eq=False)
class Fault:
    """What happens to the first `times` requests of this method and path (regular expressions), after `skip` others.

    `refuse`: reset before anything is passed on. `cut_request`: reset after so many bytes of the body. `lose_reply`:
    the server has answered, and nothing of it arrives. `cut_reply`: reset after so many bytes of its body.
    `damage_reply`: that byte of its body is another. `hold_reply`: nothing arrives before the whole reply is there.
    `answer`: a proxy's own.
    """

    does: Literal["refuse", "cut_request", "lose_reply", "cut_reply", "damage_reply", "hold_reply", "answer"]
    method: str
    path: str
    after_bytes: int = 0
    times: int = 1
    skip: int = 0
    status: int = 502
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """One that came. `seen` is what the looker saw when it did."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    at: float
    seen: Any = None


class BadLine:
    """One that runs. `looker` is asked at the beginning of each request, before the server hears of it. `server_port`
    may be set later, where the server is to know the line first.
    """

    def __init__(self, server_port: int, faults: Sequence[Fault], looker: Callable[[], object] = lambda: None) -> None:
        self.requests: list[Request] = []
        self.port = 0
        self.server_port = server_port
        self._looker = looker
        self._met = dict.fromkeys(faults, 0)

    async def serve(self, started: Future[None], over: asyncio.Event) -> None:
        connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

        def begin(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
            connections[asyncio.create_task(self._pass_on(client, to_client))] = to_client

        server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=HEAD_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        started.set_result(None)
        await over.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for to_client in connections.values():  # also of those that were cancelled before they began
            await _reset(to_client)

    async def _pass_on(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            head = await client.readuntil(b"\r\n\r\n")
            request = self._note(head)
            await self._treat(self._fault_of(request), request, head, client, to_client)
            await to_client.drain()
            to_client.close()
            await _closed(to_client)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            await _reset(to_client)

    def _note(self, head: bytes) -> Request:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.requests.append(Request(method, path, query, headers, time.monotonic(), self._looker()))
        return self.requests[-1]

    def _fault_of(self, request: Request) -> Fault | None:
        for fault, met in self._met.items():
            if not re.fullmatch(fault.method, request.method) or not re.fullmatch(fault.path, request.path):
                continue
            if met < fault.skip + fault.times:
                self._met[fault] += 1
                if met >= fault.skip:
                    return fault
        return None

    async def _treat(
        self,
        fault: Fault | None,
        request: Request,
        head: bytes,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
    ) -> None:
        does = fault.does if fault else ""
        if does == "refuse":
            to_client.transport.abort()
            return
        if fault and does == "answer":
            await client.readexactly(int(request.headers.get("content-length", 0)))
            to_client.write(_answer(fault))
            return
        server, to_server = await self._dial()
        to_server.write(_only_request(head))
        up = asyncio.create_task(_copy(client, to_server, fault.after_bytes if fault and does == "cut_request" else -1))
        tasks = {up} if does == "cut_request" else {up, asyncio.create_task(self._reply(fault, server, to_client))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)  # a client that is gone ends both
            if does == "cut_request":
                to_client.transport.abort()
        finally:
            to_server.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _reset(to_server)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server; who is cancelled meanwhile leaves none behind."""
        dialling = asyncio.create_task(asyncio.open_connection("127.0.0.1", self.server_port))
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            _, to_server = await dialling
            await _reset(to_server)
            raise

    async def _reply(self, fault: Fault | None, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        does, limit = (fault.does, fault.after_bytes) if fault else ("", 0)
        if does == "lose_reply":
            await server.read()
            to_client.transport.abort()
            return
        if does == "hold_reply":
            to_client.write(await server.read())
            return
        to_client.write(await server.readuntil(b"\r\n\r\n"))
        if does == "damage_reply":
            to_client.write(await server.readexactly(limit) + bytes([(await server.readexactly(1))[0] ^ 1]))
        await _copy(server, to_client, limit if does == "cut_reply" else -1)
        if does == "cut_reply":
            await to_client.drain()
            to_client.transport.abort()


async def _reset(side: asyncio.StreamWriter) -> None:
    side.transport.abort()
    with suppress(ConnectionError):
        await _closed(side)


async def _closed(side: asyncio.StreamWriter) -> None:
    """All who wait for a side's end wait for one future, which nobody's cancelling may cancel for the others."""
    await asyncio.shield(side.wait_closed())


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int) -> None:
    """Pass on `limit` bytes, all there are where it is negative."""
    while limit and (piece := await source.read(PIECE if limit < 0 else min(PIECE, limit))):
        target.write(piece)
        await target.drain()
        limit -= len(piece) if limit > 0 else 0


def _only_request(head: bytes) -> bytes:
    """The head with `Connection: close`, but for one that becomes a WebSocket."""
    if re.search(rb"\r\nupgrade: *websocket", head, re.IGNORECASE):
        return head
    return re.sub(rb"\r\nconnection:[^\r]*", b"", head[:-2], flags=re.IGNORECASE) + b"Connection: close\r\n\r\n"


def _answer(fault: Fault) -> bytes:
    body = b"<html>the proxy's own words</html>"
    fields = {"Content-Type": "text/html", **fault.headers, "Content-Length": len(body), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {fault.status} Said by a proxy\r\n{lines}\r\n".encode() + body


@contextmanager
def bad_line(
    server_port: int, faults: Sequence[Fault] = (), looker: Callable[[], object] = lambda: None
) -> Iterator[BadLine]:
    """One that runs for the length of a block, in a thread of its own."""
    line, started, loop, over = (
        BadLine(server_port, faults, looker),
        Future[None](),
        asyncio.new_event_loop(),
        asyncio.Event(),
    )

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(line.serve(started, over))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        started.result(PATIENCE)
        yield line
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE)
