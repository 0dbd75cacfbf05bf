# SPDX-License-Identifier: Apache-2.0
"""Many listeners: memory per idle WebSocket, and how fast an event reaches everybody in a group.

`python -m bench.listeners`. Loopback only; everything it starts ends with it.
"""

import asyncio
import json
import resource
import statistics
import tempfile
from base64 import b64encode
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import uvloop

from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import png

GROUP, CONNECTIONS_EACH = 256, 4
FIRST_PORT_RANGE = 20_000
"""Connections from one loopback address; more take the next address."""


class Listener(asyncio.Protocol):
    """A WebSocket client that counts the frames it gets."""

    def __init__(self, person: Person, arrivals: list[float]) -> None:
        self._person = person
        self._arrivals = arrivals
        self._head = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        key = b64encode(bytes(16)).decode()
        transport.write(
            b"GET /v1/events/ws HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            + f"Sec-WebSocket-Key: {key}\r\nAuthorization: {self._person.basic}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            if data[0] == 0x89:
                self._transport.write(b"\x8a\x80\0\0\0\0")
            else:
                self._arrivals.append(perf_counter())
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            if self._head.startswith(b"HTTP/1.1 101"):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(ConnectionError(self._head[:200].decode()))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed"))

    def close(self) -> None:
        self._transport.abort()


async def listen(server: Server, people: list[Person], arrivals: list[float], at_once: int = 50) -> list[Listener]:
    """A listener for each of the people, a few at a time."""
    loop = asyncio.get_running_loop()
    opened: list[Listener] = []
    for first in range(0, len(people), at_once):
        address = f"127.0.0.{2 + first // FIRST_PORT_RANGE}"
        made = [Listener(person, arrivals) for person in people[first : first + at_once]]
        for listener in made:
            await loop.create_connection(partial(_itself, listener), "127.0.0.1", server.port, local_addr=(address, 0))
        await asyncio.gather(*(listener.opened for listener in made))
        opened += made
    return opened


def _itself(listener: Listener) -> Listener:
    return listener


def resident_kb(server: Server) -> int:
    assert server.process
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4


async def idle(server: Server, people: list[Person], count: int) -> float:
    """KB of the server's memory for each of so many idle WebSockets."""
    warm = await listen(server, people[:100], [])
    before = resident_kb(server)
    listeners = await listen(server, [people[n % len(people)] for n in range(count)], [])
    await asyncio.sleep(1)
    used = (resident_kb(server) - before) / count
    for listener in warm + listeners:
        listener.close()
    return used


async def fan_out(
    server: Server, sender: Person, people: list[Person], group_id: int, rounds: int
) -> list[list[float]]:
    """Milliseconds from the request to the arrival at each connection, for each of so many group images."""
    arrivals: list[float] = []
    listeners = await listen(server, [person for person in people for _ in range(CONNECTIONS_EACH)], arrivals)
    took = []
    for _ in range(rounds):
        arrivals.clear()
        began = perf_counter()
        reply = await asyncio.to_thread(
            sender.request,
            "POST",
            "/v1/images",
            data={"group_id": str(group_id)},
            files={"img_file": ("x.png", png(1, 1), "image/png")},
        )
        assert reply.status_code == 201, reply.text
        await asyncio.to_thread(wait_until, lambda: len(arrivals) >= len(listeners), 30, "the last arrival")
        took.append(sorted(1000 * (at - began) for at in arrivals))
    for listener in listeners:
        listener.close()
    return took


@click.command()
@click.option("--count", default=10_000, show_default=True, help="idle WebSockets")
@click.option("--rounds", default=10, show_default=True, help="images to the group")
def main(count: int, rounds: int) -> None:
    """Measure and print."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = {
        "limits": {"enabled": False},
        "server": {"max_connections": count + 2000},
        "events": {"max_readers": count + 2000},
        "inbox": {"max_pending": 100_000},
    }
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as server:
        people = [server.register(f"P{number}") for number in range(max(GROUP, count // 15))]
        each = uvloop.run(idle(server, people, count))
        click.echo(f"{count} idle WebSockets: {each:.1f} KB each")
        sender, members = people[0], people[1:GROUP]
        group_id = sender.begin_group(*members)
        took = uvloop.run(fan_out(server, sender, members, group_id, rounds))
        last = [one[-1] for one in took]
        middle = [statistics.median(one) for one in took]
        rate = len(took[0]) / (statistics.median(last) / 1000)
        click.echo(
            json.dumps(
                {
                    "connections": len(took[0]),
                    "median ms to the middle one": round(statistics.median(middle)),
                    "median ms to the last one": round(statistics.median(last)),
                    "events a second": round(rate),
                }
            )
        )


if __name__ == "__main__":
    main()
