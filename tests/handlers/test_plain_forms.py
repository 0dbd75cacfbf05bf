# SPDX-License-Identifier: Apache-2.0
"""What reads plain forms at once says of every form what `multipart` says, or leaves it to that."""

import random
from collections.abc import Iterable

import pytest

from handlers.forms import Event, FormReader, Part
from models.errors import MalformedRequest

FORMS = 100_000
MAX_PARTS = 4
BOUNDARIES = ("b", "frontier", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "-" * 24 + "d74496d66958873e", "--", "a-b'c(d)")
NAMES = ("img_file", "receiver_uid", "caption", "_charset_", "", "a b", "n\xe4me", "x" * 64, "x" * 65)
FILES = (
    "",
    '; filename="x.jpg"',
    "; filename=x.jpg",
    '; filename="a; name=b.jpg"',
    '; name="c"',
    '; filename="a\\"b"',
    '; filename="50%25"',
    '; filename=""',
)
MORE = (
    *("", "", "", "Content-Type: image/jpeg\r\n", "Content-Type: text/plain; charset=gbk\r\n", "X: y\r\n"),
    *("content-type: image/png\r\n", "Content-Length: 3\r\n", "Content-Type: image/jpeg\n", "nonsense\r\n"),
)
ODD = ("\r\n", "\r", "\n", "--", "-", " ", "\t", "\0", "\r\n--", "\xff", ";", '"', ":", "\r\n\r\n")


def some_form(chance: random.Random, boundary: str) -> bytes:
    """A form, plain in about one of three cases; anything may be wrong with the others."""
    plain = chance.random() < 0.4
    parts = [_part(chance, boundary, plain=plain) for _ in range(chance.randrange(MAX_PARTS + (1 if plain else 2)))]
    text = "".join(parts) + f"--{boundary}--" + chance.choice(("\r\n", "\r\n", "", "\r\nmore", " ", "x"))
    if not plain:
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice((*ODD, f"\r\n--{boundary}")) + text[at + chance.randrange(4) :]
    return text.encode("latin-1")


def _part(chance: random.Random, boundary: str, *, plain: bool) -> str:
    name, file, more = (chance.choice(each[: 3 if plain else None]) for each in (NAMES, FILES, MORE))
    content = "".join(
        chance.choice((*ODD, boundary, f"\r\n--{boundary[:-1]}", "word")) for _ in range(chance.randrange(4))
    )
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n{content}\r\n'


def told(events: Iterable[Event]) -> list[tuple[str, str | None, bytes]] | str:
    """Names, charsets and contents, whatever the pieces; or what is wrong."""
    found: list[tuple[str, str | None, bytes]] = []
    try:
        for event in events:
            if isinstance(event, Part):
                found.append((event.name, event.charset, b""))
            elif event is not None:
                name, charset, content = found.pop()
                found.append((name, charset, content + event))
    except MalformedRequest as error:
        return error.detail
    return found


def by_multipart(boundary: str, body: bytes) -> Iterable[Event]:
    reader = FormReader(boundary, max_parts=MAX_PARTS)
    yield from reader.feed(body)
    reader.end()


def test_both_say_the_same() -> None:
    chance, plain = random.Random(18), 0
    for _ in range(FORMS):
        boundary = chance.choice(BOUNDARIES)
        body = some_form(chance, boundary)
        reader = FormReader(boundary, max_parts=MAX_PARTS)
        plain += reader._plain_parts(body) is not None
        assert told(reader.whole(body)) == told(by_multipart(boundary, body)), (boundary, body)
    assert plain > FORMS / 10


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_form_as_browsers_write_it_is_read_at_once(kind: type[bytes] | type[bytearray]) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="receiver_uid"\r\n\r\n2\r\n'
        b'--b\r\nContent-Disposition: form-data; name="img_file"; filename="x.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\r\n--\r\n--b--\r\n"
    )
    found = FormReader("b", max_parts=2)._plain_parts(kind(body))
    assert found == [Part("receiver_uid"), b"2", None, Part("img_file"), b"\xff\xd8\r\n--", None]
    assert FormReader("b", max_parts=1)._plain_parts(body) is None
