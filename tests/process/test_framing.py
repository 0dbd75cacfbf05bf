# SPDX-License-Identifier: Apache-2.0
"""Requests whose framing or head is wrong: refused or cut, and never taken for two."""

import json
from collections.abc import Iterator

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, JSON, Answer, chunked, provoke, read_answer, request
from tests.process.wires import BOTH_WIRES
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server

pytestmark = [ON_SQLITE, BOTH_WIRES]

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
    "chunks in HTTP/1.0": b"POST /v1/register HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "the same length twice": post("Content-Length: 2", "Content-Length: 2", rest=b"{}" + SMUGGLED),
    "a list of the same length": post("Content-Length: 2, 2", rest=b"{}" + SMUGGLED),
    "chunked, then nothing": post("Transfer-Encoding: chunked,", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked under another name": post("Transfer-Encoding : chunked", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked on a folded line": post("Transfer-Encoding:\r\n chunked", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunk lines that end with a line feed": post(CHUNKED, rest=b"5\n12345\n0\n\n" + SMUGGLED),
    "a chunk line that ends with a carriage return": post(CHUNKED, rest=b"5\r12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size with a blank behind it": post(CHUNKED, rest=b"5 \r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size with an underscore": post(CHUNKED, rest=b"1_0\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk without a size": post(CHUNKED, rest=b";a=b\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk extension with a line feed": post(CHUNKED, rest=b"5;a=\n\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk extension of 4 KB": post(CHUNKED, rest=b"1;" + b"a" * 4096 + b"\r\n1\r\n0\r\n\r\n" + SMUGGLED),
    "40 KB of chunk extensions": post(CHUNKED, rest=(b"1;" + b"a" * 100 + b"\r\n1\r\n") * 400 + b"0\r\n\r\n"),
    "40 KB of trailers": post(CHUNKED, rest=b"0\r\n" + (b"X: " + b"a" * 100 + b"\r\n") * 400 + b"\r\n"),
    "a trailer of 40 KB": post(CHUNKED, rest=b"0\r\nX: " + b"a" * 40_000 + b"\r\n\r\n"),
    "a trailer without a colon": post(CHUNKED, rest=b"0\r\nnonsense\r\n\r\n" + SMUGGLED),
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
    "a host with a user": b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a host with two ports": b"GET /healthz HTTP/1.1\r\nHost: a:1:2\r\n\r\n",
    "a list of hosts": b"GET /healthz HTTP/1.1\r\nHost: a,b\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "another version": b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n",
    "version 0.9": b"GET /healthz HTTP/0.9\r\nHost: x\r\n\r\n",
    "version 2.0": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "another protocol": b"GET /healthz ICE/1.0\r\nHost: x\r\n\r\n",
    "the protocol of cameras": b"GET /healthz RTSP/1.0\r\nHost: x\r\n\r\n",
    "the protocol in small letters": b"GET /healthz http/1.1\r\nHost: x\r\n\r\n",
    "two blanks in the first line": b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank behind the first line": b"GET /healthz HTTP/1.1 \r\nHost: x\r\n\r\n",
    "a tab in the first line": b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank before the first header": b"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n",
    "a bare line feed between headers": b"GET /healthz HTTP/1.1\r\nHost: x\nX: a\r\n\r\n",
    "a bare carriage return between headers": b"GET /healthz HTTP/1.1\r\nHost: x\rX: a\r\n\r\n",
    "a header without a name": get(": a"),
    "a space in the path": get(path="/health z"),
    "a path that begins elsewhere": get(path="healthz"),
    "an absolute path without a host": get(path="http:///healthz"),
    "an absolute path whose host is none": get(path="http://["),
    "an absolute path with a user": get(path="http://a@b/healthz"),
    "an absolute path of another kind": get(path="ftp://x/healthz"),
    "a star that asks for no options": get(path="*"),
    "a path beyond ASCII": get(path="/\xe9"),
    "nine empty lines": b"\r\n" * 9 + get(),
    "a million bytes of noise": bytes(range(128, 256)) * 8000,
    "a million empty lines": b"\r\n" * 500_000,
    "a TLS hello": bytes.fromhex("160301020001000001fc0303") + bytes(20_000),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a length with a letter behind it": post("Content-Length: 5x", rest=b"12345" + SMUGGLED),
    "a length behind a vertical tab": post("Content-Length: \x0b5", rest=b"12345" + SMUGGLED),
    "a length in quotes": post('Content-Length: "5"', rest=b"12345" + SMUGGLED),
    "a length of two numbers": post("Content-Length: 5 5", rest=b"12345" + SMUGGLED),
    "a length before its line is whole": post("Content-Length: 5\r", rest=b"12345" + SMUGGLED),
    "a length and the same under another case": post("Content-Length: 2", "content-length: 5", rest=b"{}" + SMUGGLED),
    "chunks and an empty length": post(CHUNKED, "Content-Length:", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked in quotes": post('Transfer-Encoding: "chunked"', rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked behind a vertical tab": post("Transfer-Encoding: \x0bchunked", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked with a parameter": post("Transfer-Encoding: chunked;q=1", rest=b"0\r\n\r\n" + SMUGGLED),
    "an empty transfer coding": post("Transfer-Encoding:", rest=b"0\r\n\r\n" + SMUGGLED),
    "an empty coding, then chunked": post("Transfer-Encoding: , chunked", rest=b"0\r\n\r\n" + SMUGGLED),
    "chunked, identity": post("Transfer-Encoding: chunked, identity", rest=b"0\r\n\r\n" + SMUGGLED),
    "a chunk size that is a word": post(CHUNKED, rest=b"Z\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a signed chunk size": post(CHUNKED, rest=b"+5\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "an empty chunk size": post(CHUNKED, rest=b"\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size behind a line break": post(CHUNKED, rest=b"\r\n5\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a carriage return before an extension": post(CHUNKED, rest=b"5\r;a\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a NUL in an extension": post(CHUNKED, rest=b"5;a=\0\r\n12345\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk that ends with a line feed": post(CHUNKED, rest=b"5\r\n12345\n0\r\n\r\n" + SMUGGLED),
    "a chunk with two bytes for its end": post(CHUNKED, rest=b"5\r\n12345XX0\r\n\r\n" + SMUGGLED),
    "a last chunk that ends with a line feed": post(CHUNKED, rest=b"5\r\n12345\r\n0\n\r\n" + SMUGGLED),
    "a trailer that ends with a line feed": post(CHUNKED, rest=b"0\r\nX: a\n\r\n" + SMUGGLED),
    "a folded trailer": post(CHUNKED, rest=b"0\r\nX: a\r\n b\r\n\r\n" + SMUGGLED),
    "a header that begins with a tab": b"GET /healthz HTTP/1.1\r\n\tHost: x\r\n\r\n",
    "a name beyond ASCII": get("\xffoo: a"),
    "a name in brackets": get("(X): a"),
    "a name in quotes": get('"X": a'),
    "a delete character in a value": get("X: a\x7f"),
    "two carriage returns at a line's end": get("X: a\r"),
    "a method of odd letters": b'G=":<>(e),[T];?" /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
    "no method": b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version of three digits": b"GET /healthz HTTP/1.32\r\nHost: x\r\n\r\n",
    "a version with a word behind it": b"GET /healthz HTTP/1.1x\r\nHost: x\r\n\r\n",
    "two versions": b"GET /healthz HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a line feed in the first line": b"GET /healthz\nHTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in the path": get(path="/healthz\0"),
    "a host with a blank": b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a host whose port is a word": b"GET /healthz HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "a host in an open bracket": b"GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "7,000 parameters": get(path="/v1/inbox?" + "a&" * 7000),
}


@pytest.fixture(autouse=True)
def _nobody_is_harmed(server: Server) -> Iterator[None]:
    with unharmed(server):
        yield


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_framed_is_answered_400_once_and_closed(server: Server, raw: bytes) -> None:
    (answer,) = provoke(server, raw)
    assert answer.refusal == (400, "malformed_request")
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] == json.loads(answer.body)["request_id"]
    assert raw[-20:] not in answer.body


TOO_LARGE = {
    "a header of 20 KB": get("X: " + "a" * 20_000),
    "2,000 headers": get(*(f"X-{number}: a" for number in range(2000))),
    "a path of 64 KB": get(path="/" + "a" * 65_536),
    "a method of 20 KB": b"A" * 20_000 + b" / HTTP/1.1\r\n\r\n",
    "a header that does not end": get("X: " + "a" * 20_000)[:-4],
}


@pytest.mark.parametrize("raw", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_head_without_measure_is_answered_431_and_closed(server: Server, raw: bytes) -> None:
    (answer,) = provoke(server, raw)
    assert answer.refusal == (431, "headers_too_large")
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]


def test_a_chunk_size_line_without_end_is_refused_before_it_ends(server: Server) -> None:
    (answer,) = provoke(server, post(CHUNKED, rest=b"0" * 5000))
    assert answer.refusal == (400, "malformed_request")


TAKEN = {
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "HTTP/1.0 that stays": (
        b"GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + b"GET /healthz HTTP/1.0\r\n\r\n",
        [200, 200],
    ),
    "HTTP/1.0 with a host": (b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", [200]),
    "HTTP/1.7": (b"GET /healthz HTTP/1.7\r\nHost: x\r\nConnection: close\r\n\r\n", [200]),
    "a body where none is wanted": (request("GET", "/healthz", CLOSE, body=b"12345"), [200]),
    "three at once": (SMUGGLED + SMUGGLED + get(), [200, 200, 200]),
    "fifty at once": (SMUGGLED * 49 + get(), [200] * 50),
    "a method override": (get("X-HTTP-Method-Override: DELETE"), [200]),
    "5,000 escaped letters": (get(path="/" + "%41" * 5000), [404]),
    "an absolute path": (get(path="http://x/healthz"), [200]),
    "an absolute path, its scheme in capitals": (get(path="HTTPS://x:8443/healthz"), [200]),
    "an absolute path of a host alone": (get(path="http://x"), [200]),
    "an absolute path with a query": (get(path="http://x/healthz?a=b"), [200]),
    "options of everything": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [404]),
    "a tunnel": (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nConnection: close\r\n\r\n", [404]),
    "an unknown method": (request("BREW", "/healthz", CLOSE), [405]),
    "an unknown method with a body": (request("BREW", "/healthz", CLOSE, body=b"12345"), [405]),
    "a chunked body": (post(CHUNKED, CLOSE, rest=b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), [422]),
    "a chunked body in capitals": (post("TRANSFER-ENCODING: CHUNKED", CLOSE, rest=b"2\r\n{}\r\n0\r\n\r\n"), [422]),
    "chunk extensions": (post(CHUNKED, CLOSE, rest=b'2;a;b=c;d="e f"\r\n{}\r\n0;z\r\n\r\n'), [422]),
    "a blank before a chunk extension": (post(CHUNKED, CLOSE, rest=b"2 ;a=b\r\n{}\r\n0\r\n\r\n"), [422]),
    "a chunk size with zeros before it": (post(CHUNKED, CLOSE, rest=b"0002\r\n{}\r\n000\r\n\r\n"), [422]),
    "trailers, which are dropped": (
        post(CHUNKED, CLOSE, rest=b"2\r\n{}\r\n0\r\nContent-Type: text/xml\r\nX: a\r\n\r\n"),
        [422],
    ),
    "a chunked body and another request": (post(CHUNKED, rest=b"2\r\n{}\r\n0\r\n\r\n") + get(), [422, 200]),
    "empty lines before a request": (b"\r\n\r\n" + SMUGGLED + b"\r\n" + get(), [200, 200]),
    "a header with no value": (get("X:"), [200]),
    "blanks around a value": (get("X: \t a \t "), [200]),
    "a value beyond ASCII": (get("X: \xe9\xff"), [200]),
    "a name of odd letters": (get("!#$%&'*+-.^_`|~9: a"), [200]),
    "an address for a host": (b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", [200]),
    "an empty host": (b"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", [200]),
    "a list that ends the connection": (get("Connection: foo, Close"), [200]),
    "a length under another name": (get("Content_Length: 5"), [200]),
    "a coding under another name": (get("Transfer_Encoding: chunked"), [200]),
    "a length of zeros": (post("Content-Length: 0002", CLOSE, rest=b"{}"), [422]),
    "blanks around chunked": (post("Transfer-Encoding: \t chunked \t", CLOSE, rest=b"2\r\n{}\r\n0\r\n\r\n"), [422]),
    "a capital chunk size": (post(CHUNKED, CLOSE, rest=b"A\r\n{        }\r\n0\r\n\r\n"), [422]),
    "a method in small letters": (request("get", "/healthz", CLOSE), [405]),
    "a hundred headers": (get(*[f"X-{number}: a" for number in range(100)]), [200]),
    "an expectation that nobody knows": (get("Expect: the unexpected"), [200]),
}


@pytest.mark.parametrize(("raw", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_what_is_odd_but_clear_is_answered(server: Server, raw: bytes, expected: list[int]) -> None:
    found: list[Answer] = provoke(server, raw)
    assert [answer.status for answer in found] == expected


@pytest.mark.parametrize("upgrade", ["h2c", "TLS/1.2", "websocket", "foo, bar"])
@pytest.mark.parametrize("body", [b'{"a":1}', b""], ids=["a body", "no body"])
def test_an_upgrade_that_is_none_is_ignored_and_its_body_is_not(server: Server, upgrade: str, body: bytes) -> None:
    asks = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAAP__")
    whole = request("POST", "/v1/register", JSON, *asks, body=body)
    in_chunks = post(*asks, CHUNKED, rest=chunked([body[:3], body[3:]]))
    answers = provoke(server, whole + in_chunks + whole + get())
    assert [answer.status for answer in answers] == [422, 422, 422, 200]
    assert len({json.dumps(json.loads(answer.body)["errors"]) for answer in answers[:3]}) == 1


def test_an_upgrade_whose_body_comes_in_pieces_is_answered(server: Server) -> None:
    raw = request("POST", "/v1/register", JSON, "Connection: close, Upgrade", "Upgrade: h2c", body=b'{"nickname": 5}')
    with server.connect() as connection:
        for at in range(len(raw)):
            connection.sendall(raw[at : at + 1])
        answer = read_answer(connection)
    assert answer
    assert answer.status == 422


@pytest.mark.parametrize("word", ["100-continue", "100-Continue"])
def test_a_body_that_waits_to_be_asked_for_is_asked_for(server: Server, word: str) -> None:
    with server.connect() as connection:
        connection.sendall(request("POST", "/v1/register", JSON, f"Expect: {word}", "Content-Length: 2", CLOSE))
        asked = connection.recv(1000)
        assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        answer = read_answer(connection)
    assert answer
    assert answer.status == 422
