# SPDX-License-Identifier: Apache-2.0
"""Images that go on where they stopped, by the IETF's resumable uploads in each version that clients speak; and an
image that is a whole body. Written by hand over sockets, so that interim responses are seen.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.process.hostile_wire import answers, by, chunked, request
from tests.process.spoken import VERSIONS, Spoken, completes, says, whole_in_one
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("server"), {"limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


def go_on(person: Person, upload: str, version: int, offset: int, data: bytes, *, done: bool) -> httpx.Response:
    return Spoken(version).send(person, upload, offset, data, done=done)


def look(person: Person, upload: str, version: int) -> httpx.Response:
    return Spoken(version).look(person, upload)


def has(reply: httpx.Response, fields: dict[str, str]) -> bool:
    return fields.items() <= {name: reply.headers.get(name) for name in fields}.items()


def cut_after(person: Person, to: Person, version: int, picture: bytes, n_bytes: int) -> str:
    """Begin an upload by hand and break off; what the interim response says of where it goes on."""
    with person.server.connect() as connection:
        connection.sendall(whole_in_one(person, to, version, len(picture)) + picture[:n_bytes])
        interim = b""
        while b"\r\n\r\n" not in interim:
            interim += connection.recv(4096)
    assert interim.startswith(b"HTTP/1.1 104 Upload Resumption Supported\r\n")
    told = interim.decode()
    assert f"Upload-Draft-Interop-Version: {version}\r\n" in told
    limits = re.search("Upload-Limit: (.*)\r\n", told)
    assert bool(limits) == (version >= 6)
    if limits:
        assert ("max-age=" in limits[1], "expires=" in limits[1]) == (version == 8, version == 6)
    found = re.search("Location: /v1/uploads/([0-9a-f]{32})\r\n", told)
    assert found
    # A look before the server has read what came would cut it.
    file = person.server.data_dir / "images/.uploads" / found[1]
    wait_until(lambda: file.exists() and file.stat().st_size > 0, what="what has come")
    return f"/v1/uploads/{found[1]}"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_image_that_is_cut_goes_on_where_the_104_says(ann: Person, ben: Person, version: int) -> None:
    picture = jpeg(200_000)
    upload = cut_after(ann, ben, version, picture, 120_000)
    told = look(ann, upload, version)
    assert told.status_code == 204
    assert has(told, completes(version, done=False))
    assert ("Upload-Length" in told.headers) == (version == 8)
    offset = int(told.headers["Upload-Offset"])
    assert 0 < offset <= 120_000
    done = go_on(ann, upload, version, offset, picture[offset:], done=True)
    assert done.status_code == 201
    assert has(done, completes(version, done=True))
    assert ben.get(done.headers["Message-Key"]).content == picture
    again = go_on(ann, upload, version, offset, picture[offset:], done=True)
    assert (again.status_code, again.headers["Message-Key"]) == (201, done.headers["Message-Key"])
    told = look(ann, upload, version)
    assert has(told, {"Upload-Offset": str(len(picture)), **completes(version, done=True)})
    more = go_on(ann, upload, version, len(picture), b"x", done=True)
    assert more.status_code == (400 if version >= 6 else 409)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_image_of_unknown_length_comes_in_parts(ann: Person, ben: Person, version: int) -> None:
    picture = jpeg(90_000)
    begun = ann.request(
        "POST",
        "/v1/uploads",
        params={"receiver_uid": ben.uid, "caption": "parts"},
        headers=says(version, done=False),
        content=picture[:30_000],
    )
    assert begun.status_code == 201
    assert has(begun, {"Upload-Offset": "30000", **completes(version, done=False)})
    upload = begun.headers["Location"]
    part = go_on(ann, upload, version, 30_000, picture[30_000:60_000], done=False)
    assert part.status_code == (204 if version == 8 else 201)
    assert has(part, {"Upload-Offset": "60000", **completes(version, done=False)})
    wrong = go_on(ann, upload, version, 30_000, picture[30_000:60_000], done=False)
    assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, "60000")
    last = go_on(ann, upload, version, 60_000, picture[60_000:], done=False)
    assert last.headers["Upload-Offset"] == "90000"
    done = go_on(ann, upload, version, 90_000, b"", done=True)
    assert done.status_code == 201
    assert ben.get(done.headers["Message-Key"]).content == picture


def test_a_request_that_names_no_version_gets_no_104(ann: Person, ben: Person) -> None:
    picture = jpeg(3000)
    head = (
        f"POST /v1/uploads?receiver_uid={ben.uid} HTTP/1.1\r\nHost: x\r\n{by(ann)}\r\n"
        f"Upload-Complete: ?1\r\nContent-Length: {len(picture)}\r\nConnection: close\r\n\r\n"
    )
    assert ann.server.raw(head.encode() + picture).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("version", [5, 6, 8])
def test_lengths_that_contradict_each_other_are_refused(ann: Person, ben: Person, version: int) -> None:
    picture = jpeg(50_000)
    if version == 8:
        lies = {**says(8, done=True), "Upload-Length": "60000"}
        refused = ann.request("POST", "/v1/uploads", params={"receiver_uid": ben.uid}, headers=lies, content=picture)
        assert refused.status_code == 400
    upload = cut_after(ann, ben, version, picture, 20_000)
    offset = int(look(ann, upload, version).headers["Upload-Offset"])
    assert go_on(ann, upload, version, offset, picture[offset:] + b"more", done=True).status_code == 400
    assert go_on(ann, upload, version, offset, picture[offset:-5], done=True).status_code == 400
    assert go_on(ann, upload, version, offset, picture[offset:], done=True).status_code == 201


def test_a_piece_by_version_6_says_what_it_is(ann: Person, ben: Person) -> None:
    begun = ann.request("POST", "/v1/uploads", params={"receiver_uid": ben.uid}, headers=says(8, done=False))
    headers = {**says(8, done=True), "Upload-Offset": "0"}
    refused = ann.request("PATCH", begun.headers["Location"], headers=headers, content=b"x")
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_type")


def test_more_bytes_than_an_image_has_end_its_upload(ann: Person, ben: Person) -> None:
    spoken = Spoken(8)
    upload = spoken.begin(ann, ben, 0).headers["Location"]
    said = {**spoken.piece(0, done=True), "Transfer-Encoding": "chunked"}
    head = request("PATCH", upload, by(ann), *(f"{name}: {value}" for name, value in said.items()))
    [refused] = answers(ann.server.raw(head + chunked([jpeg(500_000)] * 43)))
    assert refused.refusal == (413, "image_too_large")
    assert refused.headers["upload-complete"] == "?1"
    assert look(ann, upload, 8).status_code == 404


def test_what_is_no_image_ends_its_upload(ann: Person, ben: Person) -> None:
    begun = ann.request("POST", "/v1/uploads", params={"receiver_uid": ben.uid}, headers=says(8, done=False))
    upload = begun.headers["Location"]
    refused = go_on(ann, upload, 8, 0, b"no image at all" * 100, done=True)
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_image")
    assert refused.headers["Upload-Complete"] == "?1"
    assert "Upload-Offset" not in refused.headers
    assert look(ann, upload, 8).status_code == 404


def test_a_whole_body_is_an_image_as_of_a_form(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(150_000)
    before = len(server.stored_files())
    whole = {"params": {"receiver_uid": ben.uid}, "headers": {"Idempotency-Key": "one"}}
    sent = ann.request("POST", "/v1/uploads", content=picture, **whole)
    assert sent.status_code == 201
    assert re.fullmatch("/v1/images/[0-9a-f]{64}", sent.headers["Location"])
    assert "Upload-Offset" not in sent.headers
    again = ann.request("POST", "/v1/uploads", content=picture, **whole)
    assert again.headers["Message-Key"] == sent.headers["Message-Key"]
    other = ann.request("POST", "/v1/uploads", content=jpeg(1000), **whole)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    as_form = ann.send(ben, picture, headers={"Idempotency-Key": "one"})
    assert as_form.headers["Message-Key"] == sent.headers["Message-Key"]
    assert len(server.stored_files()) == before + 1
    assert ann.request("POST", "/v1/uploads", params={"receiver_uid": ben.uid}).status_code == 422


def test_a_whole_body_that_is_cut_leaves_nothing(server: Server, ann: Person, ben: Person) -> None:
    before = server.stored_files()
    head = f"POST /v1/uploads?receiver_uid={ben.uid} HTTP/1.1\r\nHost: x\r\n{by(ann)}\r\nContent-Length: 90000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode() + jpeg(90_000)[:60_000])
        wait_until(lambda: len(server.stored_files()) >= len(before), what="the bytes")
    wait_until(lambda: server.stored_files() == before, what="the end of the upload")
    assert ben.request("GET", "/v1/inbox").json()["items"] == []


def test_options_say_what_is_spoken_and_answer_browsers(ann: Person) -> None:
    said = ann.server.client.options("/v1/uploads")
    assert said.status_code == 204
    assert said.headers["Tus-Version"] == "1.0.0"
    assert said.headers["Tus-Max-Size"] == "20971520"
    assert said.headers["Upload-Limit"] == "max-size=20971520"
    assert "checksum" in said.headers["Tus-Extension"].split(",")


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_a_refusal_after_which_it_goes_on_says_where(tmp_path: Path, version: int) -> None:
    spoken = Spoken(version)
    settings = {"limits": {"enabled": False}, "storage": {"max_bytes": 360_000}, "inbox": {"max_pending": 1}}
    with running(tmp_path, {**settings, "retention": {"interval_seconds": 1}}) as server:
        ann, ben, eve = [server.register(name) for name in ("Ann", "Ben", "Eve")]
        picture = jpeg(200_000)
        upload = spoken.begin(ann, ben, len(picture)).headers["Location"]
        assert spoken.send(ann, upload, 0, picture[:50_000], done=False).is_success
        large = ann.send(eve, jpeg(170_000)).headers["Message-Key"]
        full = spoken.send_rest(ann, upload, picture, 50_000)
        assert (full.status_code, full.json()["code"]) == (507, "storage_full")
        assert eve.request("DELETE", f"/v1/images/{large}").status_code == 204
        wait_until(lambda: all(path.name != large for path in server.stored_files()), what="the room")
        first = ann.send(ben, jpeg(1000)).headers["Message-Key"]
        waits = spoken.send_rest(ann, upload, picture, 50_000)
        assert (waits.status_code, waits.json()["code"]) == (429, "inbox_full")
        goes_on = {"Upload-Offset": "50000", **completes(version, done=False)}
        assert has(full, goes_on)
        assert has(waits, goes_on)
        assert ben.request("DELETE", f"/v1/images/{first}").status_code == 204
        assert spoken.send_rest(ann, upload, picture, 50_000).status_code == spoken.ended
        assert server.failures() == []
