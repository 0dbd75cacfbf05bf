# SPDX-License-Identifier: Apache-2.0
"""Durable text messages per second, and how long one takes to the receiver's WebSocket.

`python -m bench.messages`. Loopback only; everything it starts ends with it.
"""

import asyncio
import json
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

import click
import uvloop

from bench import load
from bench.load import Load, Request
from bench.requests import call, get
from bench.targets import Target, python_module
from tests.support.harness import Person, running

CONCURRENCIES = (1, 16, 64)
SETTINGS = {"limits": {"enabled": False}}


def text(sender: Person, receiver: Person, said: str = "See you at eight.") -> Request:
    body = json.dumps({"receiver_uid": receiver.uid, "kind": "text", "text": said}).encode()
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return Request(call(sender, "POST /v1/messages", head), 201, body)


def measured(pool: ProcessPoolExecutor, target: Target, request: Request, connections: int, seconds: float) -> str:
    """One load, as rate, latency and processor time."""
    cpu = target.cpu_seconds
    done: Load = pool.submit(load.run, target.port, (request,), connections=connections, seconds=seconds).result()
    count = len(done.passes_ms)
    used = 1000 * (target.cpu_seconds - cpu) / count
    ordered = sorted(done.passes_ms)
    rate = count / done.seconds
    return (
        f"{rate:7.0f}/s  p50 {ordered[count // 2]:6.1f} ms  p99 {ordered[count * 99 // 100]:6.1f} ms  cpu {used:.2f} ms"
    )


class EndToEnd:
    """Messages at a steady rate, and when each is seen on the receiver's WebSocket."""

    def __init__(self, ann: Person, ben: Person, port: int) -> None:
        self._ann, self._ben, self._port = ann, ben, port
        self._began: dict[str, float] = {}
        self._took: list[float] = []
        self._seen_all = asyncio.Event()
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def run(self, rate: float, seconds: float) -> list[float]:
        """Milliseconds from each request to its frame, at so many messages a second."""
        count = int(rate * seconds)
        reader, writer = await self._listen()
        listening = asyncio.create_task(self._read_frames(reader, count))
        for _ in range(32):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))
        start = perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, start + number / rate - perf_counter()))
                group.create_task(self._send(str(number)))
        async with asyncio.timeout(10):
            await self._seen_all.wait()
        listening.cancel()
        writer.close()
        return self._took

    async def _listen(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(call(self._ben, "GET /v1/events/ws", upgrade + key).encode())
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def _read_frames(self, reader: asyncio.StreamReader, count: int) -> None:
        while len(self._took) < count:
            _, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2), "big")
            frame = await reader.readexactly(length)
            if frame.startswith(b'{"id"'):
                began = self._began[json.loads(frame)["data"]["text"]]
                self._took.append(1000 * (perf_counter() - began))
        self._seen_all.set()

    async def _send(self, said: str) -> None:
        reader, writer = connection = await self._free.get()
        request = text(self._ann, self._ben, said)
        self._began[said] = perf_counter()
        writer.write(request.head.encode() + request.body)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(load.header(head.removesuffix(b"\r\n\r\n"), b"Content-Length") or 0))
        self._free.put_nowait(connection)


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="how long each measurement takes")
def main(seconds: float) -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), SETTINGS) as server,
        python_module("bench.hello") as hello,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        assert server.process
        target = Target(server.process.pid, server.port)
        ann, ben = server.register("Ann"), server.register("Ben")
        best = 0.0
        for connections in CONCURRENCIES:
            texts = measured(pool, target, text(ann, ben), connections, seconds)
            world = measured(pool, hello, get(), connections, seconds)
            ratio = float(texts.split("/")[0]) / float(world.split("/")[0])
            best = max(best, float(texts.split("/")[0]))
            click.echo(
                f"{connections:2} callers: texts {texts}\n            hello {world}\n            ratio {ratio:.2f}"
            )
        took = sorted(uvloop.run(EndToEnd(ann, ben, server.port).run(best / 2, seconds)))
        p50, p99 = statistics.median(took), took[len(took) * 99 // 100]
        click.echo(f"end to end at {best / 2:.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
