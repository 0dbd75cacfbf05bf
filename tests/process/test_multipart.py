# SPDX-License-Identifier: Apache-2.0
"""Forms that lie, are cut, flood or hide something: refused whole, whatever pieces they come in."""

import socket
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.process.hostile_forms import HEADER, VALID, spoiled
from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import (
    BOUNDARY,
    CLOSE,
    FORM,
    Answer,
    by,
    chunked,
    form,
    image_part,
    part,
    provoke,
    read_answer,
    request,
)
from tests.process.wires import BOTH_WIRES, running_on
from tests.support.harness import Person, Server
from tests.support.pictures import gif, jpeg, png

pytestmark = BOTH_WIRES

END = f"--{BOUNDARY}--\r\n".encode()
PICTURE = jpeg(3000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, wire: str) -> Iterator[Server]:
    settings_ = {"limits": {"enabled": False}, "inbox": {"max_pending": 1_000_000}, "images": {"metadata": "keep"}}
    with running_on(wire, tmp_path_factory.mktemp("server"), settings_) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="module")
def sender(server: Server) -> Person:
    return server.register("Ann")


@pytest.fixture(scope="module")
def receiver(server: Server) -> Person:
    return server.register("Ben")


def send(server: Server, sender: Person, body: bytes, content_type: str = FORM) -> Answer:
    (answer,) = provoke(server, request("POST", "/v1/images", by(sender), content_type, CLOSE, body=body))
    return answer


def typed(boundary: str) -> str:
    return f"Content-Type: multipart/form-data; boundary={boundary}"


TO = part("receiver_uid", b"2")
IMAGE = image_part(PICTURE)

REFUSED = {
    "no boundary": ("Content-Type: multipart/form-data", form(TO, IMAGE), (400, "malformed_request")),
    "an empty boundary": (typed('""'), form(TO, IMAGE), (400, "malformed_request")),
    "a boundary of 5 KB": (typed("b" * 5000), form(TO, IMAGE), (400, "malformed_request")),
    "another boundary": (typed("another"), form(TO, IMAGE), (400, "malformed_request")),
    "a boundary in UTF-8": (typed("\xc3\xa9"), form(TO, IMAGE), (400, "malformed_request")),
    "another type": ("Content-Type: application/octet-stream", PICTURE, (415, "unsupported_type")),
    "a related form": (FORM.replace("form-data", "related"), form(TO, IMAGE), (415, "unsupported_type")),
    "nothing": (FORM, b"", (400, "malformed_request")),
    "only the end": (FORM, END, (422, "invalid_field")),
    "no final boundary": (FORM, TO + IMAGE, (400, "malformed_request")),
    "half an image": (FORM, TO + IMAGE[:-1000], (400, "malformed_request")),
    "half a final boundary": (FORM, form(TO, IMAGE)[:-4], (400, "malformed_request")),
    "something before the form on its line": (FORM, b"hello" + form(TO, IMAGE), (422, "invalid_field")),
    "bare line feeds": (FORM, form(TO, IMAGE).replace(b"\r\n", b"\n"), (400, "malformed_request")),
    "1,001 empty parts": (FORM, form(*[part("caption", b"")] * 1001), (422, "invalid_field")),
    "100,000 nameless parts": (FORM, f"--{BOUNDARY}\r\n\r\n\r\n".encode() * 100_000, (400, "malformed_request")),
    "a part header of 1 MB": (FORM, HEADER + b"X: " + b"a" * 1_000_000, (400, "malformed_request")),
    "1,000 part headers": (FORM, HEADER + b"X-Y: z\r\n" * 1000 + b"\r\n\r\n" + END, (400, "malformed_request")),
    "two dispositions of one part": (
        FORM,
        form(part("caption", b"2", '\r\nContent-Disposition: form-data; name="receiver_uid"'), IMAGE),
        (400, "malformed_request"),
    ),
    "two names of one part": (
        FORM,
        form(part("caption", b"2", '; Name="receiver_uid"'), IMAGE),
        (400, "malformed_request"),
    ),
    "a part header without a name": (FORM, HEADER + b": x\r\n\r\n\r\n" + END, (400, "malformed_request")),
    "a part header that begins folded": (
        FORM,
        HEADER.partition(b"\r\n")[0] + b"\r\n folded\r\n\r\n\r\n" + END,
        (400, "malformed_request"),
    ),
    "a charset that is none": (
        FORM,
        form(TO, part("caption", b"a", "\r\nContent-Type: text/plain; charset=idna")),
        (400, "malformed_request"),
    ),
    "a part header in Latin-1": (FORM, HEADER.replace(b"caption", b"\xe9"), (400, "malformed_request")),
    "another disposition": (
        FORM,
        HEADER.replace(b"form-data", b"inline") + b"\r\n\r\n" + END,
        (400, "malformed_request"),
    ),
    "a field in Latin-1": (FORM, form(TO, part("caption", b"\xe9"), IMAGE), (400, "malformed_request")),
    "a field with a lone surrogate": (FORM, form(TO, part("caption", b"\xed\xa0\x80")), (400, "malformed_request")),
    "a field with a NUL": (FORM, form(TO, part("caption", b"a\0b"), IMAGE), (422, "invalid_field")),
    "a field of 10 MB": (FORM, form(part("receiver_uid", b"1" * 10_000_000), IMAGE), (413, "too_large")),
    "two receivers": (FORM, form(TO, part("receiver_uid", b"1"), IMAGE), (422, "invalid_field")),
    "two kinds of receiver": (FORM, form(TO, part("receiver_phone", b"0" * 64), IMAGE), (422, "invalid_field")),
    "two images": (FORM, form(TO, IMAGE, IMAGE), (422, "invalid_field")),
    "an unknown field": (FORM, form(TO, part("is_admin", b"1"), IMAGE), (422, "invalid_field")),
    "an empty field name": (FORM, form(TO, part("", b"1"), IMAGE), (422, "invalid_field")),
    "no receiver": (FORM, form(IMAGE), (422, "invalid_field")),
    "no image": (FORM, form(TO), (422, "missing_image")),
    "an empty image": (FORM, form(TO, image_part(b"")), (422, "missing_image")),
    "the image as a link": (FORM, form(TO, part("img_file", b"https://example.com/x.jpg")), (415, "unsupported_image")),
    "HTML": (FORM, form(TO, image_part(b"<html><script>alert(1)</script></html>")), (415, "unsupported_image")),
    "an XML bomb": (FORM, form(TO, image_part(b'<!DOCTYPE a [<!ENTITY b "c">]><svg/>')), (415, "unsupported_image")),
    "a ZIP": (FORM, form(TO, image_part(b"PK\x03\x04" + bytes(500))), (415, "unsupported_image")),
    "a TIFF": (FORM, form(TO, image_part(b"II*\0" + bytes(500))), (415, "unsupported_image")),
    "a Photoshop file": (FORM, form(TO, image_part(b"8BPS\0\1" + bytes(500))), (415, "unsupported_image")),
    "a PDF": (FORM, form(TO, image_part(b"%PDF-1.7\n" + PICTURE)), (415, "unsupported_image")),
    "only a signature": (FORM, form(TO, image_part(b"\xff\xd8\xff")), (415, "unsupported_image")),
    "no receiver and no image": (FORM, form(part("ttl_seconds", b"x")), (422, "invalid_field")),
    "a long caption and no image": (FORM, form(TO, part("caption", b"x" * 501)), (422, "invalid_field")),
    "half a uid and no image": (FORM, form(part("receiver_uid", b"x")), (422, "missing_image")),
    "half a uid": (FORM, form(part("receiver_uid", b"x"), IMAGE), (422, "invalid_field")),
    "half a phone hash": (FORM, form(part("receiver_phone", b"x"), IMAGE), (422, "invalid_field")),
    "a PNG of 60,000 by 60,000": (FORM, form(TO, image_part(png(60_000, 60_000))), (422, "image_dimensions")),
    "a GIF of 65,535 by 65,535": (FORM, form(TO, image_part(gif(65_535, 65_535))), (422, "image_dimensions")),
}


@pytest.mark.parametrize(("kind", "body", "refusal"), REFUSED.values(), ids=REFUSED.keys())
def test_a_form_that_is_wrong_is_refused_and_leaves_nothing(
    server: Server, sender: Person, kind: str, body: bytes, refusal: tuple[int, str]
) -> None:
    before = server.stored_files()
    with unharmed(server):
        answer = send(server, sender, body, kind)
    assert answer.refusal == refusal
    assert server.stored_files() == before


CUT_ENDS = {
    "a part without a name": f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n".encode(),
    "a folded header": HEADER + b" ",
    "an end that is none": f"--{BOUNDARY}-".encode(),
}


@pytest.mark.parametrize("tail", CUT_ENDS.values(), ids=CUT_ENDS.keys())
def test_a_form_that_breaks_off_at_a_line_of_its_own_is_not_taken_for_whole(
    server: Server, sender: Person, receiver: Person, tail: bytes
) -> None:
    body = part("receiver_uid", str(receiver.uid).encode()) + IMAGE + tail
    with unharmed(server), server.connect() as connection:
        head = request("POST", "/v1/images", by(sender), FORM, f"Content-Length: {len(body) + 2}", CLOSE)
        connection.sendall(head + body)
        with server.connect() as other:  # an answer to it shows that the first piece was taken by itself
            other.sendall(request("GET", "/healthz"))
            assert read_answer(other)
        connection.sendall(b"\r\n")
        answer = read_answer(connection)
    assert answer
    assert answer.refusal == (400, "malformed_request")


TAKEN = {
    "something behind the form": (form(TO, IMAGE) + b"a story that goes on", PICTURE),
    "a line break before the form": (b"\r\n" + form(TO, IMAGE), PICTURE),
    "a story before the form": (b"This is MIME.\r\n" * 50 + form(TO, IMAGE), PICTURE),
    "blanks behind its boundaries": (form(TO, IMAGE).replace(b"--frontier", b"--frontier \t "), PICTURE),
    "a name of the file in GBK": (form(TO, IMAGE.replace(b"x.jpg", b"\xcb\xd5.jpg")), PICTURE),
    "a name of the file in cut UTF-8": (form(TO, IMAGE.replace(b"x.jpg", b"\xe8\x8b.jpg")), PICTURE),
    "a path for a name": (form(TO, part("img_file", PICTURE, '; filename="../../../etc/x.jpg"')), PICTURE),
    "a name within a file's name": (form(TO, part("img_file", PICTURE, '; filename="a; name=b.jpg"')), PICTURE),
    "a path of another system for a name": (form(TO, part("img_file", PICTURE, r'; filename="C:\..\x.jpg"')), PICTURE),
    "an encoded path for a name": (
        form(TO, part("img_file", PICTURE, "; filename*=UTF-8''..%2f..%2fx%00.jpg")),
        PICTURE,
    ),
    "a name that reads backwards": (form(TO, IMAGE.replace(b"x.jpg", "\u202egpj.exe".encode())), PICTURE),
    "a name of ten kilobytes": (form(TO, IMAGE.replace(b"x.jpg", b"x" * 10_240)), PICTURE),
    "a folded part header": (form(TO, part("img_file", PICTURE, ';\r\n\tfilename="x.jpg";\r\n size=3000')), PICTURE),
    "a near boundary inside the image": (
        form(TO, image_part(PICTURE + b"\r\n--frontie\r\n-")),
        PICTURE + b"\r\n--frontie\r\n-",
    ),
    "a script in a GIF": (form(TO, image_part(gif() + b"=1;alert(1)")), gif() + b"=1;alert(1)"),
    "HTML behind a JPEG": (
        form(TO, image_part(PICTURE + b"<script>alert(1)</script>")),
        PICTURE + b"<script>alert(1)</script>",
    ),
    "more header fields of a part than anybody knows": (
        form(TO, part("img_file", PICTURE, "".join(f"\r\nX-{n}: y" for n in range(12)))),
        PICTURE,
    ),
    **{
        f"a part's own length of {said or 'nothing'}": (
            form(TO, part("img_file", PICTURE, f"\r\ncontent-length: {said}\r\n folded\r\nContent-Length: 7")),
            PICTURE,
        )
        for said in ("5", "99999999", "-1", "")
    },
    "a part of another type": (
        form(TO, part("img_file", PICTURE, '; filename="x.html"\r\nContent-Type: text/html\r\nX-Evil: yes')),
        PICTURE,
    ),
}


@pytest.mark.parametrize(("body", "image"), TAKEN.values(), ids=TAKEN.keys())
def test_what_is_odd_but_whole_is_taken_as_it_is_and_served_as_no_page(
    server: Server, sender: Person, receiver: Person, body: bytes, image: bytes
) -> None:
    assert receiver.uid == 2
    with unharmed(server):
        answer = send(server, sender, body)
        assert answer.status == 201
        fetched = receiver.get(answer.headers["message-key"])
    assert fetched.content == image
    assert fetched.headers["Content-Type"] in ("image/jpeg", "image/gif")
    assert fetched.headers["X-Content-Type-Options"] == "nosniff"
    key = answer.headers["message-key"]
    assert fetched.headers["Content-Disposition"] in [f'attachment; filename="{key}.{end}"' for end in ("jpg", "gif")]
    assert fetched.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert "X-Evil" not in fetched.headers


TEXTS = {
    "UTF-8": (part("caption", "Größe".encode()), "Größe"),
    "Latin-1": (part("caption", b"Gr\xf6\xdfe", "\r\nContent-Type: text/plain; charset=ISO-8859-1"), "Größe"),
    "GBK": (part("caption", "照片".encode("gbk"), '\r\nContent-Type: text/plain; charset="gbk"'), "照片"),
    "the charset of the whole form": (
        part("_charset_", b"gb18030") + part("caption", "照片".encode("gb18030")),
        "照片",
    ),
}


@pytest.mark.parametrize(("said", "caption"), TEXTS.values(), ids=TEXTS.keys())
def test_a_text_is_read_by_its_charset(
    server: Server, sender: Person, receiver: Person, said: bytes, caption: str
) -> None:
    assert receiver.uid == 2
    with unharmed(server):
        answer = send(server, sender, form(TO, said, IMAGE))
        assert answer.status == 201
    inbox = receiver.request("GET", "/v1/inbox?limit=200").json()["items"]
    assert [item["caption"] for item in inbox if item["message_key"] == answer.headers["message-key"]] == [caption]
    receiver.get(answer.headers["message-key"])


def test_a_receiver_in_the_query_changes_nothing(server: Server, sender: Person, receiver: Person) -> None:
    path = f"/v1/images?receiver_uid={sender.uid}&ttl_seconds=1"
    with unharmed(server):
        (answer,) = provoke(server, request("POST", path, by(sender), FORM, CLOSE, body=form(TO, IMAGE)))
    assert receiver.request("HEAD", answer.headers["location"]).status_code == 200
    assert sender.request("HEAD", answer.headers["location"]).status_code == 404


def test_an_image_before_a_wrong_credential_leaves_nothing(server: Server, sender: Person) -> None:
    before = server.stored_files()
    wrong = form(
        image_part(jpeg(1_000_000)), TO, part("phone_hash", sender.phone_hash.encode()), part("ukey", b"x" * 43)
    )
    none = form(image_part(jpeg(1_000_000)), TO)
    with unharmed(server):
        for body in (wrong, none):
            (answer,) = provoke(server, request("POST", "/v1/images", FORM, CLOSE, body=body))
            assert answer.refusal == (401, "unauthenticated")
    assert server.stored_files() == before


def test_one_byte_at_a_time_is_an_image_all_the_same(server: Server, sender: Person, receiver: Person) -> None:
    picture = jpeg(100_000)
    body = form(TO, image_part(picture))
    head = request("POST", "/v1/images", by(sender), FORM, CLOSE, "Transfer-Encoding: chunked")
    with unharmed(server):
        (answer,) = provoke(server, head + chunked(body[at : at + 1] for at in range(len(body))))
    assert answer.status == 201
    assert receiver.get(answer.headers["message-key"]).content == picture


def test_one_byte_segments_are_an_image_all_the_same(server: Server, sender: Person, receiver: Person) -> None:
    picture = jpeg(10_000)
    raw = request("POST", "/v1/images", by(sender), FORM, CLOSE, body=form(TO, image_part(picture)))
    with unharmed(server), server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(raw)):
            connection.send(raw[at : at + 1])
        answer = read_answer(connection)
    assert answer
    assert receiver.get(answer.headers["message-key"]).content == picture


class Kept:
    """One connection that is used again and again, until the server ends it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect()

    def ask(self, *pieces: bytes) -> Answer:
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self._connection.sendall(piece)
        answer = read_answer(self._connection)
        assert answer
        if answer.headers.get("connection") == "close":
            self.close()
            self._connection = self._server.connect()
        return answer

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def kept(server: Server) -> Iterator[Kept]:
    kept = Kept(server)
    yield kept
    kept.close()


@settings(max_examples=250, deadline=None, derandomize=True)
@example(body=VALID, cuts=[])
@given(body=spoiled(), cuts=st.lists(st.integers(0, len(VALID)), max_size=12))
def test_a_spoiled_form_is_taken_or_refused_but_never_fails(
    kept: Kept, sender: Person, receiver: Person, body: bytes, cuts: Sequence[int]
) -> None:
    assert receiver.uid == 2
    edges = [0, *sorted(cuts), len(body)]
    pieces = [piece for start, end in pairwise(edges) if (piece := body[start:end])]
    answer = kept.ask(request("POST", "/v1/images", by(sender), FORM, f"Content-Length: {len(body)}"), *pieces)
    in_chunks = kept.ask(request("POST", "/v1/images", by(sender), FORM, "Transfer-Encoding: chunked"), chunked(pieces))
    assert answer.status in (201, 400, 403, 413, 415, 422)
    assert in_chunks.status in (201, 400, 403, 413, 415, 422)
    assert (answer.status == 201) == (answer.body == b"")
