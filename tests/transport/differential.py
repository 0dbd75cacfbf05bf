# SPDX-License-Identifier: Apache-2.0
"""Requests made at random, read by our parser, by h11 and by Tornado's: who takes what, and what each makes of it.

Where ours takes a request that another refuses, or reads it in another way, `JUDGED` says why the RFC is with ours.
Where ours refuses what another takes there is nothing to fear: nobody reads two requests where there is one.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import h11
from tornado.httputil import HTTPHeaders, HTTPInputError, parse_request_start_line

from models.errors import MalformedRequest
from transport.body import Body, ChunkedBody, FixedBody
from transport.head import parse

JUDGED: dict[str, Callable[[bytes], object]] = {
    # h11 wants an authority for everything and no more than VCHAR in it; RFC 9112, 3.2.3: CONNECT names host and port.
    "a host that h11 does not know": re.compile(rb"(?i)\r\nhost:[ \t]*[^\r]*[%!$&'()*+;=~]").search,
    # RFC 9112, 7.1.1: a recipient must be able to parse and skip chunk extensions; bad white space may come before one.
    "a chunk extension": re.compile(rb"\n[0-9A-Fa-f]+[ \t]*;").search,
    # RFC 9112, 2.3: a higher minor version is read as the highest that is known.
    "a minor version": re.compile(rb"HTTP/1\.[2-9]").search,
    # RFC 9112, 2.2: an empty line before a request is to be ignored.
    "empty lines first": re.compile(rb"^\r\n").match,
    # RFC 9112, 7.1: a chunk's size has as many digits as it likes, zeros among them.
    "a long chunk size": re.compile(rb"\n0{5,}[0-9A-Fa-f]*[\r;]").search,
    # RFC 9112, 6.3 and 7.1.2: Tornado knows no trailers; they are a part of the message all the same.
    "trailers": re.compile(rb"\n0+[^\r\n]*\r\n[^\r\n]").search,
}


@dataclass(frozen=True)
class Reading:
    """What one reader makes of the bytes: the first request, and what it leaves. `error` where it takes none."""

    method: bytes = b""
    target: bytes = b""
    body: bytes = b""
    rest: bytes = b""
    error: bool = False
    incomplete: bool = False


REFUSED = Reading(error=True)
INCOMPLETE = Reading(incomplete=True)


def ours(raw: bytes, chance: random.Random) -> Reading:
    """By the parser of the transport, its body fed in random pieces."""
    start = raw.lstrip(b"\r\n") if raw.startswith(b"\r\n") else raw
    head, end, rest = start.partition(b"\r\n\r\n")
    if not end:
        return INCOMPLETE
    try:
        found = parse(head)
        body: Body = ChunkedBody() if found.length is None else FixedBody(found.length)
        content, left = in_pieces(body, rest, chance)
    except MalformedRequest:
        return REFUSED
    if not body.ended:
        return INCOMPLETE
    return Reading(found.method.encode(), found.target.encode("latin-1"), content, left)


def in_pieces(body: Body, raw: bytes, chance: random.Random) -> tuple[bytes, bytes]:
    unread, at, content = bytearray(), 0, b""
    while not body.ended and at < len(raw):
        size = chance.choice((1, 2, 3, 7, 50, len(raw)))
        unread += raw[at : at + size]
        at += size
        before = -1
        while not body.ended and unread and len(unread) != before:
            before = len(unread)
            content += body.take(unread)
    return content, bytes(unread) + raw[at:]


def by_h11(raw: bytes) -> Reading:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    connection.receive_data(raw)
    method = target = content = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target = bytes(event.method), bytes(event.target)
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Reading(method, target, content, bytes(connection.trailing_data[0]))
            else:
                return INCOMPLETE
    except h11.RemoteProtocolError:
        return REFUSED


def by_tornado(raw: bytes) -> Reading:
    """Its heads alone: a body there is read from a stream. The lengths are as its connection reads them."""
    found = re.search(rb"\r?\n\r?\n", raw)
    if not found:
        return INCOMPLETE
    text = raw[: found.end()].decode("latin-1").lstrip("\r\n")
    line, _, rest = text.partition("\n")
    try:
        start = parse_request_start_line(line.rstrip("\r"))
        headers = HTTPHeaders.parse(rest)
    except HTTPInputError:
        return REFUSED
    if "Transfer-Encoding" in headers and "Content-Length" in headers:
        return REFUSED
    return Reading(start.method.encode(), start.path.encode("latin-1"))


NAMES = [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"X", b"x-y", b"Upgrade", b"TE"]
VALUES = [b"x", b"0", b"5", b"chunked", b"Chunked", b"gzip, chunked", b"close", b"a:80", b"[::1]", b"", b"100-continue"]
VALUES += [b"+5", b"5, 5", b"0x5", b"h2c", b"a b", b"\xe9", b"a,b", b"keep-alive", b"chunked, identity", b"007"]
TARGETS = [b"/", b"/a?b=c"] * 8 + [
    b"*",
    b"http://a/b",
    b"a:80",
    b"//",
    b"/%41",
    b"http://",
    b"/\xe9",
    b"/a b",
    b"HTTP://A",
]
METHODS = [b"GET", b"POST"] * 8 + [b"OPTIONS", b"CONNECT", b"get", b"M-SEARCH", b"G(T", b"", b"A" * 30]
VERSIONS = [b"HTTP/1.1"] * 40 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"ICE/1.0", b""]
ENDS = [b"\r\n"] * 200 + [b"\n", b"\r", b"\r\n ", b"\r\r\n", b"\n\r", b" \r\n", b"\t\r\n"]
COLONS = [b": "] * 60 + [b":", b" : ", b":\t", b":  ", b"", b"\t: "]
SIZES = [b"5"] * 8 + [
    b"5",
    b"0",
    b"05",
    b"A",
    b"a",
    b"-1",
    b"0x5",
    b"5 ",
    b" 5",
    b"5;a=b",
    b"5 ;a",
    b'5;a="b"',
    b"000000000000005",
]
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


def request(chance: random.Random) -> bytes:
    """A request that is nearly right, and another behind it."""
    pick = chance.choice
    headers = [(b"Host", b"x")] if chance.random() < 0.9 else []
    headers += [(pick(NAMES), pick(VALUES)) for _ in range(pick((0, 0, 1, 2)))]
    framing = chance.randrange(4)
    body = pick((b"", b"12345", b"1234567"))
    if framing == 1:
        headers.append((b"Content-Length", b"%d" % len(body)))
    elif framing == 2:
        headers.append((b"Transfer-Encoding", b"chunked"))
        body = chunks(chance)
    chance.shuffle(headers)
    first = b"\r\n" if chance.random() < 0.03 else b""
    line = pick(METHODS) + pick((b" ",) * 60 + (b"  ", b"\t")) + pick(TARGETS) + b" " + pick(VERSIONS)
    raw = first + line + pick(ENDS)
    raw += b"".join(name + pick(COLONS) + value + pick(ENDS) for name, value in headers) + pick(ENDS)
    raw += body + NEXT
    return mutated(raw, chance) if chance.random() < 0.2 else raw


def chunks(chance: random.Random) -> bytes:
    found = b""
    for _ in range(chance.randrange(3)):
        found += (chance.choice(SIZES) if chance.random() < 0.5 else b"5") + chance.choice(ENDS)
        found += b"12345" + chance.choice(ENDS)
    trailer = b"X: y\r\n" if chance.random() < 0.2 else b""
    return found + b"0" + chance.choice(ENDS) + trailer + chance.choice(ENDS)


def mutated(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    return (
        raw[:at] + chance.choice((b"", b"\0", b"\n", b"\r", b" ", b"\x7f", b"\xff", b":", b";", b"0")) + raw[at + 1 :]
    )


def disagreements(count: int, seed: int) -> tuple[Counter[str], list[bytes]]:
    """How often who took what, and the requests that ours takes otherwise than another without a word of the RFC."""
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    found: list[bytes] = []
    for _ in range(count):
        raw = request(chance)
        own = ours(raw, chance)
        if own.error or own.incomplete:
            seen["not taken"] += 1
            continue
        seen["taken"] += 1
        if not agrees(own, by_h11(raw), by_tornado(raw)):
            reasons = [name for name, tells in JUDGED.items() if tells(raw)]
            seen.update(reasons)
            if not reasons:
                found.append(raw)
    return seen, found


def agrees(own: Reading, others: Reading, tornados: Reading) -> bool:
    """Bodies and what follows must be the same; a target in absolute form is h11's as it came."""
    if others.error or others.incomplete or tornados.error:
        return False
    if (own.method, own.body, own.rest) != (others.method, others.body, others.rest):
        return False
    return own.method == tornados.method


if __name__ == "__main__":
    import sys

    tally, strange = disagreements(int(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for name, number in tally.most_common():
        print(f"{number:9} {name}")
    for each in strange[:20]:
        print(each, by_h11(each), by_tornado(each))
    print(len(strange), "without a reason")
    sys.exit(bool(strange))
