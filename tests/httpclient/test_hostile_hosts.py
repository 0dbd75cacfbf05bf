# SPDX-License-Identifier: Apache-2.0
"""What a host that a device named may answer: whatever it does, a push call ends soon and takes little."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from httpclient.endpoints import Endpoints
from httpclient.http1 import MAX_ANSWER_BYTES, Answer, HttpClient, NoAnswer
from tests.support import PATIENCE
from tests.support.certificates import Certificate, own_certificate

pytestmark = pytest.mark.anyio

SECONDS = 0.5
BOMB = gzip.compress(bytes(20_000_000))
NAME, OTHER_NAME = "push.example", "other.example"

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


def once(data: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return say


def again_and_again(data: bytes, *, begin: bytes = b"", pause: float = 0) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause)

    return say


@contextlib.asynccontextmanager
async def host(say: Say, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that reads the head of a request, says its piece and closes; the port."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await say(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


async def ask(port: int, *, seconds: float = 30) -> Answer | NoAnswer:
    origin = f"http://127.0.0.1:{port}"
    http = HttpClient(connect_seconds=seconds, answer_seconds=seconds, endpoints=Endpoints([origin]))
    try:
        return await http.post(f"{origin}/topic", content=b"{}", headers={})
    finally:
        await http.close()


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        pytest.param(
            again_and_again(bytes(65536), begin=HEAD + b"Content-Length: 10000000000\r\n\r\n"),
            "answer too large",
            id="ten gigabytes",
        ),
        pytest.param(
            again_and_again(b"fff\r\n" + bytes(4095) + b"\r\n", begin=HEAD + ENDLESS), "answer too large", id="endless"
        ),
        pytest.param(
            again_and_again(b"1;" + b"x" * 4000 + b"\r\nx\r\n", begin=HEAD + ENDLESS),
            "answer too large",
            id="endless extensions",
        ),
        pytest.param(
            again_and_again(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "answer too large", id="endless early hints"
        ),
        pytest.param(once(HEAD + ENDLESS + b"1\r\nx\r\n" * 5000), "answer too large", id="a body in crumbs"),
        pytest.param(
            again_and_again(b"X-Filler: " + b"x" * 4000 + b"\r\n", begin=HEAD), "connection broken", id="endless head"
        ),
        pytest.param(once(b"SSH-2.0-OpenSSH_9.6\r\n"), "connection broken", id="no http"),
        pytest.param(once(b""), "connection broken", id="nothing"),
        pytest.param(once(HEAD + b"Content-Length: 10\r\n\r\nshort"), "connection broken", id="cut short"),
        pytest.param(
            once(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "connection broken", id="two lengths"
        ),
    ],
)
async def test_a_broken_answer_is_none(say: Say, reason: str) -> None:
    async with host(say) as port:
        assert await ask(port) == NoAnswer(reason)


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(again_and_again(b"x", pause=0.05), id="a head by single bytes"),
        pytest.param(
            again_and_again(b"x", begin=HEAD + b"Content-Length: 60000\r\n\r\n", pause=0.05),
            id="a body by single bytes",
        ),
        pytest.param(again_and_again(b"", pause=0.05), id="silence"),
    ],
)
async def test_a_slow_answer_is_cut_off(say: Say) -> None:
    async with host(say) as port:
        async with asyncio.timeout(PATIENCE):
            assert await ask(port, seconds=SECONDS) == NoAnswer("timed out")


async def test_a_thousand_interim_answers_are_passed_over() -> None:
    async with host(once(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + b"HTTP/1.1 204 No Content\r\n\r\n")) as port:
        answer = await ask(port)
    assert isinstance(answer, Answer)
    assert answer.status == 204


async def test_a_redirection_is_not_followed() -> None:
    asked: list[bool] = []

    async def note(_: asyncio.StreamWriter) -> None:
        asked.append(True)

    async with host(note) as inside:
        location = b"Location: http://127.0.0.1:%d/\r\n" % inside
        async with host(once(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\n\r\n")) as port:
            answer = await ask(port)
    assert isinstance(answer, Answer)
    assert (answer.status, asked) == (302, [])


async def test_a_compressed_answer_stays_as_it_came() -> None:
    assert len(BOMB) < MAX_ANSWER_BYTES
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)
    async with host(once(head + BOMB)) as port:
        answer = await ask(port)
    assert isinstance(answer, Answer)
    assert answer.body == BOMB


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder: Path = tmp_path_factory.mktemp("tls")
    return own_certificate(folder, NAME)


async def test_tls_is_for_the_name_though_the_connection_goes_to_the_address(certificate: Certificate) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.settings["cert"], certificate.settings["key"])
    named: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: named.append(name)

    async def resolve(_name: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with host(once(HEAD + b"Content-Length: 0\r\n\r\n"), server) as port:
        origins = [f"https://{name}:{port}" for name in (NAME, OTHER_NAME)]
        endpoints = Endpoints(origins, resolve=resolve)
        http, strict = HttpClient(endpoints=endpoints, tls=certificate.trust), HttpClient(endpoints=endpoints)
        try:
            right = await http.post(f"{origins[0]}/", content=b"", headers={})
            assert isinstance(right, Answer)
            assert right.status == 200
            # The certificate is not this name's, nor is a connection to the same address that another name has opened.
            assert await http.post(f"{origins[1]}/", content=b"", headers={}) == NoAnswer("cannot connect")
            assert await strict.post(f"{origins[0]}/", content=b"", headers={}) == NoAnswer("cannot connect")
        finally:
            await http.close()
            await strict.close()
    assert named == [NAME, OTHER_NAME, NAME]
