# SPDX-License-Identifier: Apache-2.0
"""Where a push to a URL of a device connects: to the address that was judged, and to no private one."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from httpclient.endpoints import Endpoints, NotAllowed
from httpclient.http1 import HttpClient, NoAnswer

pytestmark = pytest.mark.anyio

REFUSED = NoAnswer("address not allowed")
PUBLIC, LOOPBACK = "93.184.216.34", "127.0.0.1"


class Resolver:
    """Answers each question with the next of `answers`, and with the last from then on."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return list(self.answers[min(len(self.asked), len(self.answers)) - 1])


class Inside:
    """A server that only this machine should reach."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def inside(anyio_backend: str) -> AsyncIterator[Inside]:
    assert anyio_backend == "asyncio"
    found = Inside()
    server = await asyncio.start_server(found.answer, LOOPBACK, 0)
    async with server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


async def post(url: str, endpoints: Endpoints) -> object:
    http = HttpClient(connect_seconds=10, answer_seconds=10, endpoints=endpoints)
    try:
        return await http.post(url, content=b"", headers={})
    finally:
        await http.close()


async def test_a_name_that_changes_its_mind_leads_to_no_connection(inside: Inside) -> None:
    endpoints = Endpoints(resolve=Resolver([PUBLIC], [LOOPBACK]))
    url = f"https://rebinding.example:{inside.port}/"
    await endpoints.check(url)
    assert await post(url, endpoints) == REFUSED
    assert inside.connections == 0


@pytest.mark.parametrize(
    "answer", [[LOOPBACK], [PUBLIC, LOOPBACK], [PUBLIC, "::1"], ["::ffff:127.0.0.1"], ["fe80::1%1"]]
)
async def test_a_name_with_any_private_address_leads_to_no_connection(inside: Inside, answer: list[str]) -> None:
    endpoints = Endpoints(resolve=Resolver(answer))
    url = f"https://both.example:{inside.port}/"
    with pytest.raises(NotAllowed):
        await endpoints.check(url)
    assert await post(url, endpoints) == REFUSED
    assert inside.connections == 0


async def test_a_form_that_is_refused_leads_to_no_connection(inside: Inside) -> None:
    resolver = Resolver([PUBLIC])
    for url in (f"http://{LOOPBACK}:{inside.port}/", f"http://public.example:{inside.port}/", "file:///etc/passwd"):
        assert await post(url, Endpoints(resolve=resolver)) == REFUSED
    assert (inside.connections, resolver.asked) == (0, [])


async def test_a_connection_goes_to_the_address_that_was_judged(inside: Inside) -> None:
    """Whoever looked the name up again would get another answer, and connect nowhere."""
    resolver = Resolver([LOOPBACK], ["192.0.2.1"])
    origin = f"http://one.example:{inside.port}"
    answer = await post(f"{origin}/x", Endpoints([origin], resolve=resolver))
    assert getattr(answer, "status", answer) == 200
    assert (inside.connections, resolver.asked) == (1, [("one.example", inside.port)])


async def test_what_is_exempt_is_one_origin_and_not_its_address(inside: Inside) -> None:
    endpoints = Endpoints([f"http://one.example:{inside.port}"], resolve=Resolver([LOOPBACK]))
    for url in (f"https://other.example:{inside.port}/", f"https://one.example:{inside.port + 1}/"):
        assert await post(url, endpoints) == REFUSED
    assert inside.connections == 0


async def test_the_system_is_asked_where_nothing_else_is_given(inside: Inside) -> None:
    endpoints = Endpoints([f"http://localhost:{inside.port}"])
    try:
        assert getattr(await post(f"http://localhost:{inside.port}/", endpoints), "status", None) == 200
        nowhere = await post(f"https://nowhere.invalid:{inside.port}/", endpoints)
        assert nowhere in {NoAnswer("cannot connect"), NoAnswer("timed out")}
    finally:
        endpoints.close()
    assert inside.connections == 1
