# SPDX-License-Identifier: Apache-2.0
"""Hosts that hang, and floods to one host: the relay over real sockets, with the shipped shares."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from time import perf_counter

import pytest

from app.providers import host_shares
from config.load import load
from emulators.webhook import SECRET
from httpclient.endpoints import Endpoints
from httpclient.http1 import HttpClient
from models.clock import now_ms
from models.user import UserId
from push.providers.webhook import WebhookProvider
from push.relay import Relay
from tests.push.conftest import World
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio

HANGING_HOSTS = 60
DEVICES_OF_A_PERSON = 20
PUSHES = 40
GOOD_HOSTS = 4
CALLS = 400


@dataclass
class Host:
    """A host that answers 204 after `seconds`, unless it hangs. `came` has the path of each request and its time."""

    hangs: bool = False
    seconds: float = 0.0
    came: list[tuple[str, float]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    running: int = 0
    most_at_once: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                async with self.changed:
                    self.came.append((head.split()[1].decode(), perf_counter()))
                    self.changed.notify_all()
                self.running += 1
                self.most_at_once = max(self.most_at_once, self.running)
                try:
                    await (asyncio.Event().wait() if self.hangs else asyncio.sleep(self.seconds))
                finally:
                    self.running -= 1
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def first(self, path: str) -> float:
        """When it was first asked for this path."""
        await self._until(lambda: any(asked == path for asked, _ in self.came))
        return next(at for asked, at in self.came if asked == path)

    async def asked(self, times: int) -> float:
        """When it had been asked so often."""
        await self._until(lambda: len(self.came) >= times)
        return self.came[times - 1][1]

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(condition)


@asynccontextmanager
async def hosts(*some: Host) -> AsyncIterator[None]:
    tasks: set[asyncio.Task[None]] = set()

    async def accept(host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await host.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            tasks.discard(task)
            writer.transport.abort()

    servers = []
    for host in some:
        server = await asyncio.start_server(partial(accept, host), "127.0.0.1")
        host.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        servers.append(server)
    yield
    for server in servers:
        server.close()
    left = list(tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left)


@asynccontextmanager
async def relaying(world: World, *some: Host) -> AsyncIterator[Relay]:
    """A relay that runs, with the shipped shares."""
    endpoints = Endpoints([host.url for host in some])
    provider = WebhookProvider(SECRET, HttpClient(endpoints=endpoints), host_shares(load(None)))
    relay = Relay(world.db, {("webhook", ""): provider}, bytes.decode)
    running = asyncio.create_task(relay.run())
    yield relay
    await relay.stop(within=0)
    await running
    await provider.close()
    endpoints.close()


async def owner_of(world: World, urls: list[str]) -> UserId:
    person = await world.person()
    for number, url in enumerate(urls):
        await world.device(person, f"{url}/{person}-{number}", provider="webhook")
    return person


async def send(world: World, relay: Relay, sender: UserId, receiver: UserId) -> None:
    world.clock.now = now_ms()
    await world.message(sender, receiver)
    relay.wake()


async def test_sixty_hosts_that_hang_delay_nobody_elses_pushes(world: World) -> None:
    world.clock.now = now_ms()
    hanging, good = [Host(hangs=True) for _ in range(HANGING_HOSTS)], [Host() for _ in range(GOOD_HOSTS)]
    async with hosts(*hanging, *good), relaying(world, *hanging, *good) as relay:
        sender = await world.person(b"sender")
        urls = [host.url for host in hanging]
        abusers = [
            await owner_of(world, urls[first : first + DEVICES_OF_A_PERSON])
            for first in range(0, HANGING_HOSTS, DEVICES_OF_A_PERSON)
        ]
        for _ in range(5):
            for abuser in abusers:
                await send(world, relay, sender, abuser)
        sent: list[tuple[Host, UserId, float]] = []
        for number in range(PUSHES):
            host = good[number % GOOD_HOSTS]
            person = await owner_of(world, [host.url])
            await send(world, relay, sender, abusers[number % len(abusers)])
            sent.append((host, person, perf_counter()))
            await send(world, relay, sender, person)
        took = [await host.first(f"/{person}-0") - began for host, person, began in sent]
    assert sum(host.most_at_once for host in hanging) >= 10
    assert median(took) < 2, took
    assert max(took) < 10, took


async def test_a_flood_to_one_host_is_bounded_and_others_come_before_it(world: World) -> None:
    world.clock.now = now_ms()
    both = flooded, _ = Host(seconds=0.02), Host()
    async with hosts(*both), relaying(world, *both) as relay:
        sender = await world.person(b"sender")
        crowd = [await owner_of(world, [flooded.url] * DEVICES_OF_A_PERSON) for _ in range(20)]
        began = perf_counter()
        for person in crowd * 3:
            await send(world, relay, sender, person)
        bystanders = [await owner_of(world, [host.url]) for host in both]
        asked = perf_counter()
        for person in bystanders:
            await send(world, relay, sender, person)
        same, another = [await host.first(f"/{person}-0") for host, person in zip(both, bystanders, strict=True)]
        seconds = await flooded.asked(CALLS) - began
    shares = host_shares(load(None)).per_origin
    assert flooded.most_at_once <= shares.at_once
    assert shares.per_second * (1 + seconds) >= CALLS
    assert another - asked < 5
    assert same - asked < 5
