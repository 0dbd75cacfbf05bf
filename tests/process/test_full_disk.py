# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: nothing accepted is lost, the rest is told so, and room makes all well again."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.hostile_watch import statuses
from tests.process.hostile_wire import CLOSE, FORM, by, form, image_part, part, read_answer, request
from tests.process.spoken import SPOKEN, Spoken, whole_in_one
from tests.support.harness import Person, Server, running, wait_until
from tests.support.mounting import small_disk
from tests.support.pictures import jpeg

SETTINGS = {"limits": {"enabled": False}, "storage": {"min_free_bytes": 0}, "retention": {"interval_seconds": 1}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, "size=16m,nr_inodes=2000"):
        yield place


@pytest.fixture
def server(tmp_path: Path, disk: Path) -> Iterator[Server]:
    (tmp_path / "data").symlink_to(disk)
    with running(tmp_path, SETTINGS) as server:
        yield server


def fill(disk: Path) -> Path:
    """Take every last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler


def pending(person: Person) -> set[str]:
    return {item["message_key"] for item in person.request("GET", "/v1/inbox").json()["items"]}


def test_uploads_that_meet_the_end_of_the_disk_are_refused_and_what_was_accepted_stays(
    server: Server, disk: Path
) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    accepted = ann.send(ben, jpeg(50_000)).headers["Message-Key"]
    body = form(part("receiver_uid", str(ben.uid).encode()), image_part(jpeg(1_000_000)))
    head = request("POST", "/v1/images", FORM, by(ann), f"Content-Length: {len(body)}", "Expect: 100-continue", CLOSE)
    unknown = 0
    for sent in (0, 500, 200_000, 900_000, len(body) - 1):
        with server.connect() as connection:
            connection.sendall(head)
            invitation = read_answer(connection)
            assert invitation
            assert invitation.status == 100
            connection.sendall(body[:sent])
            filler = fill(disk)
            connection.sendall(body[sent:])
            answer = read_answer(connection)
        assert answer
        assert answer.refusal in ((507, "storage_full"), (503, "unavailable"))
        unknown += answer.status == 503
        assert "retry-after" in answer.headers
        filler.unlink()
    assert pending(ben) == {accepted}
    # A file whose commit was lost with the disk is left to the sweep: only the row decides.
    files = {path.name for path in server.stored_files()}
    assert accepted in files
    assert len(files) <= 1 + unknown


def test_a_full_disk_still_hands_out_what_it_has_and_room_makes_all_well(server: Server, disk: Path) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    picture = jpeg(50_000)
    keys = [ann.send(ben, picture).headers["Message-Key"] for _ in range(10)]
    filler = fill(disk)
    refused = ann.send(ben, jpeg(3000))
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    for key in keys:
        assert ben.get(key).content == picture
    acknowledged = {key for key in keys if ben.request("DELETE", f"/v1/images/{key}").status_code == 204}
    assert ben.get(next(iter(set(keys) - acknowledged), keys[0])).status_code in (200, 410)
    filler.unlink()
    assert not acknowledged & pending(ben)
    wait_until(lambda: server.client.get("/readyz").status_code == 200, what="readiness")
    later = ann.send(ben, picture)
    assert later.status_code == 201
    assert [ben.request("DELETE", f"/v1/images/{key}").status_code for key in keys] == [204] * len(keys)
    wait_until(
        lambda: [path.name for path in server.stored_files()] == [later.headers["Message-Key"]], what="the purge"
    )


@pytest.mark.parametrize("spoken", SPOKEN, ids=str)
def test_an_upload_that_meets_the_end_of_the_disk_goes_on_when_there_is_room(
    server: Server, disk: Path, spoken: Spoken
) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    picture = jpeg(5_000_000)
    upload = spoken.begin(ann, ben, len(picture)).headers["Location"]
    assert spoken.send(ann, upload, 0, picture[:500_000], done=False).is_success
    file, offset = disk / "images/.uploads" / upload.rpartition("/")[2], 500_000
    for _ in range(3):
        rest = picture[offset:]
        about = {**spoken.piece(offset, done=True), "Content-Length": len(rest)}
        with server.connect() as connection:
            connection.sendall(
                request("PATCH", upload, by(ann), *(f"{name}: {value}" for name, value in about.items()))
            )
            connection.sendall(rest[:1_100_000])
            wait_until(lambda: file.stat().st_size > offset, what="the first of it")  # noqa: B023 - called here
            filler = fill(disk)
            connection.sendall(rest[1_100_000:])
            answer = read_answer(connection)
        assert answer
        assert answer.refusal in ((507, "storage_full"), (503, "unavailable"))
        filler.unlink()
        told = spoken.offset_of(ann, upload)
        assert int(answer.headers["upload-offset"]) == told
        assert offset <= told <= file.stat().st_size
        assert file.read_bytes()[:told] == picture[:told]
        offset = told
    done = spoken.send_rest(ann, upload, picture, offset)
    assert done.status_code == spoken.ended
    assert pending(ben) == {done.headers["Message-Key"]}
    assert ben.get(done.headers["Message-Key"]).content == picture


def test_a_creation_that_meets_the_end_of_the_disk_says_where_it_goes_on(server: Server, disk: Path) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    picture, spoken = jpeg(5_000_000), Spoken(8)
    with server.connect() as connection:
        connection.sendall(whole_in_one(ann, ben, 8, len(picture)))
        interim = read_answer(connection)
        connection.sendall(picture[:1_100_000])
        upload = interim.headers["location"] if interim else ""
        file = disk / "images/.uploads" / upload.rpartition("/")[2]
        wait_until(lambda: file.exists() and file.stat().st_size > 0, what="the first of it")
        filler = fill(disk)
        connection.sendall(picture[1_100_000:])
        answer = read_answer(connection)
    filler.unlink()
    assert answer
    assert answer.refusal in ((507, "storage_full"), (503, "unavailable"))
    assert answer.headers["location"] == upload
    told = spoken.offset_of(ann, upload)
    assert int(answer.headers["upload-offset"]) == told
    assert spoken.send_rest(ann, upload, picture, told).status_code == 201
    assert len(pending(ben)) == 1


@pytest.fixture(autouse=True)
def _the_log_tells_of_the_disk_alone(server: Server) -> Iterator[None]:
    yield
    assert set(statuses(server.log.read_text())) <= {200, 201, 204, 410, 499, 503, 507}
    told = [json.loads(line) for line in server.failures()]
    assert told
    assert {line["event"] for line in told} <= {"the disk is full", "the database failed", "retention failed"}
    assert all("full" in line["cause"] for line in told if line["event"] == "retention failed")


def test_a_database_that_cannot_grow_is_an_error_in_the_log_with_its_reason(server: Server, disk: Path) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    filler = fill(disk)
    texts = ({"receiver_uid": ben.uid, "kind": "text", "text": "x" * 8000} for _ in range(500))
    answers = (ann.request("POST", "/v1/messages", json=text) for text in texts)
    refused = next(answer for answer in answers if answer.status_code != 201)
    filler.unlink()
    assert (refused.status_code, refused.json()["code"]) in ((507, "storage_full"), (503, "unavailable"))

    def told() -> list[dict[str, str]]:
        lines = map(json.loads, server.failures())
        return [line for line in lines if line.get("request_id") == refused.json()["request_id"]]

    wait_until(lambda: len(told()) > 0, what="the line")
    [failure] = told()
    assert (failure["event"], failure["level"]) == ("the database failed", "error")
    assert "full" in failure["cause"].lower()
