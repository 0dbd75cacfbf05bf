# SPDX-License-Identifier: Apache-2.0
"""Images that go on where they stopped: tus 1.0.0 over a real server, cut, repeated and lied to."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256

import httpx
import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running
from tests.support.pictures import jpeg

SETTINGS = {"limits": {"enabled": False}, "retention": {"interval_seconds": 1}}
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("server"), SETTINGS) as server:
        yield server
        assert server.failures() == []


def metadata(fields: Mapping[str, object]) -> str:
    return ",".join(f"{name} {b64encode(str(value).encode()).decode()}" for name, value in fields.items())


def begin(person: Person, length: int, headers: Mapping[str, str] | None = None, **fields: object) -> httpx.Response:
    said = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata(fields), **(headers or {})}
    return person.request("POST", "/v1/uploads", headers=said)


def send_piece(
    person: Person, upload: str, offset: int, data: bytes, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    said = {**PIECE, "Upload-Offset": str(offset), **(headers or {})}
    return person.request("PATCH", upload, headers=said, content=data)


def offset_of(person: Person, upload: str) -> int:
    reply = person.request("HEAD", upload, headers=TUS)
    assert reply.status_code == 200
    return int(reply.headers["Upload-Offset"])


def send_whole(person: Person, upload: str, picture: bytes, n_bytes: int) -> httpx.Response:
    """In pieces of so many bytes, each from where the server says that it goes on; the last reply."""
    offset = 0
    while True:
        reply = send_piece(person, upload, offset, picture[offset : offset + n_bytes])
        assert reply.status_code == 204, reply.text
        offset = int(reply.headers["Upload-Offset"])
        if offset == len(picture):
            return reply


def inbox(person: Person) -> list[str]:
    return [item["message_key"] for item in person.request("GET", "/v1/inbox").json()["items"]]


def test_a_look_says_of_the_image_what_its_creation_said(ann: Person, ben: Person) -> None:
    for said in ({"receiver_uid": ben.uid}, {"receiver_uid": ben.uid, "caption": "ä", "ttl_seconds": 600}):
        upload = begin(ann, 10, **said).headers["Location"]
        looked = ann.request("HEAD", upload, headers=TUS).headers["Upload-Metadata"]
        assert set(looked.split(",")) == set(metadata(said).split(","))


def test_an_image_in_pieces_arrives_whole_as_one_image(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(300_000)
    begun = begin(ann, len(picture), receiver_uid=ben.uid, caption="from a train")
    assert begun.status_code == 201
    upload = begun.headers["Location"]
    assert offset_of(ann, upload) == 0
    done = send_whole(ann, upload, picture, 40_000)
    key = done.headers["Message-Key"]
    assert done.headers["Content-Location"] == done.headers["Location"] == f"/v1/images/{key}"
    assert done.headers["Metadata-Removed"] == "location"
    assert inbox(ben) == [key]
    [item] = ben.request("GET", "/v1/inbox").json()["items"]
    assert (item["caption"], item["size"]) == ("from a train", len(picture))
    assert ben.get(key).content == picture
    assert [path.name for path in server.stored_files()] == [key]


def test_the_last_request_again_gets_the_first_answer(ann: Person, ben: Person) -> None:
    picture = jpeg(50_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, picture[:30_000])
    answers = [send_piece(ann, upload, 30_000, picture[30_000:]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [204] * 3
    assert len({answer.headers["Message-Key"] for answer in answers}) == 1
    assert len({answer.headers["Message-Id"] for answer in answers}) == 1
    assert inbox(ben) == [answers[0].headers["Message-Key"]]
    assert offset_of(ann, upload) == len(picture)
    assert send_piece(ann, upload, 10, b"x").status_code == 409


def test_the_creation_again_tells_what_has_become_of_it(ann: Person, ben: Person) -> None:
    picture = jpeg(50_000)
    key = {"Idempotency-Key": "the-same"}
    begun = begin(ann, len(picture), key, receiver_uid=ben.uid)
    sent = send_whole(ann, begun.headers["Location"], picture, 50_000)
    again = begin(ann, len(picture), key, receiver_uid=ben.uid)
    assert again.status_code == 201
    assert again.headers["Location"] == begun.headers["Location"]
    assert again.headers["Message-Key"] == sent.headers["Message-Key"]
    assert inbox(ben) == [sent.headers["Message-Key"]]


def test_a_piece_at_another_offset_is_refused_and_changes_nothing(ann: Person, ben: Person) -> None:
    picture = jpeg(50_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, picture[:20_000])
    for offset in (0, 19_999, 20_001, 49_000):
        refused = send_piece(ann, upload, offset, picture[offset : offset + 1000])
        assert (refused.status_code, refused.json()["code"]) == (409, "offset_mismatch")
        assert refused.headers["Upload-Offset"] == "20000"
    assert offset_of(ann, upload) == 20_000


def test_a_wrong_checksum_adds_nothing_and_a_right_one_goes_on(ann: Person, ben: Person) -> None:
    picture = jpeg(50_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    wrong = {"Upload-Checksum": "sha256 " + b64encode(sha256(b"else").digest()).decode()}
    refused = send_piece(ann, upload, 0, picture[:20_000], wrong)
    assert (refused.status_code, refused.json()["code"]) == (460, "checksum_mismatch")
    assert refused.reason_phrase == "Checksum Mismatch"
    assert offset_of(ann, upload) == 0
    right = {"Upload-Checksum": "sha256 " + b64encode(sha256(picture).digest()).decode()}
    done = send_piece(ann, upload, 0, picture, right)
    assert done.status_code == 204
    assert ben.get(done.headers["Message-Key"]).content == picture
    for odd in ("sha1 " + b64encode(bytes(20)).decode(), "sha256 x", "sha256", ""):
        other = begin(ann, 10, receiver_uid=ben.uid).headers["Location"]
        assert send_piece(ann, other, 0, b"x", {"Upload-Checksum": odd}).status_code == 400


def test_the_first_bytes_may_come_with_the_creation(ann: Person, ben: Person) -> None:
    picture = jpeg(50_000)
    headers = {**PIECE, "Upload-Length": str(len(picture)), "Upload-Metadata": metadata({"receiver_uid": ben.uid})}
    begun = ann.request("POST", "/v1/uploads", headers=headers, content=picture[:20_000])
    assert (begun.status_code, begun.headers["Upload-Offset"]) == (201, "20000")
    assert send_piece(ann, begun.headers["Location"], 20_000, picture[20_000:]).status_code == 204
    whole = ann.request("POST", "/v1/uploads", headers=headers, content=picture)
    assert whole.status_code == 201
    assert whole.headers["Location"].startswith("/v1/uploads/")
    assert len(inbox(ben)) == 2
    assert ben.get(whole.headers["Message-Key"]).content == picture


def test_what_is_ended_is_gone_with_its_bytes(server: Server, ann: Person, ben: Person) -> None:
    before = server.stored_files()
    upload = begin(ann, 50_000, receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, jpeg(50_000)[:20_000])
    assert len(server.stored_files()) == len(before) + 1
    assert ann.request("DELETE", upload, headers=TUS).status_code == 204
    assert server.stored_files() == before
    assert ann.request("HEAD", upload, headers=TUS).status_code == 404
    assert ann.request("DELETE", upload, headers=TUS).status_code == 404


def test_nobody_else_finds_an_upload(server: Server, ann: Person, ben: Person) -> None:
    upload = begin(ann, 50_000, receiver_uid=ben.uid).headers["Location"]
    assert ben.request("HEAD", upload, headers=TUS).status_code == 404
    assert send_piece(ben, upload, 0, b"x").status_code == 404
    assert ben.request("DELETE", upload, headers=TUS).status_code == 404
    assert server.client.head(upload, headers=TUS).status_code == 401
    for odd in ("0" * 32, "x", "..%2f..", "0" * 64):
        assert ann.request("HEAD", f"/v1/uploads/{odd}", headers=TUS).status_code == 404
