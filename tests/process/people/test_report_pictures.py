# SPDX-License-Identifier: Apache-2.0
"""What a report shows: the picture that was sent along, or the reported image, kept until the report is resolved."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.fsck import fsck
from ops.reports import reports
from tests.models.metadata import parts
from tests.ops.commands import asked, invoke, refused
from tests.process.people.acts import report
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg, png

QUICK = {"delivery": {"grace_seconds": 0}, "retention": {"interval_seconds": 1}, "images": {"max_bytes": 100_000}}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("reported"), {**QUICK, "limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


def sent_along(one: Person, picture: bytes | None, **fields: object) -> httpx.Response:
    """A report by form."""
    files = {"img_file": ("picture", picture)} if picture is not None else {"reason": (None, "as a form")}
    return one.request("POST", "/v1/reports", data=fields, files=files)


def picture_of(server: Server, report_id: int, folder: Path) -> bytes:
    """What the operator gets to see."""
    file = folder / "shown"
    printed = invoke(reports, server.data_dir, "show", report_id, "--picture", file)
    assert (printed.exit_code, file.stat().st_mode & 0o777) == (0, 0o600), printed.output
    return file.read_bytes()


def names(server: Server) -> set[str]:
    return {file.name for file in server.stored_files()}


def test_a_reported_image_outlives_its_message_and_goes_with_the_report(
    server: Server, ann: Person, ben: Person, tmp_path: Path
) -> None:
    before, picture = names(server), jpeg(30_000)
    sent = ben.send(ann, picture)
    report_id = report(ann, message_id=int(sent.headers["Message-Id"]), reason="rude").json()["report_id"]
    assert ann.get(sent.headers["Message-Key"]).content == picture
    wait_until(lambda: sent.headers["Message-Key"] not in names(server), what="the end of the image")
    assert ben.request("DELETE", "/v1/me").status_code == 204
    shown = asked(reports, server.data_dir, "show", report_id)
    assert (shown["report"]["reason"], shown["picture"]["filetype"], shown["picture"]["size"]) == (
        "rude",
        "jpeg",
        len(picture),
    )
    assert f"picture: jpeg, {len(picture)} bytes" in invoke(reports, server.data_dir, "show", report_id).stdout
    assert picture_of(server, report_id, tmp_path) == picture
    assert not any(asked(fsck, server.data_dir)["problems"].values())
    asked(reports, server.data_dir, "resolve", report_id)
    wait_until(lambda: names(server) == before, what="the end of the picture")
    assert asked(reports, server.data_dir, "show", report_id)["picture"] is None


def test_a_picture_that_is_sent_along_tells_no_place(server: Server, ann: Person, ben: Person, tmp_path: Path) -> None:
    picture = parts.jpeg(parts.EXIF_SEGMENT)
    report_id = sent_along(ann, picture, uid=ben.uid, reason="rude").json()["report_id"]
    shown = picture_of(server, report_id, tmp_path)
    assert shown == parts.removed(picture)
    assert parts.PLACE not in shown
    asked(reports, server.data_dir, "resolve", report_id)


def test_a_recalled_image_is_still_shown(server: Server, ann: Person, ben: Person, tmp_path: Path) -> None:
    picture = jpeg(3000)
    sent = ben.send(ann, picture)
    report_id = report(ann, message_id=int(sent.headers["Message-Id"]), reason="rude").json()["report_id"]
    assert ben.request("DELETE", f"/v1/images/{sent.headers['Message-Key']}").status_code == 204
    wait_until(lambda: sent.headers["Message-Key"] not in names(server), what="the end of the image")
    assert picture_of(server, report_id, tmp_path) == picture


def test_an_image_that_is_gone_leaves_a_report_without_a_picture(server: Server, ann: Person, ben: Person) -> None:
    sent = ben.send(ann, jpeg(3000))
    ann.get(sent.headers["Message-Key"])
    wait_until(lambda: sent.headers["Message-Key"] not in names(server), what="the end of the image")
    report_id = report(ann, message_id=int(sent.headers["Message-Id"]), reason="late").json()["report_id"]
    assert asked(reports, server.data_dir, "show", report_id)["picture"] is None
    assert "picture: none" in invoke(reports, server.data_dir, "show", report_id).stdout
    assert "no picture" in refused(reports, server.data_dir, "show", report_id, "--picture", server.data_dir / "x")
    assert not (server.data_dir / "x").exists()
    assert "There is no such report" in refused(reports, server.data_dir, "show", 2**40)


def test_a_picture_that_is_sent_along_is_the_one_that_is_shown(
    server: Server, ann: Person, ben: Person, tmp_path: Path
) -> None:
    before, screenshot = names(server), png(20, 20)
    sent = ben.send(ann, jpeg(3000))
    about = {"message_id": sent.headers["Message-Id"], "reason": "see for yourself"}
    report_id = sent_along(ann, screenshot, **about).json()["report_id"]
    assert picture_of(server, report_id, tmp_path) == screenshot
    assert len(names(server) - before) == 2
    longest = "\U0001f600" * 2000
    of_a_person = sent_along(ann, jpeg(90_000), uid=ben.uid, reason=longest)
    assert of_a_person.status_code == 201
    assert asked(reports, server.data_dir, "show", of_a_person.json()["report_id"])["report"]["reason"] == longest


def test_a_form_without_a_picture_is_a_report_like_any(server: Server, ann: Person, ben: Person) -> None:
    reply = sent_along(ann, None, uid=ben.uid)
    assert reply.status_code == 201
    shown = asked(reports, server.data_dir, "show", reply.json()["report_id"])
    assert (shown["report"]["reason"], shown["picture"]) == ("as a form", None)


@pytest.mark.parametrize(
    ("picture", "fields", "status", "code"),
    [
        (b"", {}, 422, "missing_image"),
        (b"no picture at all", {}, 415, "unsupported_image"),
        (jpeg(200_000), {}, 413, "image_too_large"),
        (jpeg(3000), {"filetype": "opaque"}, 422, "invalid_field"),
        (jpeg(3000), {"uid": 2**40}, 404, "not_found"),
        (jpeg(3000), {"reason": ""}, 422, "invalid_field"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    server: Server, ann: Person, ben: Person, picture: bytes, fields: dict[str, object], status: int, code: str
) -> None:
    before = names(server)
    reply = sent_along(ann, picture, **{"uid": ben.uid, "reason": "rude", **fields})
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert names(server) == before


def test_an_upload_that_is_cut_leaves_nothing_behind(server: Server, ann: Person, ben: Person) -> None:
    before = names(server)
    form = {"uid": str(ben.uid), "reason": "x"}
    request = server.client.build_request("POST", "/v1/reports", data=form, files={"img_file": jpeg(80_000)})
    body = request.read()
    head = f"POST /v1/reports HTTP/1.1\r\nHost: x\r\nAuthorization: {ann.basic}\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {request.headers['Content-Type']}\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode() + body[: len(body) // 2])
    wait_until(lambda: '"status": 499' in server.log.read_text(), what="the end of the request")
    assert names(server) == before
    assert server.client.get("/readyz").status_code == 200
