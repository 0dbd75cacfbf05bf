# SPDX-License-Identifier: Apache-2.0
"""Requests whose framing or head is wrong: refused or cut, and never taken for two."""

from collections.abc import Iterator

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, JSON, Answer, provoke, request
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server

pytestmark = ON_SQLITE

SMUGGLED = request("GET", "/readyz")
CHUNKED = "Transfer-Encoding: chunked"


def post(*headers: str, rest: bytes) -> bytes:
    return request("POST", "/v1/register", JSON, *headers) + rest


def get(*headers: str, path: str = "/healthz") -> bytes:
    return request("GET", path, *headers, CLOSE)


REFUSED = {
    "length and chunks": post("Content-Length: 5", CHUNKED, rest=b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": post(CHUNKED, "Content-Length: 5", rest=b"0\r\n\r\n" + SMUGGLED),
    "gzip, chunked": post("Transfer-Encoding: gzip, chunked", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked, chunked": post(CHUNKED, CHUNKED, rest=b"0\r\n\r\n" + SMUGGLED),
    "xchunked": post("Transfer-Encoding: xchunked", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked and a vertical tab": post(CHUNKED + "\x0b", rest=b"0\r\n\r\n" + SMUGGLED),
    "identity": post("Transfer-Encoding: identity", rest=SMUGGLED),
    "two lengths": post("Content-Length: 0", "Content-Length: 6", rest=SMUGGLED),
    "a list of lengths": post("Content-Length: 0, 6", rest=SMUGGLED),
    "a signed length": post("Content-Length: +5", rest=b"12345" + SMUGGLED),
    "a negative length": post("Content-Length: -1", rest=SMUGGLED),
    "a hexadecimal length": post("Content-Length: 0x5", rest=b"12345" + SMUGGLED),
    "a length with an underscore": post("Content-Length: 5_0", rest=b"12345" + SMUGGLED),
    "a length of 5,000 digits": post("Content-Length: " + "9" * 5000, rest=b"12345" + SMUGGLED),
    "a length of Arabic digits": post("Content-Length: \xd9\xa5", rest=b"12345" + SMUGGLED),
    "an empty length": post("Content-Length: ", rest=SMUGGLED),
    "a fractional length": post("Content-Length: 5.0", rest=b"12345" + SMUGGLED),
    "a chunk size 0x5": post(CHUNKED, rest=b"0x5\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk extension": post(CHUNKED, rest=b"5;ext=a\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size after a space": post(CHUNKED, rest=b" 5\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a negative chunk size": post(CHUNKED, rest=b"-5\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk longer than said": post(CHUNKED, rest=b"5\r\n123456\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk larger than memory": post(CHUNKED, rest=b"f" * 40 + b"\r\n12345"),
    "a NUL in a value": get("X: a\0b"),
    "a NUL in a name": get("X\0: a"),
    "a control character in a name": get("X\x01: a"),
    "a space before the colon": get("X : a"),
    "a carriage return in a value": get("X: a\rb"),
    "a folded header": get("X: a\r\n b"),
    "a header without a colon": get("nonsense"),
    "two hosts": get("Host: y"),
    "a host with a slash": b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "another version": b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n",
    "a space in the path": get(path="/health z"),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "7,000 parameters": get(path="/v1/inbox?" + "a&" * 7000),
}


@pytest.fixture(autouse=True)
def _nobody_is_harmed(server: Server) -> Iterator[None]:
    with unharmed(server):
        yield


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_framed_is_answered_400_once_and_closed(server: Server, raw: bytes) -> None:
    (answer,) = provoke(server, raw)
    assert answer.status == 400
    assert answer.body == b"" or answer.code == "malformed_request"


CUT = {
    "a chunk size line without end": post(CHUNKED, rest=b"0" * 100 + b"5\r\n12345\r\n0\r\n\r\n"),
    "a header of 20 KB": get("X: " + "a" * 20_000),
    "2,000 headers": get(*(f"X-{number}: a" for number in range(2000))),
    "a path of 64 KB": get(path="/" + "a" * 65_536),
    "a million bytes of noise": bytes(range(128, 256)) * 8000,
    "a million empty lines": b"\r\n" * 500_000,
}


@pytest.mark.parametrize("raw", CUT.values(), ids=CUT.keys())
def test_a_head_without_measure_is_cut(server: Server, raw: bytes) -> None:
    assert all(answer.status == 400 for answer in provoke(server, raw))


def test_a_tls_hello_on_the_plain_port_is_cut_when_its_patience_ends(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(bytes.fromhex("160301020001000001fc0303") + bytes(20_000))
        assert connection.recv(100) == b""


TAKEN = {
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n", [200]),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "the same length twice": (post("Content-Length: 2", "Content-Length: 2", CLOSE, rest=b"{}"), [422]),
    "a body where none is wanted": (request("GET", "/healthz", CLOSE, body=b"12345"), [200]),
    "three at once": (SMUGGLED + SMUGGLED + get(), [200, 200, 200]),
    "a method override": (get("X-HTTP-Method-Override: DELETE"), [200]),
    "5,000 escaped letters": (get(path="/" + "%41" * 5000), [404]),
    "an absolute path": (get(path="http://x/healthz"), [200]),
    "a chunked body": (post(CHUNKED, CLOSE, rest=b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), [422]),
}


@pytest.mark.parametrize(("raw", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_what_is_odd_but_clear_is_answered(server: Server, raw: bytes, expected: list[int]) -> None:
    found: list[Answer] = provoke(server, raw)
    assert [answer.status for answer in found] == expected
