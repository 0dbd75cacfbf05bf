# SPDX-License-Identifier: Apache-2.0
"""What the header of an image file says: small files made by hand, and hostile ones."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.imagefile import CONTENT_TYPES, EXTENSIONS, MAX_STEPS, HeaderReader
from tests.models.imagefile.forms import (
    box,
    canvas_webp,
    frame,
    ftyp,
    gif,
    gif_frame,
    hvcc,
    iinf,
    iloc,
    infe,
    ispe,
    jpeg,
    last_box,
    long_box,
    meta,
    mini,
    png,
    png_chunk,
    properties,
    segment,
    sequence_header,
    track,
    vp8,
    vp8_bytes,
    vp8l,
    vp8x,
    webp,
    webp_chunk,
)

Header = tuple[str | None, int | None, int | None]

MIB = 1 << 20


MDAT = box(b"mdat", bytes(100))
WHOLE_AND_TILES = properties(ispe(512, 512), box(b"hvcC", bytes(50)), ispe(4032, 3024), ispe(512, 512))
EXIF = segment(0xE1, b"Exif\0\0" + bytes(65000))


def _with_item(brand: bytes, kind: bytes, data: bytes) -> bytes:
    """A HEIF file that claims 32 x 32, and one item of that kind, behind the header."""
    head = ftyp(brand)
    for at in (
        0,
        len(head + box(b"meta", meta(iinf(infe(1, kind)), properties(ispe(32, 32)), iloc((1, 0, 0, 9))))) + 8,
    ):
        described = box(b"meta", meta(iinf(infe(1, kind)), properties(ispe(32, 32)), iloc((1, 0, at, len(data)))))
    return head + described + box(b"mdat", data)


def _pixels_first(pixels: bytes, *, before: bytes = b"", meta_before: bytes = b"") -> bytes:
    """An AVIF file that claims 32 x 32, whose picture comes before the boxes that say so."""
    head = ftyp(b"avif") + meta_before
    at = len(head) + 8 + len(before)
    items = iinf(infe(1, b"av01")), properties(ispe(32, 32)), iloc((1, 0, at, len(pixels)))
    return head + box(b"mdat", before + pixels) + box(b"meta", meta(*items))


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
    "jpeg with a segment of no length": (b"\xff\xd8\xff\xe0\0\1" + frame(0xC0, 9, 8), ("jpeg", 9, 8)),
    "jpeg with bytes between its segments": (
        b"\xff\xd8" + segment(0xE0, b"") + b"\0stray\xff\0" + frame(0xC0, 9, 8),
        ("jpeg", 9, 8),
    ),
    "jpeg with two frames": (jpeg(frame(0xC0, 9, 8), frame(0xC0, 65535, 65535)), ("jpeg", 65535, 65535)),
    "jpeg with a frame behind its first scan": (jpeg(frame(0xC0, 9, 8)) + frame(0xC0, 99, 99), ("jpeg", 9, 8)),
    "jpeg with a frame of another coding": (jpeg(frame(0xC0, 9, 8), frame(0xF7, 99, 99)), ("jpeg", 99, 99)),
    "jpeg signature alone": (b"\xff\xd8\xff", (None, None, None)),
    "jpeg that ends at once": (b"\xff\xd8\xff\xd9" + frame(0xC0, 9, 8), (None, None, None)),
    "png": (png(60000, 60000), ("png", 60000, 60000)),
    "png of no width": (png(0, 5), ("png", None, None)),
    "png of 2^31": (png(1 << 31, 5), ("png", None, None)),
    "png with something before IHDR": (png(5, 5, first=b"CgBI"), ("png", None, None)),
    "png with a long IHDR": (png(5, 5, length=14), ("png", None, None)),
    "png signature alone": (b"\x89PNG\r\n\x1a\n", (None, None, None)),
    "png with a second header": (
        png(1, 1, then=png_chunk(b"tEXt", b"a\0b") + png_chunk(b"IHDR", struct.pack(">II", 60000, 50000) + bytes(5))),
        ("png", 60000, 50000),
    ),
    "png with a header behind its pixels": (
        png(1, 1, then=png_chunk(b"IDAT", b"x") + png_chunk(b"IHDR", struct.pack(">II", 9, 9) + bytes(5))),
        ("png", 1, 1),
    ),
    "gif 89a": (gif(320, 200), ("gif", 320, 200)),
    "gif 87a": (gif(1, 65535, version=b"87a"), ("gif", 1, 65535)),
    "gif of no size": (gif(0, 0), ("gif", None, None)),
    "gif with a frame beyond its screen": (gif(32, 32, gif_frame(0, 0, 65535, 65535)), ("gif", 65535, 65535)),
    "gif with a frame that sticks out": (gif(32, 8, gif_frame(30, 2, 10, 3), gif_frame(0, 9, 2, 7)), ("gif", 40, 16)),
    "gif of no size with a frame": (gif(0, 0, gif_frame(0, 0, 7, 5)), ("gif", 7, 5)),
    "gif with bytes between its frames": (gif(3, 3, b"\0\0", gif_frame(0, 0, 9, 9)), ("gif", 9, 9)),
    "gif with a frame behind its end": (gif(3, 3, gif_frame(0, 0, 3, 3), b";", gif_frame(0, 0, 9, 9)), ("gif", 3, 3)),
    "gif of another version": (gif(5, 5, version=b"88a"), (None, None, None)),
    "webp lossy": (vp8(1000, 750), ("webp", 1000, 750)),
    "webp lossy, no key frame": (vp8(1000, 750, tag=0x11), ("webp", None, None)),
    "webp lossy, no start code": (vp8(1000, 750, start=b"\x9d\x01\x2b"), ("webp", None, None)),
    "webp lossless": (vp8l(16384, 1), ("webp", 16384, 1)),
    "webp lossless, wrong signature": (vp8l(5, 5, signature=0x2E), ("webp", None, None)),
    "webp extended": (vp8x(16777216, 300), ("webp", 16777216, 300)),
    "webp whose picture is larger than its canvas": (
        canvas_webp(32, 32, webp_chunk(b"ICCP", bytes(3)), webp_chunk(b"VP8 ", vp8_bytes(9000, 8000))),
        ("webp", 9000, 8000),
    ),
    "webp whose frame is larger than its canvas": (
        canvas_webp(32, 32, webp_chunk(b"ANMF", bytes(6) + b"\xff\xff\0\xff\xff\0" + bytes(4))),
        ("webp", 65536, 65536),
    ),
    "webp whose frame's picture is larger than the frame": (
        canvas_webp(
            32,
            32,
            webp_chunk(b"ANMF", bytes(16) + webp_chunk(b"VP8 ", vp8_bytes(9, 8))),
            webp_chunk(b"ANMF", bytes(16) + webp_chunk(b"ALPH", b"\0") + webp_chunk(b"VP8 ", vp8_bytes(99, 88))),
        ),
        ("webp", 99, 88),
    ),
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
    "heic whose coded picture is larger than it says": (
        ftyp(b"heic") + box(b"meta", meta(properties(ispe(32, 32), hvcc(9000, 8000)))),
        ("heic", 9000, 8000),
    ),
    "heic whose grid is larger than it says": (
        ftyp(b"heic")
        + box(
            b"meta",
            meta(
                iinf(infe(1, b"grid")),
                properties(ispe(32, 32)),
                iloc((1, 1, 0, 8)),
                box(b"idat", b"\0\0\1\1" + struct.pack(">HH", 60000, 50000)),
            ),
        ),
        ("heic", 60000, 50000),
    ),
    "heic whose grid stands behind its header": (
        _with_item(b"heic", b"grid", b"\0\1\1\1" + struct.pack(">II", 70000, 50000)),
        ("heic", 70000, 50000),
    ),
    "heic whose overlay is larger than it says": (
        _with_item(b"heic", b"iovl", bytes(10) + struct.pack(">HH", 600, 500)),
        ("heic", 600, 500),
    ),
    "avif whose coded picture is larger than it says": (
        _with_item(b"avif", b"av01", b"\x12\0" + sequence_header(60000, 50000) + bytes(99)),
        ("avif", 60000, 50000),
    ),
    "avif whose coded picture comes first": (
        _pixels_first(b"\x12\0" + sequence_header(60000, 50000) + bytes(99), before=bytes(1000)),
        ("avif", 60000, 50000),
    ),
    "avif whose coded picture lies further ahead than is looked at": (
        _pixels_first(b"\x12\0" + sequence_header(600, 500) + bytes(99), before=bytes(MIB)),
        ("avif", None, None),
    ),
    "avif whose configuration says more": (
        ftyp(b"avif")
        + box(b"meta", meta(properties(ispe(32, 32), box(b"av1C", bytes(4) + sequence_header(600, 500, full=True))))),
        ("avif", 600, 500),
    ),
    "avif of which all is in one box of no end": (
        ftyp(b"avif") + last_box(b"meta", meta(properties(ispe(32, 32)))),
        ("avif", 32, 32),
    ),
    "avif sequence without a still image": (
        ftyp(b"avis") + box(b"moov", track(300, 200, b"av01", 640, 480)),
        ("avif", 640, 480),
    ),
    "heic sequence whose track is larger": (
        ftyp(b"hevc") + box(b"moov", track(300, 200, b"hvc1", 64, 48)),
        ("heic", 300, 200),
    ),
    "heic in a mini box": (ftyp(b"mif3", minor=b"heic") + mini(320, 200), ("heic", 320, 200)),
    "avif in a mini box": (ftyp(b"mif3", b"avif", minor=b"avif") + mini(32768, 2), ("avif", 32768, 2)),
    "mini box that names its codec": (ftyp(b"mif3") + mini(32, 20, codec=b"av01", exif=b"E"), ("avif", 32, 20)),
    "mini box whose picture is larger than it says": (
        ftyp(b"mif3", minor=b"avif") + mini(32, 20, pixels=sequence_header(600, 500), gain_map=True),
        ("avif", 600, 500),
    ),
    "mini box whose picture comes late": (
        ftyp(b"mif3", minor=b"avif")
        + mini(32, 20, configuration=bytes(900), pixels=sequence_header(600, 500), xmp=b"X"),
        ("avif", 600, 500),
    ),
    "mini box whose configuration says more": (
        ftyp(b"mif3", minor=b"heic") + mini(32, 20, configuration=hvcc(9000, 8000)[8:]),
        ("heic", 9000, 8000),
    ),
    "mini box of no known codec": (ftyp(b"mif3") + mini(32, 20), ("heic", None, None)),
    "mini box that is cut": (ftyp(b"mif3", minor=b"heic") + box(b"mini", mini(32, 20)[8:12]), ("heic", None, None)),
    "mini box of a version to come": (
        ftyp(b"mif3", minor=b"heic") + box(b"mini", b"\xff" * 90),
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
    "nested boxes": ftyp(b"heic") + struct.pack(">I4s", 0x7FFFFFFF, b"moov") + b"\x7f\xff\xff\xfftrak" * (MIB // 2),
    "tiny sub-blocks": gif(2, 2, b",\0\0\0\0\2\0\2\0\0\2", b"\1\1" * (2 * MIB)),
    "tiny frames": gif(2, 2, *[gif_frame(0, 0, 2, 2)] * 300_000),
    "tiny webp frames": canvas_webp(2, 2, webp_chunk(b"ANMF", bytes(16)) * 300_000),
    "tiny properties": ftyp(b"heic") + box(b"meta", meta(properties(box(b"free", b"") * 60_000, ispe(2, 2)))),
    "many items": ftyp(b"heic")
    + box(b"meta", meta(iinf(*[infe(1, b"grid")] * 20_000), iloc(*[(1, 0, 0, 8)] * 30_000))),
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
