# SPDX-License-Identifier: Apache-2.0
"""The HTTP client's connections: which are kept, which are used again, and what never leaves on them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from httpclient import http1 as http_module
from httpclient.http1 import Answer, HttpClient, NoAnswer
from httpclient.http2 import Http2Client
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio


class Host:
    """Answers each request with the next of `answers`, and with the last from then on; keeps the heads it got."""

    def __init__(self) -> None:
        self.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.ended = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.heads.append(head + await reader.readexactly(length))
                await self.may_answer.wait()
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended += 1
            writer.close()


@pytest.fixture
async def host(anyio_backend: str) -> AsyncIterator[Host]:
    assert anyio_backend == "asyncio"
    found = Host()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    async with server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x?y=1"
        yield found
        for writer in found.writers:
            writer.close()


@pytest.fixture
async def http(anyio_backend: str) -> AsyncIterator[HttpClient]:
    assert anyio_backend == "asyncio"
    client = HttpClient(connect_seconds=5, answer_seconds=5)
    yield client
    await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - sockets are looked at
            await asyncio.sleep(0.001)


async def post(http: HttpClient, host: Host, content: bytes = b"{}") -> Answer | NoAnswer:
    return await http.post(host.url, content=content, headers={"X-Own": "1"})


async def test_one_connection_serves_one_request_after_the_other(host: Host, http: HttpClient) -> None:
    for content in (b"first", b"", b"third"):
        answer = await post(http, host, content)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"ok", "2")
    assert len(host.writers) == 1
    assert host.heads[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert host.heads[0].endswith(b"\r\n\r\nfirst")
    for line in (b"x-own: 1", b"accept-encoding: identity", b"content-length: 5"):
        assert line in host.heads[0].lower().split(b"\r\n")


async def test_requests_at_once_have_a_connection_each_and_leave_them_to_the_next(host: Host, http: HttpClient) -> None:
    host.may_answer.clear()
    asking = asyncio.gather(*(post(http, host) for _ in range(20)))
    await until(lambda: len(host.heads) == 20)
    host.may_answer.set()
    assert all(isinstance(answer, Answer) for answer in await asking)
    await asyncio.gather(*(post(http, host) for _ in range(20)))
    assert len(host.writers) == 20


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", id="host closes"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", id="more than asked for"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", id="old host"),
    ],
)
async def test_a_connection_that_is_over_is_not_used_again(host: Host, http: HttpClient, answer: bytes) -> None:
    host.answers.insert(0, answer)
    for _ in range(2):
        found = await post(http, host)
        assert isinstance(found, Answer)
        assert found.body == b"ok"
    assert len(host.writers) == 2


async def test_what_a_host_says_unasked_is_nobody_s_answer(host: Host, http: HttpClient) -> None:
    await post(http, host)
    host.writers[0].write(b"HTTP/1.1 500 Planted\r\nContent-Length: 0\r\n\r\n")
    await until(lambda: host.ended == 1)
    found = await post(http, host)
    assert isinstance(found, Answer)
    assert found.status == 200
    assert len(host.writers) == 2


async def test_a_connection_that_the_host_ended_meanwhile_is_not_used_again(host: Host, http: HttpClient) -> None:
    await post(http, host)
    host.writers[0].write_eof()
    await until(lambda: host.ended == 1)
    assert isinstance(await post(http, host), Answer)
    assert len(host.writers) == 2


async def test_an_answer_that_comes_late_is_not_the_next_one_s(host: Host) -> None:
    http = HttpClient(connect_seconds=5, answer_seconds=2)
    host.may_answer.clear()
    host.answers.insert(0, b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n")
    assert await post(http, host) == NoAnswer("timed out")
    host.may_answer.set()
    found = await post(http, host)
    assert len(host.writers) == 2
    assert isinstance(found, Answer)
    assert found.body == b"ok"
    await http.close()


async def test_no_more_than_so_many_wait_for_the_next_request(
    host: Host, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_IDLE", 3)
    await asyncio.gather(*(post(http, host) for _ in range(10)))
    await until(lambda: host.ended >= len(host.writers) - 3)
    await http.close()
    await until(lambda: host.ended == len(host.writers))


@pytest.mark.parametrize("value", ["one\r\nX-Planted: 1", "one\nX-Planted: 1", "nul\0"])
async def test_nothing_is_planted_in_a_head(host: Host, http: HttpClient, value: str) -> None:
    answer = await http.post(host.url, content=b"{}", headers={"X-Own": value})
    assert answer == NoAnswer("connection broken")
    assert host.heads == []


@pytest.mark.parametrize("url", ["", "x", "ftp://127.0.0.1/", "http://", "http://[::1", "file:///etc/passwd"])
async def test_what_is_no_address_is_no_answer(http: HttpClient, url: str) -> None:
    assert await http.post(url, content=b"", headers={}) == NoAnswer("connection broken")


@pytest.mark.parametrize("url", ["https://restapi..example.com/", "https://.example.com/", f"https://{'a' * 64}.com/"])
async def test_what_is_no_name_is_no_answer(http: HttpClient, url: str) -> None:
    assert await http.post(url, content=b"", headers={}) == NoAnswer("cannot connect")
    http2 = Http2Client(url)
    assert await http2.post("/x", content=b"", headers={}, once={}) == NoAnswer("cannot connect")
    await http2.close()


@pytest.mark.parametrize("kind", ["pings", "interim answers"])
async def test_what_a_host_says_in_place_of_an_answer_has_an_end(anyio_backend: str, kind: str) -> None:
    assert anyio_backend == "asyncio"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaker = H2Connection(H2Configuration(client_side=False))
        speaker.initiate_connection()
        writer.write(speaker.data_to_send())
        while 1 not in speaker.streams:
            speaker.receive_data(await reader.read(65536))
        try:
            while not writer.is_closing():
                if kind == "pings":
                    speaker.ping(bytes(8))
                else:
                    speaker.send_headers(1, [(":status", "103")])
                writer.write(speaker.data_to_send() * 1000)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        http2 = Http2Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await http2.post("/x", content=b"{}", headers={}, once={}) == NoAnswer("connection broken")
        await http2.close()
