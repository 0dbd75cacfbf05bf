# SPDX-License-Identifier: Apache-2.0
"""Uploads that go on, on a bad line and among bad company: cut anywhere, killed anywhere, two at once, full disks."""

import asyncio
import signal
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.models.metadata.parts import EXIF_SEGMENT, PLACE
from tests.models.metadata.parts import jpeg as picture_of
from tests.process.broken_lines import BrokenLines, break_off
from tests.process.hostile_wire import by, read_answer
from tests.process.invariants import check_database, check_promises, orphans, pushes_due, rows, sweep_orphans
from tests.process.spoken import BY_IETF, Spoken, whole_in_one
from tests.process.test_uploads import PIECE, TUS, begin, inbox, metadata, offset_of, send_piece
from tests.support.engines import NewFolder
from tests.support.harness import BROKEN, Person, Server, running, until_answered, wait_until
from tests.support.pictures import jpeg
from tests.support.rounds import rounds

SETTINGS = {
    "limits": {"enabled": False},
    "retention": {"interval_seconds": 1},
    "inbox": {"max_pending": 10_000, "per_stranger_percent": 100, "strangers_percent": 100},
}
WITH_PLACE = jpeg(30_000)[:2] + EXIF_SEGMENT + jpeg(30_000)[2:]


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("server"), SETTINGS) as server:
        yield server
        assert server.failures() == []


def file_of(server: Server, upload: str) -> Path:
    return server.data_dir / "images/.uploads" / upload.rpartition("/")[2]


def stored(server: Server, upload: str) -> bytes:
    """What of an upload stands in its file."""
    file = file_of(server, upload)
    return file.read_bytes() if file.exists() else b""


def go_on(person: Person, upload: str, picture: bytes) -> httpx.Response:
    """All that is missing."""
    offset = offset_of(person, upload)
    return send_piece(person, upload, offset, picture[offset:])


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 30, 4000, 29_999])
def test_what_was_cut_goes_on_and_arrives_whole_without_its_place(
    server: Server, ann: Person, ben: Person, cut: int, hard: bool
) -> None:
    upload = begin(ann, len(WITH_PLACE), receiver_uid=ben.uid).headers["Location"]
    break_off(ann, upload, 0, WITH_PLACE, cut, hard=hard)
    if not hard:
        wait_until(
            lambda: rows(server.data_dir, "SELECT max(received) FROM uploads WHERE message_id IS NULL") != [(0,)]
        )
    offset = offset_of(ann, upload)
    assert offset <= cut
    assert PLACE not in stored(server, upload)
    done = until_answered(lambda: go_on(ann, upload, WITH_PLACE))
    assert done.status_code == 204
    got = ben.get(done.headers["Message-Key"]).content
    assert len(got) == len(WITH_PLACE)
    assert PLACE not in got
    whole = ann.send(ben, WITH_PLACE).headers["Message-Key"]
    assert got == ben.get(whole).content


@pytest.mark.parametrize("n_bytes", [7, 100])
def test_pieces_smaller_than_a_segment_of_metadata_go_on(ann: Person, ben: Person, n_bytes: int) -> None:
    """What cannot be cleaned yet is told all the same: else a client that sends small pieces never gets past it."""
    picture = picture_of(EXIF_SEGMENT)
    assert PLACE in picture
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    seen = []
    for offset in range(0, len(picture), n_bytes):
        done = send_piece(ann, upload, offset, picture[offset : offset + n_bytes])
        seen.append(done.status_code)
        assert PLACE not in stored(ann.server, upload)
    assert set(seen[:-1]) == {204}
    assert done.status_code in (204, 415)  # its pixels are no picture's


def test_who_comes_second_goes_on_and_the_first_is_cut(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(1_000_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    fields = {**PIECE, "Upload-Offset": 0, "Content-Length": len(picture), "Host": "x"}
    head = f"PATCH {upload} HTTP/1.1\r\n{by(ann)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items())
    with server.connect() as first:
        first.sendall(head.encode() + b"\r\n" + picture[:700_000])
        wait_until(lambda: file_of(server, upload).exists() and file_of(server, upload).stat().st_size > 0)
        offset = offset_of(ann, upload)
        with suppress(ConnectionResetError):
            assert first.recv(100) == b""
    assert 0 < offset <= 700_000
    assert send_piece(ann, upload, offset - 1, b"x").status_code == 409
    done = send_piece(ann, upload, offset, picture[offset:])
    assert ben.get(done.headers["Message-Key"]).content == picture


def test_who_leaves_after_the_last_byte_has_sent_the_image_or_is_not_told_that_all_is_there(
    server: Server, ann: Person, ben: Person
) -> None:
    for number in range(20):
        picture = jpeg(30_000 + number)
        upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
        break_off(ann, upload, 0, picture, len(picture), hard=number % 2 == 0)
        offset = offset_of(ann, upload)
        if offset < len(picture):
            until_answered(partial(go_on, ann, upload, picture))
    wait_until(lambda: len(inbox(ben)) == 20, what="the images")
    assert rows(server.data_dir, f"SELECT count(*) FROM uploads WHERE uid = {ann.uid} AND message_id IS NULL") == [(0,)]


def test_a_crowd_at_one_upload_makes_one_image(ann: Person, ben: Person) -> None:
    picture = jpeg(100_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]

    def try_it(_: int) -> None:
        for _ in range(5):
            try:
                offset = offset_of(ann, upload)
                send_piece(ann, upload, offset, picture[offset : offset + 30_000])
            except BROKEN:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(try_it, range(4)))
    offset = offset_of(ann, upload)
    if offset < len(picture):
        send_piece(ann, upload, offset, picture[offset:])
    assert offset_of(ann, upload) == len(picture)
    [key] = inbox(ben)
    assert ben.get(key).content == picture


def test_of_many_open_ones_the_oldest_empty_one_gives_way(ann: Person, ben: Person) -> None:
    empty = begin(ann, 1000, receiver_uid=ben.uid).headers["Location"]
    begun = [begin(ann, 1000, receiver_uid=ben.uid).headers["Location"] for _ in range(19)]
    for upload in begun:
        send_piece(ann, upload, 0, jpeg(1000)[:10])
    newest = begin(ann, 1000, receiver_uid=ben.uid).headers["Location"]
    assert ann.request("HEAD", empty, headers=TUS).status_code == 404
    send_piece(ann, newest, 0, jpeg(1000)[:10])
    refused = begin(ann, 1000, receiver_uid=ben.uid)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    ann.request("DELETE", newest, headers=TUS)
    assert begin(ann, 1000, receiver_uid=ben.uid).status_code == 201


def test_the_receiver_is_checked_before_the_first_byte_and_at_the_end(ann: Person, ben: Person) -> None:
    assert begin(ann, 1000, receiver_uid=987654321).json()["code"] == "recipient_unavailable"
    assert begin(ann, 1000, receiver_uid=ben.uid, caption="x" * 501).status_code == 422
    assert begin(ann, 1000, receiver_uid=ben.uid, nonsense="x").status_code == 422
    assert begin(ann, 1000).status_code == 422
    assert begin(ann, 21_000_000, receiver_uid=ben.uid).json()["code"] == "image_too_large"
    empty = begin(ann, 0, receiver_uid=ben.uid).json()
    assert (empty["code"], [wrong["field"] for wrong in empty["errors"]]) == ("missing_image", ["img_file"])
    picture = jpeg(20_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, picture[:10_000])
    assert ben.request("DELETE", "/v1/me").status_code == 204
    refused = send_piece(ann, upload, 10_000, picture[10_000:])
    assert (refused.status_code, refused.json()["code"]) == (403, "recipient_unavailable")
    assert ann.request("HEAD", upload, headers=TUS).status_code == 404
    assert not file_of(ann.server, upload).exists()


def test_a_block_is_not_seen_and_nothing_arrives(ann: Person, ben: Person) -> None:
    picture = jpeg(20_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, picture[:10_000])
    assert ben.request("PUT", f"/v1/blocks/{ann.uid}").status_code == 204
    assert send_piece(ann, upload, 10_000, picture[10_000:]).status_code == 204
    assert begin(ann, 1000, receiver_uid=ben.uid).status_code == 201
    assert inbox(ben) == []


def test_who_leaves_takes_their_uploads_along(ann: Person, ben: Person) -> None:
    upload = begin(ann, 20_000, receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, jpeg(20_000)[:10_000])
    export = ann.request("GET", "/v1/me/export").json()
    assert [(row["received"], row["receiver_uid"]) for row in export["uploads"]] == [(10_000, ben.uid)]
    assert file_of(ann.server, upload).exists()
    assert ann.request("DELETE", "/v1/me").status_code == 204
    wait_until(lambda: not file_of(ann.server, upload).exists(), what="the end of the bytes")


def test_a_new_key_goes_on_with_what_the_old_one_began(ann: Person, ben: Person) -> None:
    picture = jpeg(20_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    send_piece(ann, upload, 0, picture[:10_000])
    renewed = ann.request("POST", "/v1/me/ukey").json()["ukey"]
    again = Person(ann.server, ann.uid, renewed, ann.phone_hash)
    assert send_piece(again, upload, 10_000, picture[10_000:]).status_code == 204
    assert len(inbox(ben)) == 1


def test_a_creation_with_a_key_is_one_upload_however_often_it_comes(ann: Person, ben: Person) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = [begin(ann, 20_000, key, receiver_uid=ben.uid) for _ in range(2)]
    assert first.headers["Location"] == second.headers["Location"]
    picture = jpeg(20_000)
    done = send_piece(ann, first.headers["Location"], 0, picture)
    third = begin(ann, 20_000, key, receiver_uid=ben.uid)
    assert (third.status_code, third.headers["Upload-Offset"]) == (201, "20000")
    assert third.headers["Message-Key"] == done.headers["Message-Key"]
    nothing_more = send_piece(ann, first.headers["Location"], 20_000, b"")
    assert nothing_more.headers["Message-Key"] == done.headers["Message-Key"]
    other = begin(ann, 20_001, key, receiver_uid=ben.uid)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    ann.request("DELETE", first.headers["Location"], headers=TUS)
    assert begin(ann, 20_000, key, receiver_uid=ben.uid).headers["Location"] != first.headers["Location"]


def test_a_length_that_lies_ends_the_upload(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(900_000)
    upload = begin(ann, 10_000, receiver_uid=ben.uid).headers["Location"]
    assert send_piece(ann, upload, 0, picture).status_code == 400
    assert offset_of(ann, upload) == 0
    fields = {**PIECE, "Upload-Offset": 0, "Transfer-Encoding": "chunked", "Host": "x", "Connection": "close"}
    head = f"PATCH {upload} HTTP/1.1\r\n{by(ann)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items())
    body = b"%x\r\n" % len(picture) + picture + b"\r\n0\r\n\r\n"
    refused = server.raw(head.encode() + b"\r\n" + body)
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert b"Upload-Offset" not in refused
    assert ann.request("HEAD", upload, headers=TUS).status_code == 404


def test_a_post_may_mean_another_method(ann: Person, ben: Person) -> None:
    picture = jpeg(20_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    meant = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    fields = "".join(f"{name}: {value}\r\n" for name, value in meant.items())
    head = (
        f"POST {upload} HTTP/1.1\r\nHost: x\r\n{by(ann)}\r\n{fields}Content-Length: 20000\r\nConnection: close\r\n\r\n"
    )
    assert ann.server.raw(head.encode() + picture).startswith(b"HTTP/1.1 204 ")
    assert len(inbox(ben)) == 1
    message = f"/v1/messages/1 HTTP/1.1\r\nHost: x\r\n{by(ann)}\r\nX-HTTP-Method-Override: DELETE\r\nConnection: close"
    assert ann.server.raw(f"POST {message}\r\n\r\n".encode()).startswith(b"HTTP/1.1 405 ")


def test_another_version_of_tus_is_told_so(ann: Person) -> None:
    refused = ann.request("POST", "/v1/uploads", headers={"Tus-Resumable": "0.2.2", "Upload-Length": "10"})
    assert (refused.status_code, refused.json()["code"]) == (412, "unsupported_version")
    assert refused.headers["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("length", ["", "x", "-1", "1.5", "9" * 20, "１"])
def test_a_length_that_is_no_number_is_refused(ann: Person, ben: Person, length: str) -> None:
    said = {**TUS, "Upload-Length": length.encode(), "Upload-Metadata": metadata({"receiver_uid": ben.uid})}
    assert ann.request("POST", "/v1/uploads", headers=said).status_code == 400


def test_a_preview_may_come_beside_the_bytes(ann: Person, ben: Person) -> None:
    picture, preview = jpeg(20_000), jpeg(900, width=320, height=240)
    upload = begin(ann, len(picture), receiver_uid=ben.uid, placeholder="1QcSHQRnh493V4dIh4eXh1h4kJUI").headers[
        "Location"
    ]
    for wrong in (b"no picture", b"", bytes(100_000), jpeg(900, width=513, height=8)):
        refused = ann.request("PUT", f"{upload}/thumbnail", content=wrong)
        assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (422, ["body"])
    assert ann.request("PUT", f"{upload}/thumbnail", content=preview).status_code == 204
    assert ben.request("PUT", f"{upload}/thumbnail", content=preview).status_code == 404
    key = send_piece(ann, upload, 0, picture).headers["Message-Key"]
    assert ann.request("PUT", f"{upload}/thumbnail", content=preview).status_code == 400
    [item] = ben.request("GET", "/v1/inbox").json()["items"]
    assert (item["placeholder"], item["has_thumbnail"]) == ("1QcSHQRnh493V4dIh4eXh1h4kJUI", True)
    assert ben.request("GET", f"/v1/images/{key}/thumbnail").content == preview


# -- servers of their own --


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, SETTINGS)
    yield server
    if server.process and server.process.poll() is None:
        server.stop()
    assert server.failures() == []


POINTS = (
    *("before_offset_told:2", "after_offset_told:2", "before_link", "after_link", "after_dirsync"),
    *("before_image_commit", "after_image_commit", "after_upload_sent", "before_upload_removed"),
)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("point", POINTS)
def test_a_server_that_is_killed_loses_nothing_that_it_told_and_sends_one_image(mortal: Server, point: str) -> None:
    killed_at(mortal, point, Spoken())


@pytest.mark.parametrize(
    ("point", "spoken"),
    [(point, each) for nth, point in enumerate(POINTS) for each in (BY_IETF * 2)[nth % 4 :][: rounds(1, 4)]],
    ids=str,
)
def test_a_server_that_is_killed_keeps_its_word_in_each_version(mortal: Server, point: str, spoken: Spoken) -> None:
    killed_at(mortal, point, spoken)


@pytest.mark.parametrize(("point", "version"), [("before_image_commit", 3), ("after_image_commit", 8)])
def test_an_image_in_one_request_goes_on_by_its_104_when_the_server_was_killed(
    mortal: Server, point: str, version: int
) -> None:
    mortal.start(GLIMPSE_FAULT=point)
    ann, ben, spoken = mortal.register("Ann"), mortal.register("Ben"), Spoken(version)
    picture = jpeg(150_000)
    with mortal.connect() as line:
        line.sendall(whole_in_one(ann, ben, version, len(picture)))
        interim = read_answer(line)
        assert interim
        line.sendall(picture)
        assert mortal.wait() == -signal.SIGKILL
    mortal.start()
    upload = interim.headers["location"]
    offset = spoken.offset_of(ann, upload)
    assert (offset == len(picture)) == (point == "after_image_commit")
    done = spoken.send_rest(ann, upload, picture, offset)
    assert inbox(ben) == [done.headers["Message-Key"]]
    assert ben.get(done.headers["Message-Key"]).content == picture


def killed_at(mortal: Server, point: str, spoken: Spoken) -> None:
    mortal.start(GLIMPSE_FAULT=point)
    ann, ben = mortal.register("Ann"), mortal.register("Ben", cid="cid-ben")
    picture = jpeg(150_000)
    upload = spoken.begin(ann, ben, len(picture)).headers["Location"]
    told, reply = 0, None
    while reply is None or told < len(picture):
        try:
            reply = spoken.send(ann, upload, told, picture[told : told + 50_000], done=told == 100_000)
            told = int(reply.headers["Upload-Offset"])
        except BROKEN:
            assert mortal.wait() == -signal.SIGKILL
            check_database(mortal.data_dir, in_flight=2)
            mortal.start()
            before, told = told, spoken.offset_of(ann, upload)
            assert told >= before
            if told == len(picture):
                reply = spoken.send_rest(ann, upload, picture, 100_000)
    assert reply.status_code == spoken.ended
    assert inbox(ben) == [reply.headers["Message-Key"]]
    assert ben.get(reply.headers["Message-Key"]).content == picture
    wait_until(lambda: pushes_due(mortal.data_dir) == 0, what="the push")
    assert rows(mortal.data_dir, "SELECT count(*) FROM outbox") == [(1,)]
    assert mortal.stop() == 0
    asyncio.run(sweep_orphans(mortal.data_dir))
    assert orphans(mortal.data_dir) == set()


@pytest.mark.usefixtures("engine")
def test_what_a_broken_line_was_told_is_there_however_often_the_server_dies(mortal: Server) -> None:
    mortal.start()
    lines = BrokenLines(mortal)
    with lines.sending():
        for _ in range(4):
            lines.wait_for_progress()
            mortal.kill()
            lines.check_files(mortal.data_dir)
            mortal.start()
    check_promises(lines.ben, lines.told)
    assert len(lines.told.accepted) >= 4
    assert mortal.stop() == 0
    asyncio.run(sweep_orphans(mortal.data_dir))
    check_database(mortal.data_dir)


@pytest.mark.usefixtures("engine")
def test_what_a_slow_line_brings_is_told_while_it_goes_on(mortal: Server) -> None:
    mortal.start()
    ann, ben = mortal.register("Ann"), mortal.register("Ben")
    picture = jpeg(600_000)
    upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
    fields = {**PIECE, "Upload-Offset": 0, "Content-Length": len(picture), "Host": "x"}
    head = f"PATCH {upload} HTTP/1.1\r\n{by(ann)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items())
    pieces = (picture[at : at + 1000] for at in range(0, 500_000, 1000))
    with mortal.connect() as line:
        line.sendall(head.encode() + b"\r\n")

        def is_told() -> bool:
            line.sendall(next(pieces))
            return rows(mortal.data_dir, "SELECT count(*) FROM uploads WHERE received > 0") == [(1,)]

        wait_until(is_told, what="an offset", pause=0.05)
        mortal.kill()
    mortal.start()
    assert offset_of(ann, upload) > 0
    assert ben.get(go_on(ann, upload, picture).headers["Message-Key"]).content == picture


@pytest.mark.usefixtures("engine")
def test_an_upload_goes_on_after_a_restart_and_an_old_one_is_gone(tmp_path: Path) -> None:
    picture = jpeg(150_000)
    with running(tmp_path, SETTINGS) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        upload, old = [begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"] for _ in range(2)]
        for each in (upload, old):
            send_piece(ann, each, 0, picture[:50_000])
        break_off(ann, upload, 50_000, picture[50_000:], 40_000, hard=False)
        assert server.stop() == 0
        server.start()
        offset = offset_of(ann, upload)
        assert 50_000 <= offset <= 90_000
        assert send_piece(ann, upload, offset, picture[offset:]).status_code == 204
        server.database.execute(f"UPDATE uploads SET expires_at = 1 WHERE upload_id = '{old.rpartition('/')[2]}'")
        wait_until(lambda: not file_of(server, old).exists(), what="the end of the old one")
        assert ann.request("HEAD", old, headers=TUS).status_code == 404


def test_pieces_of_a_byte_are_charged_for_what_is_read_again(tmp_path: Path) -> None:
    with running(tmp_path, {"limits": {"rates": {"per_account": {"image_bytes": "1000000/day"}}}}) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        picture = jpeg(600_000)
        upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
        send_piece(ann, upload, 0, picture[:400_000])
        seen = [send_piece(ann, upload, at, picture[at : at + 1]).status_code for at in range(400_000, 400_030)]
        assert (seen[:20], seen[-1]) == ([204] * 20, 429)
        assert server.failures() == []


def test_what_does_not_count_takes_no_room(tmp_path: Path) -> None:
    settings = {**SETTINGS, "storage": {"max_bytes": 300_000}, "retention": {"interval_seconds": 3600}}
    with running(tmp_path, settings) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        picture, wrong = jpeg(200_000), {"Upload-Checksum": "sha256 " + b64encode(bytes(32)).decode()}
        upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
        seen = [send_piece(ann, upload, 0, picture, wrong).status_code for _ in range(5)]
        assert seen == [460] * 5
        done = [send_piece(ann, upload, 0, picture) for _ in range(2)]
        assert [reply.status_code for reply in done] == [204] * 2
        assert done[0].headers["Message-Key"] == done[1].headers["Message-Key"]
        assert server.failures() == []


def test_a_full_store_refuses_bytes_and_takes_them_when_there_is_room(tmp_path: Path) -> None:
    with running(tmp_path, {**SETTINGS, "storage": {"max_bytes": 300_000}}) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        assert begin(ann, 400_000, receiver_uid=ben.uid).status_code == 507
        picture = jpeg(200_000)
        upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
        key = ann.send(ben, jpeg(150_000)).headers["Message-Key"]
        full = send_piece(ann, upload, 0, picture)
        assert (full.status_code, full.json()["code"]) == (507, "storage_full")
        ben.request("DELETE", f"/v1/images/{key}")
        wait_until(lambda: send_piece(ann, upload, 0, picture).status_code == 204, what="the room")
        assert server.failures() == []
