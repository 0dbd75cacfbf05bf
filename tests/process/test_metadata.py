# SPDX-License-Identifier: Apache-2.0
"""The place in a picture's metadata: gone before anybody can read it, whatever its sender's phone has written."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator

import pytest

from models.metadata import Removal
from tests.models.imagefile.forms import box, ftyp, hvcc, ispe, webp_chunk
from tests.models.metadata.parts import (
    EXIF_SEGMENT,
    GIF_XMP,
    KEPT,
    PLACE,
    exif,
    exif_item,
    gif,
    heif,
    jpeg,
    png,
    png_chunk,
    removed,
    webp,
    xmp,
)
from tests.process.hostile_wire import CLOSE, FORM, by, chunked, form, image_part, part, provoke, request
from tests.support.harness import Person, Server, running

SIZES = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", ispe(8, 8) + hvcc(8, 8))))


def with_sizes(file: bytes) -> bytes:
    """A HEIF file with a second box that tells its size: the one with the item has none."""
    return file + SIZES


PICTURES = {
    "jpeg": jpeg(EXIF_SEGMENT, b"\xff\xfe\0\x0d" + KEPT),
    "png": png(png_chunk(b"eXIf", exif()), late=png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp())),
    "webp": webp(webp_chunk(b"EXIF", exif())),
    "gif": gif(GIF_XMP),
    "heic with its metadata behind its header": with_sizes(heif(exif_item())),
    "heic with its metadata before its header": with_sizes(heif(exif_item(), before=True)),
    "heic with its metadata in pieces": with_sizes(heif(exif_item(), pieces=3)),
}


@pytest.fixture(scope="module", params=["location", "all", "keep"])
def wanted(request: pytest.FixtureRequest) -> Removal | None:
    return None if request.param == "keep" else Removal(request.param)


@pytest.fixture(scope="module")
def server(wanted: Removal | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    images = {"metadata": wanted.value if wanted else "keep", "allow_opaque": True}
    with running(tmp_path_factory.mktemp("server"), {"images": images, "limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="module")
def ann(server: Server) -> Person:
    return server.register("Ann")


@pytest.fixture(scope="module")
def ben(server: Server) -> Person:
    return server.register("Ben")


@pytest.mark.parametrize("name", PICTURES)
def test_no_place_arrives(server: Server, wanted: Removal | None, ann: Person, ben: Person, name: str) -> None:
    picture = PICTURES[name]
    reply = ann.send(ben, picture)
    assert reply.status_code == 201, reply.text
    assert reply.headers.get("Metadata-Removed") == (wanted.value if wanted else None)
    key = reply.headers["Message-Key"]
    stored = server.data_dir / "images" / key[:2] / key[2:4] / key
    fetched = ben.get(key)
    assert fetched.content == stored.read_bytes() == (removed(picture, wanted) if wanted else picture)
    assert (PLACE in fetched.content) == (wanted is None)
    digest = b64encode(hashlib.sha256(fetched.content).digest()).decode()
    assert fetched.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    ben.request("DELETE", f"/v1/images/{reply.headers['Message-Key']}")


def test_no_place_arrives_in_single_bytes(server: Server, wanted: Removal | None, ann: Person, ben: Person) -> None:
    picture = PICTURES["jpeg"]
    body = form(part("receiver_uid", str(ben.uid).encode()), image_part(picture))
    head = request("POST", "/v1/images", by(ann), FORM, CLOSE, "Transfer-Encoding: chunked")
    (answer,) = provoke(server, head + chunked(body[at : at + 1] for at in range(len(body))))
    assert ben.get(answer.headers["message-key"]).content == (removed(picture, wanted) if wanted else picture)
    ben.request("DELETE", f"/v1/images/{answer.headers['message-key']}")


@pytest.mark.parametrize("name", ["jpeg", "heic with its metadata before its header"])
def test_the_same_key_stands_for_what_was_sent(ann: Person, ben: Person, name: str) -> None:
    """Two pictures of which nothing but the place is different are two."""
    key = {"Idempotency-Key": f"{name}".replace(" ", "-")}
    here, there = PICTURES[name], PICTURES[name].replace(PLACE, PLACE[::-1])
    first, again, other = (ann.send(ben, picture, headers=key) for picture in (here, here, there))
    assert first.status_code == again.status_code == 201
    assert first.headers["Message-Key"] == again.headers["Message-Key"]
    assert first.headers.get("Metadata-Removed") == again.headers.get("Metadata-Removed")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    ben.request("DELETE", f"/v1/images/{first.headers['Message-Key']}")


def test_opaque_bytes_are_never_touched(server: Server, wanted: Removal | None, ann: Person, ben: Person) -> None:
    to, opaque = part("receiver_uid", str(ben.uid).encode()), part("filetype", b"opaque")
    picture = PICTURES["jpeg"]
    for body, status in (
        (form(to, opaque, image_part(picture)), 201),
        (form(image_part(bytes(500) + PLACE), to, opaque), 201),
        (form(image_part(picture), to, opaque), 422 if wanted else 201),
    ):
        files = server.stored_files()
        (answer,) = provoke(server, request("POST", "/v1/images", by(ann), FORM, CLOSE, body=body))
        assert answer.status == status
        if status == 201:
            assert "metadata-removed" not in answer.headers
            assert PLACE in ben.get(answer.headers["message-key"]).content
            ben.request("DELETE", f"/v1/images/{answer.headers['message-key']}")
        else:
            assert answer.refusal == (422, "invalid_field")
            assert set(server.stored_files()) <= set(files)


def test_what_is_built_to_cost_work_is_refused_and_leaves_nothing(
    server: Server, wanted: Removal | None, ann: Person, ben: Person
) -> None:
    files = server.stored_files()
    picture = jpeg(behind=b"\xff\xd8\xff\xd9" * 200_000)
    reply = ann.send(ben, picture)
    if wanted is None:
        assert reply.status_code == 201
        ben.request("DELETE", f"/v1/images/{reply.headers['Message-Key']}")
    else:
        assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_image")
        assert set(server.stored_files()) <= set(files)


def test_a_heif_file_of_no_picture_is_refused_as_before(ann: Person, ben: Person) -> None:
    reply = ann.send(ben, ftyp(b"heic") + box(b"mdat", PLACE))
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_image")
