# SPDX-License-Identifier: Apache-2.0
"""What shows an image before it is opened: the sender's preview and placeholder."""

import json
import os
import signal
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ops.backup import backup
from ops.fsck import fsck
from ops.restore import restore
from services.previews import MAX_PREVIEW_BYTES
from tests.models.imagefile.forms import webp_chunk
from tests.models.metadata import parts
from tests.models.metadata.parts import EXIF_SEGMENT, PLACE, exif, png_chunk
from tests.ops.commands import asked
from tests.process.invariants import KEPT, rows
from tests.process.test_uploads import begin, send_piece
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import BROKEN, Person, Server, running, wait_until
from tests.support.pictures import gif, jpeg, png

THUMB = jpeg(600, width=64, height=48)
PLACEHOLDER = "1QcSHQRnh493V4dIh4eXh1h4kJUI"


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    settings = {"limits": {"enabled": False}, "images": {"allow_opaque": True}, "delivery": {"grace_seconds": 0}}
    with running(new_folder("server"), settings) as server:
        yield server
        assert server.failures() == []


def sent(ann: Person, ben: Person, image: bytes | None = None, thumbnail: bytes | None = THUMB, **fields: str) -> str:
    reply = ann.send(ben, image or jpeg(), None, thumbnail, **fields)
    assert reply.status_code == 201, reply.text
    return reply.headers["Message-Key"]


def file_of(server: Server, key: str) -> Path:
    return server.data_dir / "images" / key[:2] / key[2:4] / f"{key}.t"


def test_a_preview_is_shown_without_consuming_and_gone_with_its_image(server: Server, ann: Person, ben: Person) -> None:
    key = sent(ann, ben, placeholder=PLACEHOLDER)
    for _ in range(2):
        reply = ben.request("GET", f"/v1/images/{key}/thumbnail")
        assert (reply.status_code, reply.content) == (200, THUMB)
        assert reply.headers["Content-Type"] == "image/jpeg"
    assert ann.status(key)["state"] == "pending"
    assert file_of(server, key).exists()
    assert ben.request("DELETE", f"/v1/images/{key}").status_code == 204
    gone = ben.request("GET", f"/v1/images/{key}/thumbnail")
    assert (gone.status_code, gone.json()["code"]) == (410, "image_consumed")
    wait_until(lambda: not file_of(server, key).exists())


def test_lists_say_what_there_is_to_see(ann: Person, ben: Person) -> None:
    with_both, plain = sent(ann, ben, placeholder=PLACEHOLDER), sent(ann, ben, thumbnail=None)
    said = {with_both: (PLACEHOLDER, True), plain: (None, False)}
    inbox = ben.request("GET", "/v1/inbox").json()["items"]
    history = ben.request("GET", "/v1/messages", params={"with_uid": ann.uid}).json()["items"]
    own = ann.request("GET", "/v1/messages", params={"with_uid": ben.uid}).json()["items"]
    events = [event["data"] for event in ben.request("GET", "/v1/events", params={"after": 0}).json()["items"]]
    for told in (inbox, history, own, events):
        assert {each["message_key"]: (each["placeholder"], each["has_thumbnail"]) for each in told} == said
    ben.request("DELETE", f"/v1/images/{with_both}")

    def is_silent() -> bool:
        entries = ann.request("GET", "/v1/messages", params={"with_uid": ben.uid}).json()["items"]
        return [(each["placeholder"], each["has_thumbnail"]) for each in entries] == [(None, False)] * 2

    wait_until(is_silent)


def test_an_image_without_a_preview_says_so(ann: Person, ben: Person) -> None:
    reply = ben.request("GET", f"/v1/images/{sent(ann, ben, thumbnail=None)}/thumbnail")
    assert (reply.status_code, reply.json()["code"]) == (404, "no_thumbnail")


@pytest.mark.parametrize(
    "thumbnail",
    {
        "jpeg": parts.jpeg(EXIF_SEGMENT),
        "png": parts.png(png_chunk(b"eXIf", exif())),
        "webp": parts.webp(webp_chunk(b"EXIF", exif())),
    }.values(),
    ids=["jpeg", "png", "webp"],
)
def test_no_place_is_left_in_a_preview(server: Server, ann: Person, ben: Person, thumbnail: bytes) -> None:
    assert PLACE in thumbnail
    key = sent(ann, ben, thumbnail=thumbnail)
    shown = ben.request("GET", f"/v1/images/{key}/thumbnail").content
    assert len(shown) == len(thumbnail)
    assert PLACE not in shown
    assert PLACE not in file_of(server, key).read_bytes()


def test_the_preview_of_an_opaque_image_is_opaque_and_left_alone(ann: Person, ben: Person) -> None:
    thumbnail = parts.jpeg(EXIF_SEGMENT)
    key = sent(ann, ben, b"\0secret", thumbnail, filetype="opaque")
    reply = ben.request("GET", f"/v1/images/{key}/thumbnail")
    assert reply.content == thumbnail
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.headers["Content-Disposition"] == "attachment"


@pytest.mark.parametrize(
    ("thumbnail", "fields", "status", "code"),
    [
        (b"no picture", {}, 422, "invalid_field"),
        (b"", {}, 422, "invalid_field"),
        (gif(), {}, 422, "invalid_field"),
        (jpeg(width=513, height=10), {}, 422, "invalid_field"),
        (png(4, 513), {}, 422, "invalid_field"),
        (jpeg(MAX_PREVIEW_BYTES + 1, width=64, height=48), {}, 413, "too_large"),
        (THUMB, {"placeholder": "not base64"}, 422, "invalid_field"),
        (THUMB, {"placeholder": ""}, 422, "invalid_field"),
        (THUMB, {"placeholder": "A" * 68}, 422, "invalid_field"),
    ],
)
def test_what_is_no_preview_is_refused_and_leaves_nothing(
    server: Server, ann: Person, ben: Person, thumbnail: bytes, fields: dict[str, str], status: int, code: str
) -> None:
    before = server.stored_files()
    reply = ann.send(ben, jpeg(), None, thumbnail, **fields)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    if code == "invalid_field":
        [error] = reply.json()["errors"]
        assert error["field"] == ("placeholder" if fields else "thumb_file")
    assert ben.request("GET", "/v1/inbox").json()["items"] == []
    assert server.stored_files() == before


def test_the_largest_preview_beside_the_largest_form_is_taken(ann: Person, ben: Person) -> None:
    largest = jpeg(MAX_PREVIEW_BYTES, width=512, height=512)
    assert ben.request("GET", f"/v1/images/{sent(ann, ben, thumbnail=largest)}/thumbnail").content == largest


def test_a_refused_image_leaves_no_preview(server: Server, ann: Person) -> None:
    before = server.stored_files()
    nobody = Person(server, 10**9, "", "")
    assert ann.send(nobody, jpeg(), thumbnail=THUMB).json()["code"] == "recipient_unavailable"
    assert server.stored_files() == before


def test_a_repeat_keeps_the_first_preview(ann: Person, ben: Person) -> None:
    image, headers = jpeg(), {"Idempotency-Key": "once"}
    first = ann.send(ben, image, headers, THUMB)
    again = ann.send(ben, image, headers, jpeg(700, width=32, height=32))
    assert (first.status_code, again.headers["Message-Key"]) == (201, first.headers["Message-Key"])
    assert ben.request("GET", f"/v1/images/{first.headers['Message-Key']}/thumbnail").content == THUMB


@pytest.mark.parametrize(
    ("point", "left"),
    [
        ("after_link:1", 1),
        ("before_link:2", 1),
        ("after_link:2", 2),
        ("before_image_commit", 2),
        ("after_image_commit", 0),
    ],
)
@pytest.mark.parametrize("by", ["form", "upload"])
def test_a_server_that_dies_over_a_preview_leaves_nothing_that_is_not_found(
    tmp_path: Path, by: str, point: str, left: int
) -> None:
    image = jpeg(40_000)
    with running(tmp_path, GLIMPSE_FAULT=point) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        send = partial(ann.send, ben, image, {"Idempotency-Key": "once"}, THUMB)
        if by == "upload":
            upload = begin(ann, len(image), receiver_uid=ben.uid).headers["Location"]
            assert ann.request("PUT", f"{upload}/thumbnail", content=THUMB).status_code == 204
            send = partial(send_piece, ann, upload, 0, image)
        with pytest.raises(BROKEN):
            send()
        assert server.wait() == -signal.SIGKILL
        known = {key for (key,) in rows(server.data_dir, KEPT)}
        files = {file.name for file in server.stored_files() if file.parent.name != ".uploads"}
        assert len({name for name in files if name.partition(".")[0] not in known}) == left
        server.start()
        reply = send()
        [item] = ben.request("GET", "/v1/inbox").json()["items"]
        assert item["message_key"] == reply.headers["Message-Key"]
        assert ben.request("GET", f"/v1/images/{item['message_key']}/thumbnail").content == THUMB
        for file in server.stored_files():
            os.utime(file, (0, 0))  # so that they are old enough to be nobody's
        assert asked(fsck, server.data_dir, status=1 if left else 0)["problems"]["orphan_files"] == left
        asked(fsck, server.data_dir, "--repair")
        assert asked(fsck, server.data_dir)["clean"]
        assert {file.name for file in server.stored_files()} == {item["message_key"], f"{item['message_key']}.t"}


@ON_SQLITE
def test_a_backup_brings_the_preview_back(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "before") as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        key = sent(ann, ben)
        asked(backup, server.data_dir, tmp_path / "backup", "--with-images")
    (tmp_path / "after" / "data").mkdir()
    asked(restore, tmp_path / "after" / "data", tmp_path / "backup")
    with running(tmp_path / "after") as server:
        back = replace(ben, server=server)
        assert back.request("GET", f"/v1/images/{key}/thumbnail").content == THUMB


@pytest.mark.parametrize("filetype", ["jpeg", "png", "gif", "webp"])
def test_an_image_is_shown_inline_where_it_is_wished_and_a_browser_can(ann: Person, ben: Person, filetype: str) -> None:
    pictures = {"jpeg": jpeg(), "png": png(), "gif": gif(), "webp": parts.webp()}
    key = sent(ann, ben, pictures[filetype], None)
    named = "attachment; filename="
    for params, said in (({}, named), ({"disposition": "attachment"}, named), ({"disposition": "inline"}, "inline")):
        reply = ben.get(key, params={"ack": "manual", **params})
        assert reply.headers["Content-Disposition"].startswith(said)
        assert reply.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    phones = {"sender_phone": ann.phone_hash, "receiver_phone": ben.phone_hash}
    oldest = ben.request("HEAD", "/v1/images", params={**phones, "disposition": "inline"})
    assert oldest.headers["Content-Disposition"] == "inline"


def test_what_a_browser_cannot_show_stays_an_attachment(ann: Person, ben: Person) -> None:
    key = sent(ann, ben, b"\0secret", None, filetype="opaque")
    reply = ben.get(key, params={"disposition": "inline", "ack": "manual"})
    assert reply.headers["Content-Disposition"].startswith("attachment; ")
    refused = ben.get(key, params={"disposition": "here", "ack": "never"})
    assert [error["field"] for error in refused.json()["errors"]] == ["ack", "disposition"]


def photo(size: tuple[int, int] = (900, 600), name: str = "JPEG") -> bytes:
    out = BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(out, name)
    return out.getvalue()


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"limits": {"enabled": False}, "images": {"previews": "make", "allow_opaque": True}}
    with running(tmp_path_factory.mktemp("maker"), settings) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        # A child is ready soon after the server, and nothing waits for it.
        wait_until(lambda: is_shown(ben, sent(ann, ben, photo(), None)))
        yield server
        assert server.failures() == []


def is_shown(ben: Person, key: str) -> bool:
    return ben.request("GET", f"/v1/images/{key}/thumbnail").status_code == 200


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_preview_is_made_where_none_is_given(maker: Server, name: str) -> None:
    ann, ben = maker.register("Ann"), maker.register("Ben")
    key = sent(ann, ben, photo(name=name), None)
    [item] = ben.request("GET", "/v1/inbox").json()["items"]
    assert item["has_thumbnail"]
    assert 5 <= len(b64decode(item["placeholder"])) <= 25
    made = ben.request("GET", f"/v1/images/{key}/thumbnail")
    assert made.headers["Content-Type"] == "image/jpeg"
    assert Image.open(BytesIO(made.content)).size == (320, 213)


def test_what_the_sender_gives_is_kept(maker: Server) -> None:
    ann, ben = maker.register("Ann"), maker.register("Ben")
    key = sent(ann, ben, photo(), THUMB)
    assert ben.request("GET", f"/v1/images/{key}/thumbnail").content == THUMB
    sent(ann, ben, photo(), None, placeholder=PLACEHOLDER)
    first, second = ben.request("GET", "/v1/inbox").json()["items"]
    assert (first["placeholder"], second["placeholder"], second["has_thumbnail"]) == (None, PLACEHOLDER, True)


def test_what_cannot_be_decoded_arrives_without_a_preview(maker: Server) -> None:
    ann, ben = maker.register("Ann"), maker.register("Ben")
    for image, fields in ((jpeg(), {}), (b"\0secret", {"filetype": "opaque"})):
        assert not is_shown(ben, sent(ann, ben, image, None, **fields))
    assert is_shown(ben, sent(ann, ben, photo(), None))


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_an_image_arrives_though_its_decoder_hangs_or_has_died_and_the_next_persons_is_shown(
    maker: Server, how: signal.Signals
) -> None:
    ann, ben = maker.register("Ann"), maker.register("Ben")
    [child] = children_of(maker)
    os.kill(child, how)
    key = sent(ann, ben, photo(), None)
    assert ben.get(key, params={"ack": "manual"}).status_code == 200
    assert not is_shown(ben, key)
    other = maker.register("Eve")
    wait_until(lambda: is_shown(ben, sent(other, ben, photo(), None)), what="a new child")
    assert child not in children_of(maker)


def children_of(server: Server) -> list[int]:
    assert server.process
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_no_previews_are_kept_where_they_are_off(tmp_path: Path) -> None:
    with running(tmp_path, {"images": {"previews": "off"}}) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        assert not is_shown(ben, sent(ann, ben, photo(), placeholder=PLACEHOLDER))
        [item] = ben.request("GET", "/v1/inbox").json()["items"]
        assert (item["placeholder"], item["has_thumbnail"]) == (None, False)


@contextmanager
def notifying(folder: Path, picture: str | None, public_url: str = "https://x.example") -> Iterator[Server]:
    """A server whose notifications say this much of an image."""
    settings = {
        "server": {"public_url": public_url},
        "push": {"picture": picture},
        "limits": {"enabled": False},
        "delivery": {"grace_seconds": 0},
    }
    with running(folder, settings) as server:
        yield server


def notification(server: Server, key: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        log = server.data_dir / "outbox.log"
        lines = log.read_text().splitlines() if log.exists() else []
        payloads = [json.loads(line).get("payload", {}) for line in lines]
        return [payload for payload in payloads if payload.get("message_key") == key]

    wait_until(lambda: bool(found()))
    payload: dict[str, Any] = found()[0]
    return payload


@pytest.mark.parametrize(
    ("picture", "public_url", "told"),
    [
        (None, "https://x.example", set()),
        ("none", "https://x.example", set()),
        ("placeholder", "https://x.example", {"placeholder"}),
        ("preview", "", {"placeholder"}),
        ("preview", "https://x.example", {"placeholder", "thumbnail_url"}),
        ("preview", "https://" + "x" * 60 + ".example", {"placeholder", "thumbnail_url"}),
    ],
)
def test_a_notification_says_as_much_as_the_operator_decides(
    tmp_path: Path, picture: str | None, public_url: str, told: set[str]
) -> None:
    with notifying(tmp_path, picture, public_url) as server:
        ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        payload = notification(server, sent(ann, ben, placeholder=PLACEHOLDER))
        assert payload.keys() & {"placeholder", "thumbnail_url"} == told
        if "thumbnail_url" in told:
            assert payload["thumbnail_url"].startswith(f"{public_url}/v1/thumbnails/")
        plain = notification(server, sent(ann, ben, thumbnail=None))
        assert plain.keys() & {"placeholder", "thumbnail_url"} == set()


def test_a_token_shows_the_preview_to_its_device_until_the_image_ends(new_folder: NewFolder) -> None:
    with notifying(new_folder("notifying"), "preview") as server:
        ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        key = sent(ann, ben)
        path = notification(server, key)["thumbnail_url"].removeprefix("https://x.example")
        for _ in range(2):
            shown = server.client.get(path)
            assert (shown.status_code, shown.content) == (200, THUMB)
        assert ann.status(key)["state"] == "pending"
        assert server.client.get(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404
        assert ben.request("DELETE", f"/v1/images/{key}").status_code == 204
        gone = server.client.get(path)
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
        token = path.rpartition("/")[2]
        log = server.log.read_text()
        assert "/v1/thumbnails/{token}" in log
        assert token not in log


@pytest.mark.parametrize("how", ["recalled", "device gone", "blocked"])
def test_a_token_of_what_has_ended_shows_nothing(tmp_path: Path, how: str) -> None:
    with notifying(tmp_path, "preview") as server:
        ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        key = sent(ann, ben)
        path = notification(server, key)["thumbnail_url"].removeprefix("https://x.example")
        assert server.client.get(path).status_code == 200
        if how == "recalled":
            ann.request("DELETE", f"/v1/images/{key}")
        elif how == "blocked":
            ben.request("PUT", f"/v1/blocks/{ann.uid}")
        else:
            [device] = ben.request("GET", "/v1/devices").json()["items"]
            ben.request("DELETE", f"/v1/devices/{device['device_id']}")
        assert server.client.get(path).status_code == 404
