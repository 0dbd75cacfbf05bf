# SPDX-License-Identifier: Apache-2.0
"""Who gets a connection: in turns, within bounds, and in whose stead."""

import resource
import select
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from tornado.web import Application

from models.shared_counters import SharedCounter
from tests.process.hostile_wire import request, reset
from tests.transport.world import World, serving, turns, until
from transport.limits import Limits
from transport.server import BEGUN_AT_ONCE, Server

pytestmark = pytest.mark.gen_test(timeout=30)
GET = request("GET", "/")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.parametrize(("shared", "taken"), [(True, 1), (False, 3)])
async def test_of_a_shared_socket_one_connection_is_taken_in_a_turn(
    listening: socket.socket, *, shared: bool, taken: int
) -> None:
    waiting = [socket.create_connection(listening.getsockname()) for _ in range(3)]
    server = Server(Application(), Limits(), refusal=lambda _: b"")
    server.listen([listening], shared=shared)
    server._accept(listening)
    assert server.counter.own == taken
    for each in waiting:
        each.close()
    server.stop()
    await server.close_all_connections()


async def test_a_crowd_begins_in_turns_and_who_comes_from_elsewhere_is_not_behind_it() -> None:
    async with serving(Limits()) as world:
        crowd = [await connected(world, "127.0.0.1") for _ in range(10 * BEGUN_AT_ONCE)]
        late = await connected(world, "127.0.0.2")
        for each in (*crowd, late):
            each.sendall(request("GET", "/wait"))
        begun, seen_late = [0], 0
        while begun[-1] <= len(crowd):
            await turns(1)
            begun.append(len(world.log.events))
            if not seen_late and any(each.source == "127.0.0.2" and each.served for each in world.server._connections):
                seen_late = begun[-1]
        assert max(after - before for before, after in pairwise(begun)) <= BEGUN_AT_ONCE
        assert seen_late <= 3 * BEGUN_AT_ONCE
        for each in (*crowd, late):
            each.close()


async def test_behind_a_proxy_a_crowd_is_the_client_who_asks_not_the_proxy() -> None:
    async with serving(Limits()) as world:
        world.server._source = lambda _, forwarded_for: forwarded_for
        crowd = [await connected(world, "127.0.0.1") for _ in range(10 * BEGUN_AT_ONCE)]
        late = await connected(world, "127.0.0.1")
        for each in crowd:
            each.sendall(by("greedy", "/wait"))
        late.sendall(by("other"))
        await until(lambda: readable(late))
        assert len(world.log.events) <= 3 * BEGUN_AT_ONCE
        for each in (*crowd, late):
            each.close()


async def test_who_waits_in_line_is_not_cut_as_one_who_asks_nothing() -> None:
    async with serving(Limits(idle_seconds=0.01)) as world:
        client = await world.connect()
        world.server._may_begin = 0  # as in a turn in which many have begun
        client.send(GET)
        await until(lambda: world.server._in_line)
        silent = await world.connect()
        assert await silent.rest() == b""
        world.server._next_turn()
        assert (await client.answer()).status == 200


async def test_who_goes_while_in_line_keeps_nobody_from_their_turn() -> None:
    async with serving(Limits()) as world:
        crowd = [await connected(world, "127.0.0.1") for _ in range(3 * BEGUN_AT_ONCE)]
        for each in crowd:
            each.sendall(GET)
        for each in crowd[::2]:
            reset(each)
        for each in crowd[1::2]:
            await until(lambda each=each: readable(each))
            each.close()


async def connected(world: World, host: str) -> socket.socket:
    """A client at this address, which the server has accepted."""
    before = world.server.counter.own
    sock = socket.create_connection(("127.0.0.1", world.port), source_address=(host, 0))
    await until(lambda: world.server.counter.own > before)
    return sock


def readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


async def test_one_too_many_takes_the_place_of_who_has_asked_nothing_then_of_who_asked_longest_ago() -> None:
    async with serving(Limits(max_connections=3, max_own=100)) as world:
        kept = [await world.connect() for _ in range(2)]
        for client in kept:
            client.send(GET)
            assert (await client.answer()).status == 200
        silent = await world.connect()
        await until(lambda: world.server.counter.own == 3)
        for _ in range(2):
            client = await world.connect()
            client.send(GET)
            assert (await client.answer()).status == 200
        assert await silent.rest() == b""
        assert await kept[0].rest() == b""
        kept[1].send(GET)
        assert (await kept[1].answer()).status == 200
        kept[1].close()


async def test_who_has_a_request_keeps_the_connection_and_one_too_many_is_closed() -> None:
    async with serving(Limits(max_connections=2, max_own=100)) as world:
        busy = [await world.connect() for _ in range(2)]
        for client in busy:
            client.send(request("GET", "/wait"))
        await until(lambda: world.log.events == ["asked", "asked"])
        late = await world.connect()
        assert await late.rest() == b""
        world.log.go_on.set()
        for client in busy:
            assert (await client.answer()).body == b"at last"
            client.close()


async def test_connections_of_other_processes_count_too() -> None:
    async with serving(Limits(max_connections=2, max_own=100)) as world:
        slots = memoryview(bytearray(16)).cast("q")
        world.server.counter = SharedCounter(slots, 0)
        slots[1] = 2
        assert await (await world.connect()).rest() == b""
        slots[1] = 1
        client = await world.connect()
        client.send(GET)
        assert (await client.answer()).status == 200
        client.close()
        await until(lambda: not world.server._connections)


async def test_one_address_has_a_quarter_once_half_is_used_and_others_go_on() -> None:
    async with serving(Limits(max_connections=16, max_own=16)) as world:
        greedy = [await world.connect() for _ in range(8)]
        for client in greedy:
            client.send(request("GET", "/wait"))
        await until(lambda: len(world.log.events) == 8)
        assert await (await world.connect()).rest() == b""
        world.server._source = lambda _, __: "another"
        client = await world.connect()
        client.send(GET)
        assert (await client.answer()).status == 200
        client.close()
        world.log.go_on.set()


async def test_a_proxys_connections_are_nobodys_share() -> None:
    async with serving(Limits(max_connections=16, max_own=16)) as world:
        world.server._source = lambda _, __: None
        clients = [await world.connect() for _ in range(14)]
        for client in clients:
            client.send(request("GET", "/wait"))
        await until(lambda: len(world.log.events) == 14)
        world.log.go_on.set()


def by(client: str, path: str = "/") -> bytes:
    return request("GET", path, f"X-Forwarded-For: {client}")


async def test_behind_a_proxy_it_is_the_client_of_a_request_who_has_a_quarter() -> None:
    async with serving(Limits(max_connections=16, max_own=16)) as world:
        world.server._source = lambda _, forwarded_for: forwarded_for
        greedy = [await world.connect() for _ in range(8)]
        for client in greedy[:4]:
            client.send(by("greedy", "/wait"))
        for number, client in enumerate(greedy[4:]):
            client.send(by(f"other {number}", "/wait"))
        await until(lambda: len(world.log.events) == 8)
        late = await world.connect()
        late.send(by("greedy"))
        answer = await late.answer()
        assert (answer.refusal, answer.headers["retry-after"]) == ((429, "rate_limited"), "1")
        assert await late.rest() == b""
        other = await world.connect()
        other.send(by("somebody"))
        assert (await other.answer()).status == 200
        world.log.go_on.set()
        for client in greedy:
            assert (await client.answer()).body == b"at last"


async def test_a_proxys_connection_is_another_clients_with_each_request_and_nobodys_between_them() -> None:
    async with serving(Limits(max_connections=16, max_own=16)) as world:
        world.server._source = lambda _, forwarded_for: forwarded_for
        shared = [await world.connect() for _ in range(10)]
        for name in ("one", "two"):
            for client in shared:
                client.send(by(name))
                assert (await client.answer()).status == 200
            assert not world.server._per_source
        shared[0].send(by("one", "/wait") + by("two", "/wait"))
        await until(lambda: world.server._per_source == {"one": 1})
        world.log.go_on.set()
        for _ in range(2):
            assert (await shared[0].answer()).body == b"at last"
        assert not world.server._per_source


async def test_a_descriptor_that_cannot_be_had_does_not_keep_the_event_loop_busy(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = Server(Application(), Limits(), refusal=lambda _: b"")
    waiting = socket.create_connection(listening.getsockname())
    calls: list[socket.socket] = []
    pause = server._pause

    def counted(each: socket.socket) -> None:
        calls.append(each)
        pause(each)

    monkeypatch.setattr(server, "_pause", counted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, hard))
    try:
        server.listen([listening])
        await turns()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(calls) == 1
    await until(lambda: server.counter.own == 1)
    waiting.close()
    server.stop()
    await server.close_all_connections()
