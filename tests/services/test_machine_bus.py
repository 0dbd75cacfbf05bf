# SPDX-License-Identifier: Apache-2.0
"""Machines that wake each other by a server of Redis' protocol: what arrives, who may speak, and its bad days."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.authentication import Caller
from services.machine_bus import MOST_AT_ONCE, MOST_WAITING, MachineBus, end_all, trouble
from services.worker_bus import MOST_UIDS, WorkerBus
from tests.services.test_worker_bus import ANN, Ear, neighbourhood, nothing, people, process
from tests.support import PATIENCE
from tests.support.certificates import own_certificate
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB, Engine
from tests.support.wake_server import ACCOUNT, PROGRAM, WakeServer

__all__ = ["people"]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="no redis-server is installed (make test-deps)"),
]

CHANNEL = "glimpse:test"
KILLS = 20


@pytest.fixture(scope="module")
def wake_server() -> Iterator[WakeServer]:
    server = WakeServer()
    yield server
    server.close()


@asynccontextmanager
async def joined(url: str, *workers: WorkerBus) -> AsyncIterator[list[MachineBus]]:
    """These workers, which listen, hear of other machines for the length of a block."""
    buses = [MachineBus(url, CHANNEL, sender=each.machine.encode(), hear=each.hear) for each in workers]
    for worker, bus in zip(workers, buses, strict=True):
        worker.lead_to(bus)
    running = [asyncio.create_task(bus.run()) for bus in buses]
    try:
        yield buses
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def connected(*buses: MachineBus) -> None:
    async with asyncio.timeout(PATIENCE):
        while not all(bus._connected for bus in buses):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def hears(speaker: WorkerBus, uid: int, *ears: Ear) -> None:
    """Say it until they have heard it: who is not connected yet hears nothing."""
    async with asyncio.timeout(PATIENCE):
        while not all(uid in ear.uids for ear in ears):
            speaker.tell_of_events([uid])
            await asyncio.sleep(0.02)


async def test_a_machine_hears_what_another_says_once_and_not_itself(wake_server: WakeServer) -> None:
    uids, last = range(3 * MOST_UIDS), 10**18
    with neighbourhood(2) as east, neighbourhood(2) as west:
        ears = [Ear(each, last) for each in (*east, *west)]
        async with joined(wake_server.url, *east, *west):
            await hears(east[0], 10**17, *ears[2:])
            await hears(west[0], 10**17 + 1, *ears[:2])
            heard: list[int] = []
            east[1].listen(wake_readers=heard.extend, wake_relay=ears[1]._push, wake_retention=ears[1]._end)
            east[0].tell_of_events(uids)
            east[0].tell_of_pushes()
            east[0].tell_of_ended_image()
            east[0].tell_of_events([last])
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(ear.enough.wait() for ear in ears[2:]))
            await hears(west[0], 10**17 + 2, ears[0])
    assert ears[2].uids >= {*uids, last}
    assert [(ear.pushes_due, ear.image_ended) for ear in ears] == [(False, False), *[(True, True)] * 3]
    assert last not in ears[0].uids
    assert heard.count(last) == 1, "a worker beside is told by its own machine alone"


async def test_what_nobody_of_ours_says_is_passed_over(wake_server: WakeServer) -> None:
    here, there = WorkerBus(), WorkerBus()
    Ear(here, 1)
    ear = Ear(there, 1)
    odd = [b"", b"x", b"x\n", b"x\n\xff", b'x\n{"uids": 1}', b'x\n{"uids": [[1]]}', b'x\n{"uids": [2]}', b"x\n[" * 9999]
    nested, long = (
        b"x\n" + 100_000 * b"[",
        b'x\n{"uids": [' + 40_000 * b"6," + b'6], "pushes_due": 1, "image_ended": 1}',
    )
    async with joined(wake_server.url, here, there):
        await hears(here, 3, ear)
        client = Redis(host="127.0.0.1", port=wake_server.port, username=ACCOUNT[0], password=ACCOUNT[1])
        async with client:
            for each in (*odd, nested, long):
                await client.publish(CHANNEL, each)
        await hears(here, 4, ear)
    assert 6 not in ear.uids, "longer than anything that a worker says"


async def test_a_message_of_very_many_words_keeps_nobody_and_what_is_said_at_once_goes_in_several(
    wake_server: WakeServer,
) -> None:
    here, there = WorkerBus(), WorkerBus()
    Ear(here, 1)
    heard: list[int] = []
    there.listen(wake_readers=heard.extend, wake_relay=nothing, wake_retention=nothing)
    async with joined(wake_server.url, here, there) as buses, asyncio.timeout(PATIENCE):
        await connected(*buses)
        client = Redis(host="127.0.0.1", port=wake_server.port, username=ACCOUNT[0], password=ACCOUNT[1])
        async with client:
            await client.publish(CHANNEL, b"x" + 10_000 * b'\n{"uids": [7], "pushes_due": 0, "image_ended": 0}')
        for number in range(MOST_WAITING):
            buses[0].send(b'{"uids": [%d], "pushes_due": 0, "image_ended": 0}' % (1000 + number))
        while 999 + MOST_WAITING not in heard:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert heard.count(7) < MOST_AT_ONCE
    assert [uid for uid in heard if uid != 7] == list(range(1000, 1000 + MOST_WAITING))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b":twelve\r\n",
        200_000 * b"x",
        3000 * b"*1\r\n",
        b"+OK\r\n+OK\r\n*1\r\n$9\r\nsubscribe\r\n",
    ],
)
async def test_who_speaks_something_else_is_said_and_asked_again(
    nonsense: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.machine_bus.LONGEST_PAUSE_SECONDS", 0.01)
    said = asyncio.Event()
    asked: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.append(1)
        if len(asked) == 3:
            said.set()
        writer.write(nonsense)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with joined(url, WorkerBus()) as [bus], asyncio.timeout(PATIENCE):
            await said.wait()
            assert not bus._connected
        assert await trouble(url, CHANNEL)


async def test_it_speaks_tls_to_who_can_prove_its_name_and_takes_no_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    own, other = own_certificate(tmp_path), own_certificate(tmp_path / "other")
    server = WakeServer(own.settings)
    try:
        here, there = WorkerBus(), WorkerBus()
        Ear(here, 1)
        ear = Ear(there, 1)
        async with joined(server.url, here, there):
            await hears(here, 2, ear)
        assert await trouble(server.url, CHANNEL) == ""
        distrusting = server.url.replace(own.settings["cert"], other.settings["cert"])
        assert "CERTIFICATE_VERIFY_FAILED" in await trouble(distrusting, CHANNEL)
    finally:
        server.close()


async def test_an_operator_is_told_why_nothing_comes(wake_server: WakeServer) -> None:
    assert await trouble(wake_server.url, CHANNEL) == ""
    assert "password" in await trouble(wake_server.url.replace("only", "lonely"), CHANNEL)
    assert "permission" in await trouble(wake_server.url, "others")
    assert "Connect call failed" in await trouble("redis://127.0.0.1:1", CHANNEL)
    wake_server.freeze()
    try:
        assert "Timeout" in await trouble(wake_server.url, CHANNEL)
    finally:
        wake_server.thaw()


async def test_a_server_that_hangs_is_left_and_found_again_and_said_once_in_the_log(
    wake_server: WakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ANSWER_SECONDS", "QUIET_SECONDS"):
        monkeypatch.setattr(f"services.machine_bus.{name}", 0.2)
    here, there = WorkerBus(), WorkerBus()
    Ear(here, 1)
    ear = Ear(there, 1)
    with caplog.at_level(logging.INFO, "glimpse.wake"):
        async with joined(wake_server.url, here, there) as (_, listening):
            await hears(here, 2, ear)
            caplog.clear()
            wake_server.freeze()
            try:
                async with asyncio.timeout(PATIENCE):
                    while listening._failures < 3:  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(0.02)
            finally:
                wake_server.thaw()
            await hears(here, 3, ear)
    said = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert sorted(said) == [
        *[("INFO", "wake-ups from other machines come")] * 2,
        *[("WARNING", "no wake-ups from other machines: the database is polled")] * 2,
    ]


async def test_what_loses_a_cancellation_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.machine_bus.AGAIN_SECONDS", 0.01)

    async def deaf(times: int) -> None:
        for _ in range(times):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    tasks = [asyncio.create_task(deaf(times)) for times in range(3)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await end_all(tasks)
    assert all(task.cancelled() for task in tasks)


@ON_MARIADB
@NEEDS_MARIADBD
@pytest.mark.usefixtures("people")
async def test_no_event_is_missed_however_often_the_server_dies(engine: Engine) -> None:
    server = WakeServer()
    here, there = WorkerBus(), WorkerBus()
    async with AsyncExitStack() as stack:
        stack.callback(server.close)
        writing = await stack.enter_async_context(process(engine, here))
        reading = await stack.enter_async_context(process(engine))
        here.listen(wake_readers=writing.events.wake, wake_relay=nothing, wake_retention=nothing)
        there.listen(wake_readers=reading.events.wake, wake_relay=nothing, wake_retention=nothing)
        buses = await stack.enter_async_context(joined(server.url, here, there))
        polling = asyncio.create_task(reading.events.follow_elsewhere())
        stack.callback(polling.cancel)
        reader = await reading.events.open(Caller(ANN, None), None)
        chance, told = random.Random(19), 0
        for number in range(KILLS):
            if number % 2:
                await connected(*buses)
            committing = [asyncio.create_task(writing.commit()) for _ in range(chance.randrange(4))]
            await asyncio.sleep(chance.uniform(0, 0.02))
            server.kill()
            await asyncio.gather(*committing)
            server.start()
            await writing.commit()
            told += len(committing) + 1
        seen: list[int] = []
        async with asyncio.timeout(PATIENCE):
            while len(seen) < told:
                seen += [event.event_id for event in await reader.next(1)]
    assert seen == list(range(1, told + 1))


@ON_MARIADB
@NEEDS_MARIADBD
@pytest.mark.usefixtures("people")
async def test_a_commit_wakes_the_readers_of_another_machine(engine: Engine, wake_server: WakeServer) -> None:
    """Nobody polls here."""
    here, there = WorkerBus(), WorkerBus()
    async with process(engine, here) as writing, process(engine) as reading:
        here.listen(wake_readers=writing.events.wake, wake_relay=nothing, wake_retention=nothing)
        there.listen(wake_readers=reading.events.wake, wake_relay=nothing, wake_retention=nothing)
        async with joined(wake_server.url, here, there) as buses, asyncio.timeout(PATIENCE):
            await connected(*buses)
            reader = await reading.events.open(Caller(ANN, None), None)
            for number in range(1, 4):
                waiting = asyncio.create_task(reader.next(60))
                await writing.commit()
                assert [event.event_id for event in await waiting] == [number]
