# SPDX-License-Identifier: Apache-2.0
"""What the header of an image file says: small files made by hand, and hostile ones."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.imagefile import CONTENT_TYPES, EXTENSIONS, MAX_STEPS, HeaderReader

Header = tuple[str | None, int | None, int | None]

MIB = 1 << 20


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def frame(marker: int, width: int, height: int) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + bytes(9))


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + b"\xff\xda\x00\x02" + bytes(64) + b"\xff\xd9"


def png(width: int, height: int, *, first: bytes = b"IHDR", length: int = 13) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sII", length, first, width, height)
        + b"\x08\x06\0\0\0"
        + b"crc!"
        + bytes(40)
    )


def gif(width: int, height: int, version: bytes = b"89a") -> bytes:
    return b"GIF" + version + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(20)


def webp(chunk: bytes, payload: bytes) -> bytes:
    body = b"WEBP" + chunk + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8(width: int, height: int, *, tag: int = 0x10, start: bytes = b"\x9d\x01\x2a") -> bytes:
    return webp(b"VP8 ", bytes([tag, 2, 0]) + start + struct.pack("<HH", width | 0x4000, height) + bytes(30))


def vp8l(width: int, height: int, *, signature: int = 0x2F) -> bytes:
    return webp(b"VP8L", bytes([signature]) + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0")


def vp8x(width: int, height: int) -> bytes:
    return webp(b"VP8X", b"\x10\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def long_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, len(payload) + 16) + payload


def last_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 0, kind) + payload


def ftyp(major: bytes, *others: bytes) -> bytes:
    return box(b"ftyp", major + bytes(4) + b"".join(others))


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">III", 0, width, height))


def properties(*boxes: bytes) -> bytes:
    return box(b"iprp", box(b"ipco", b"".join(boxes)) + box(b"ipma", bytes(9)))


def meta(*boxes: bytes) -> bytes:
    return bytes(4) + box(b"hdlr", bytes(25)) + b"".join(boxes) + box(b"iloc", bytes(30))


MDAT = box(b"mdat", bytes(100))
WHOLE_AND_TILES = properties(ispe(512, 512), box(b"hvcC", bytes(50)), ispe(4032, 3024), ispe(512, 512))
EXIF = segment(0xE1, b"Exif\0\0" + bytes(65000))

IMAGES: dict[str, tuple[bytes, Header]] = {
    "baseline jpeg": (jpeg(segment(0xE0, b"JFIF\0" + bytes(9)), frame(0xC0, 640, 480)), ("jpeg", 640, 480)),
    "jpeg behind 5 MB of segments": (jpeg(*[EXIF] * 80, frame(0xC2, 4032, 3024)), ("jpeg", 4032, 3024)),
    "jpeg with tables and standalone markers": (
        jpeg(b"\xff\x01\xff\xd0", segment(0xC4, bytes(28)), segment(0xDB, bytes(65)), frame(0xC1, 3, 2)),
        ("jpeg", 3, 2),
    ),
    "jpeg with fill bytes": (
        jpeg(b"\xff" * 200 + segment(0xFE, b"hi"), b"\xff\xff" + frame(0xC0, 9, 8)),
        ("jpeg", 9, 8),
    ),
    "jpeg without a frame": (jpeg(segment(0xE0, bytes(14))), ("jpeg", None, None)),
    "jpeg whose height comes late": (jpeg(frame(0xC0, 640, 0)), ("jpeg", None, None)),
    "jpeg with a segment of no length": (b"\xff\xd8\xff\xe0\0\1" + frame(0xC0, 9, 8), ("jpeg", None, None)),
    "jpeg out of step": (b"\xff\xd8" + segment(0xE0, b"") + b"\0" + frame(0xC0, 9, 8), ("jpeg", None, None)),
    "jpeg signature alone": (b"\xff\xd8\xff", (None, None, None)),
    "jpeg that ends at once": (b"\xff\xd8\xff\xd9" + frame(0xC0, 9, 8), (None, None, None)),
    "png": (png(60000, 60000), ("png", 60000, 60000)),
    "png of no width": (png(0, 5), ("png", None, None)),
    "png of 2^31": (png(1 << 31, 5), ("png", None, None)),
    "png with something before IHDR": (png(5, 5, first=b"CgBI"), ("png", None, None)),
    "png with a long IHDR": (png(5, 5, length=14), ("png", None, None)),
    "png signature alone": (b"\x89PNG\r\n\x1a\n", (None, None, None)),
    "gif 89a": (gif(320, 200), ("gif", 320, 200)),
    "gif 87a": (gif(1, 65535, b"87a"), ("gif", 1, 65535)),
    "gif of no size": (gif(0, 0), ("gif", None, None)),
    "gif of another version": (gif(5, 5, b"88a"), (None, None, None)),
    "webp lossy": (vp8(1000, 750), ("webp", 1000, 750)),
    "webp lossy, no key frame": (vp8(1000, 750, tag=0x11), ("webp", None, None)),
    "webp lossy, no start code": (vp8(1000, 750, start=b"\x9d\x01\x2b"), ("webp", None, None)),
    "webp lossless": (vp8l(16384, 1), ("webp", 16384, 1)),
    "webp lossless, wrong signature": (vp8l(5, 5, signature=0x2E), ("webp", None, None)),
    "webp extended": (vp8x(16777216, 300), ("webp", 16777216, 300)),
    "webp with another chunk first": (webp(b"ICCP", bytes(40)), ("webp", None, None)),
    "riff that is a wave": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), (None, None, None)),
    "heic with tiles": (
        ftyp(b"heic", b"mif1", b"heic") + box(b"meta", meta(WHOLE_AND_TILES)) + MDAT,
        ("heic", 4032, 3024),
    ),
    "heic with its data first": (ftyp(b"heix") + MDAT + box(b"meta", meta(properties(ispe(8, 6)))), ("heic", 8, 6)),
    "heic in long boxes": (
        ftyp(b"heic") + long_box(b"mdat", bytes(70)) + long_box(b"meta", meta(properties(ispe(8, 6)))),
        ("heic", 8, 6),
    ),
    "heic whose meta is the rest": (ftyp(b"heic") + last_box(b"meta", meta(properties(ispe(8, 6)))), ("heic", 8, 6)),
    "heic whose data is the rest": (
        ftyp(b"heic") + last_box(b"mdat", box(b"meta", meta(WHOLE_AND_TILES))),
        ("heic", None, None),
    ),
    "heif without a codec's brand": (
        ftyp(b"mif1", b"miaf") + box(b"meta", meta(properties(ispe(8, 6)))),
        ("heic", 8, 6),
    ),
    "avif": (
        ftyp(b"avif", b"mif1", b"miaf") + box(b"meta", meta(properties(ispe(1204, 800)))) + MDAT,
        ("avif", 1204, 800),
    ),
    "avif that says so second": (ftyp(b"mif1", b"avif") + box(b"meta", meta(properties(ispe(3, 4)))), ("avif", 3, 4)),
    "avif with 300 brands": (
        ftyp(b"avis", *[b"xxxx"] * 300) + box(b"meta", meta(properties(ispe(3, 4)))),
        ("avif", 3, 4),
    ),
    "heic without sizes": (ftyp(b"heic") + box(b"meta", meta()) + MDAT, ("heic", None, None)),
    "heic with a short ispe": (
        ftyp(b"heic") + box(b"meta", meta(properties(box(b"ispe", bytes(8))))),
        ("heic", None, None),
    ),
    "heic with a box of size 3": (
        ftyp(b"heic") + b"\0\0\0\3free" + box(b"meta", meta(WHOLE_AND_TILES)),
        ("heic", None, None),
    ),
    "heic with a long box of size 3": (
        ftyp(b"heic") + struct.pack(">I4sQ", 1, b"free", 3) + box(b"meta", meta(WHOLE_AND_TILES)),
        ("heic", None, None),
    ),
    "heic with an endless box": (
        ftyp(b"heic") + struct.pack(">I4sQ", 1, b"free", 2**64 - 1) + box(b"meta", meta(WHOLE_AND_TILES)),
        ("heic", None, None),
    ),
    "ispe where no still image is": (ftyp(b"heic") + box(b"moov", ispe(8, 6)), ("heic", None, None)),
    "mp4": (ftyp(b"isom", b"iso2", b"mp41") + box(b"meta", meta(WHOLE_AND_TILES)), (None, None, None)),
    "ftyp too short": (
        struct.pack(">I4s", 12, b"ftyp") + b"heic" + box(b"meta", meta(WHOLE_AND_TILES)),
        (None, None, None),
    ),
}

STRANGERS = {
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "html": b"<!doctype html><img src=x onerror=alert(1)>",
    "tiff": b"II*\0\x08\0\0\0" + bytes(60),
    "tiff, big end first": b"MM\0*\0\0\0\x08" + bytes(60),
    "bmp": b"BM" + bytes(60),
    "psd": b"8BPS\0\1" + bytes(60),
    "pdf": b"%PDF-1.7\n" + jpeg(frame(0xC0, 9, 8)),
    "zip": b"PK\3\4" + bytes(60),
    "exe": b"MZ\x90\0" + bytes(60),
    "emf": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),
    "fits": b"SIMPLE  =                    T" + bytes(60),
    "jpeg xl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60),
    "nothing": b"",
    "an image behind a blank": b" " + png(5, 5),
}


def read(data: bytes, piece_bytes: int = MIB) -> HeaderReader:
    reader = HeaderReader()
    for at in range(0, len(data), piece_bytes):
        reader.feed(data[at : at + piece_bytes])
    return reader


def header(data: bytes, piece_bytes: int = MIB) -> Header:
    reader = read(data, piece_bytes)
    return reader.filetype, reader.width, reader.height


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_its_type_and_size(name: str) -> None:
    data, expected = IMAGES[name]
    assert header(data) == expected


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_image_has_no_type(name: str) -> None:
    assert header(STRANGERS[name]) == (None, None, None)


@pytest.mark.parametrize("name", IMAGES)
def test_pieces_of_any_size_say_what_the_whole_says(name: str) -> None:
    data, expected = IMAGES[name]
    start = data[:4096]
    for piece_bytes in range(1, 65):
        assert header(start, piece_bytes) == header(start)
    assert header(data, 4093) == expected


def test_a_piece_may_be_a_bytearray() -> None:
    reader = HeaderReader()
    reader.feed(bytearray(gif(4, 3)))
    assert (reader.filetype, reader.width, reader.height) == ("gif", 4, 3)


def test_a_size_is_known_before_the_file_has_ended() -> None:
    reader = read(jpeg(frame(0xC0, 9, 8))[:25])
    assert reader.done
    assert (reader.width, reader.height) == (9, 8)


def test_every_type_has_a_content_type_and_an_extension() -> None:
    found = {expected[0] for _, expected in IMAGES.values()} - {None}
    assert found | {"opaque"} == set(CONTENT_TYPES) == set(EXTENSIONS)


HOSTILE = {
    "tiny jpeg segments": b"\xff\xd8" + b"\xff\xe0\0\2" * MIB,
    "fill bytes": b"\xff\xd8" + b"\xff" * (4 * MIB),
    "restart markers": b"\xff\xd8" + b"\xff\xd0" * (2 * MIB),
    "tiny boxes": ftyp(b"heic") + box(b"free", b"") * (MIB // 2),
    "nested boxes": ftyp(b"heic") + struct.pack(">I4s", 0x7FFFFFFF, b"ipco") * (MIB // 2),
    "many sizes": ftyp(b"heic") + box(b"meta", meta(properties(*[ispe(2, 2)] * 200_000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_bounded_work(name: str) -> None:
    reader = HeaderReader()
    began = time.process_time()
    reader.feed(HOSTILE[name])
    assert time.process_time() - began < 0.5
    assert reader.done
    assert header(HOSTILE[name][: MAX_STEPS * 64]) == header(HOSTILE[name])
    assert reader.width is None


@given(st.binary(max_size=300), st.integers(1, 64))
def test_random_bytes_never_raise(data: bytes, piece_bytes: int) -> None:
    assert header(data, piece_bytes) == header(data)


@given(st.data())
def test_mutated_and_cut_headers_never_raise(data: st.DataObject) -> None:
    whole = bytearray(IMAGES[data.draw(st.sampled_from(sorted(IMAGES)))][0][:600])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=8)):
        whole[at] = value
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    filetype, width, height = header(cut, data.draw(st.integers(1, 64)))
    assert (filetype, width, height) == header(cut)
    assert filetype is None or filetype in CONTENT_TYPES
    assert (width is None) == (height is None)
    assert width is None or (width > 0 and height is not None and height > 0 and filetype is not None)
