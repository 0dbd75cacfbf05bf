# SPDX-License-Identifier: Apache-2.0
"""What is overwritten in files of each format, and what is left as it was."""

import hashlib
import random
import struct
import time
import zlib
from collections.abc import Iterator
from itertools import product
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metadata import MetadataRemover, Removal, Unreadable
from models.metadata.xmp import XmpCleaner, clean_packet
from tests.models.imagefile.forms import box, ftyp, mini, segment, webp_chunk
from tests.models.metadata import parts
from tests.models.metadata.parts import (
    APPLE_NOTE,
    EXIF_SEGMENT,
    GIF_XMP,
    IPTC_SEGMENT,
    KEPT,
    NIKON_NOTE,
    PLACE,
    SAMSUNG_NOTE,
    XMP_SEGMENT,
    blocks,
    exif,
    exif_item,
    gif,
    heif,
    iptc,
    jpeg,
    moved,
    png,
    png_chunk,
    removed,
    resource,
    samsung,
    tiff,
    webp,
    xmp,
)
from tests.support.rounds import rounds

UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
UUID_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32


def extended(packet: bytes, at: int) -> bytes:
    """Extended XMP in two segments, cut at that place."""
    return b"".join(
        segment(0xE1, EXTENSION + struct.pack(">II", len(packet), offset) + part)
        for offset, part in ((0, packet[:at]), (at, packet[at:]))
    )


def long_exif() -> bytes:
    """Exif whose place is in a second segment."""
    data = exif(more=70_000)
    return segment(0xE1, b"Exif\0\0" + data[:65_000]) + segment(0xE1, b"Exif\0\0" + data[65_000:])


def long_photoshop() -> bytes:
    data = resource(0x0FA0, bytes(64_000)) + resource(0x0404, iptc() * 60)
    cut = 65_500
    return b"".join(segment(0xED, b"Photoshop 3.0\0" + part) for part in (data[:cut], data[cut:]))


def endless(file: bytes) -> bytes:
    """The file up to its `meta` box, of which all the rest is a part."""
    at = file.index(b"meta") - 4
    return file[:at] + bytes(4) + file[at + 4 : file.rindex(b"mdat") - 4]


def every_location(data: bytes, kind: bytes, more: bytes) -> Iterator[tuple[str, bytes]]:
    """HEIF with an item wherever one can be."""
    methods = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1))
    for (version, method), before, pieces, base in product(methods, (False, True), (1, 3), (0, 16)):
        name = f"heif {version}, method {method}, {'before' if before else 'behind'}, {pieces} pieces, base {base}"
        yield name, heif(data, kind, version=version, method=method, before=before, pieces=pieces, base=base, more=more)


WITH_BOTH = {
    "jpeg with Exif": jpeg(EXIF_SEGMENT),
    "jpeg with Exif, big end first": jpeg(segment(0xE1, b"Exif\0\0" + exif(order=">"))),
    "jpeg with Exif in two segments": jpeg(long_exif()),
    "jpeg with a thumbnail that has Exif": jpeg(segment(0xE1, b"Exif\0\0" + exif(thumbnail=jpeg(EXIF_SEGMENT)))),
    "jpeg with XMP": jpeg(XMP_SEGMENT),
    "jpeg with XMP in an Exif directory": jpeg(segment(0xE1, b"Exif\0\0" + tiff([(0x02BC, 7, xmp())]))),
    "jpeg with IPTC in an Exif directory": jpeg(segment(0xE1, b"Exif\0\0" + tiff([(0x83BB, 7, iptc())]))),
    "jpeg with resources in an Exif directory": jpeg(
        segment(0xE1, b"Exif\0\0" + tiff([(0x8649, 7, resource(0x0404, iptc()))]))
    ),
    "jpeg with IPTC": jpeg(IPTC_SEGMENT),
    "jpeg with XMP among resources": jpeg(segment(0xED, b"Photoshop 3.0\0" + resource(0x0424, xmp()))),
    "jpeg with resources in two segments": jpeg(long_photoshop()),
    "jpeg with all of them and stray bytes": jpeg(b"\0stray", EXIF_SEGMENT, b"\xff\xff", XMP_SEGMENT, IPTC_SEGMENT),
    "jpeg with Nikon's note": jpeg(segment(0xE1, b"Exif\0\0" + exif(note=NIKON_NOTE, make=b"NIKON"))),
    "jpeg with Samsung's note": jpeg(segment(0xE1, b"Exif\0\0" + exif(note=SAMSUNG_NOTE, make=b"SAMSUNG"))),
    "jpeg with Apple's note": jpeg(segment(0xE1, b"Exif\0\0" + exif(note=APPLE_NOTE, make=b"Apple"))),
    "jpeg of two pictures": jpeg(EXIF_SEGMENT, behind=jpeg(EXIF_SEGMENT)),
    "jpeg with a video behind it": jpeg(EXIF_SEGMENT, behind=moved(KEPT)),
    "jpeg with Samsung's blocks": jpeg(EXIF_SEGMENT, behind=samsung(moved(KEPT))),
    "jpeg between whose scans there is Exif": jpeg(behind=b"")[:-2] + EXIF_SEGMENT + parts.SCAN + b"\xff\xd9",
    "png with Exif": png(png_chunk(b"eXIf", exif())),
    "png with XMP": png(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp())),
    "png with XMP behind its pixels": png(late=png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0x\0" + xmp())),
    "webp with Exif": webp(webp_chunk(b"EXIF", exif())),
    "webp with Exif that says so": webp(webp_chunk(b"EXIF", b"Exif\0\0" + exif())),
    "webp with XMP": webp(webp_chunk(b"XMP ", xmp() + b" ")),
    "gif with XMP": gif(GIF_XMP),
    "heic with XMP in a box": ftyp(b"heic") + box(b"uuid", UUID_XMP + xmp()),
    "heic with a video": heif(exif_item()) + box(b"mpvd", moved(KEPT)),
    "heic whose header is the rest": endless(heif(exif_item(), method=1)),
    "mini with both": ftyp(b"mif3", minor=b"heic") + mini(8, 8, exif=exif(), xmp=xmp()),
    **dict(every_location(exif_item(), b"Exif", b"\0")),
    **{f"XMP {name}": data for name, data in every_location(xmp(), b"mime", b"\0application/rdf+xml\0")},
}
"""Files with places and with something that stays."""

GONE_WHOLE = {
    "a note of an unknown layout": jpeg(segment(0xE1, b"Exif\0\0" + exif(note=b"???" + PLACE))),
    "a segment of an unknown kind": jpeg(segment(0xE7, b"Maker\0" + PLACE)),
    "a signature": jpeg(segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x40jumb" + PLACE)),
    "Exif that is none": jpeg(segment(0xE1, b"Exif\0\0" + PLACE)),
    "XMP in UTF-16": jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp().decode().encode("utf-16"))),
    "a thermal camera's data": jpeg(segment(0xE1, b"FLIR\0\1\0\0" + PLACE)),
    "what stands behind a picture": jpeg(behind=b"trailer" + PLACE),
    "Exif that has broken off": b"\xff\xd8" + EXIF_SEGMENT[:-1],
    "compressed text": png(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(PLACE * 9, 0))),
    "compressed XMP": png(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(), 0))),
    "Exif as text": png(png_chunk(b"tEXt", b"Raw profile type exif\0" + PLACE)),
    "a place as text": png(png_chunk(b"tEXt", b"exif:GPSLatitude\0" + PLACE)),
    "a signature in png": png(png_chunk(b"caBX", PLACE)),
    "a private chunk": png(png_chunk(b"prVt", PLACE)),
    "what stands behind a png": png(behind=PLACE),
    "a chunk of an unknown kind": webp(webp_chunk(b"ABCD", PLACE)),
    "what stands behind a webp": webp(behind=PLACE),
    "an application's block": gif(b"!\xff\x0bMGKIPTC0000" + blocks(PLACE)),
    "XMP in blocks": gif(b"!\xff\x0bXMP DataXMP" + blocks(xmp())),
    "what stands behind a gif": gif(behind=PLACE),
    "a box of an unknown vendor": ftyp(b"heic") + box(b"uuid", UUID_C2PA + PLACE) + box(b"mdat", b"pixels"),
    "compressed XMP in heic": heif(PLACE, b"mime", more=b"\0application/rdf+xml\0deflate\0"),
    "compressed metadata in mini": ftyp(b"mif3", minor=b"heic") + mini(8, 8, xmp=PLACE, compressed=True),
}

COMMENTS = {
    "a comment": jpeg(segment(0xFE, PLACE)),
    "text": png(png_chunk(b"tEXt", b"Comment\0" + PLACE)),
    "a gif's comment": gif(b"!\xfe" + blocks(PLACE)),
}


@pytest.mark.parametrize("name", WITH_BOTH)
@pytest.mark.parametrize("removal", Removal)
def test_no_place_is_left_and_the_length_is_the_same(name: str, removal: Removal) -> None:
    data = WITH_BOTH[name]
    assert PLACE in data
    left = removed(data, removal)
    assert len(left) == len(data)
    assert PLACE not in left
    if removal is Removal.LOCATION and "mini" not in name:
        assert left.count(KEPT) >= 1
    assert left.count(b"pixels") == data.count(b"pixels")


@pytest.mark.parametrize("name", GONE_WHOLE)
@pytest.mark.parametrize("removal", Removal)
def test_what_cannot_be_read_goes_whole(name: str, removal: Removal) -> None:
    data = GONE_WHOLE[name]
    left = removed(data, removal)
    assert len(left) == len(data)
    assert PLACE not in left
    assert PLACE[-5:] not in left


@pytest.mark.parametrize("name", COMMENTS)
def test_comments_go_with_all_and_not_with_places(name: str) -> None:
    assert removed(COMMENTS[name]) == COMMENTS[name]
    assert PLACE not in removed(COMMENTS[name], Removal.ALL)


EVERY = {**WITH_BOTH, **GONE_WHOLE, **COMMENTS}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("removal", Removal)
def test_pieces_of_any_size_leave_the_same(name: str, removal: Removal) -> None:
    data = EVERY[name]
    whole = removed(data, removal)
    for piece in (1, 2, 3, 7, 64, 1000):
        if len(data) // piece < 20_000:
            assert removed(data, removal, piece=piece) == whole


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("removal", Removal)
def test_what_was_cleaned_is_left_as_it_is(name: str, removal: Removal) -> None:
    """So an upload goes on from what is stored: read again, it comes to the same point."""
    cleaned = removed(EVERY[name], removal)
    assert removed(cleaned, removal) == cleaned
    remover = MetadataRemover(removal)
    assert b"".join([*remover.feed(cleaned), *remover.end()]) == cleaned
    assert not remover.changed


@pytest.mark.parametrize("name", WITH_BOTH)
def test_an_upload_that_is_cut_anywhere_goes_on_from_what_left(name: str) -> None:
    data = WITH_BOTH[name]
    whole = removed(data)
    remover = MetadataRemover(Removal.LOCATION)
    if "before" in name:
        return  # is mended at its end
    for cut in range(0, len(data), max(37, len(data) // 100)):
        remover = MetadataRemover(Removal.LOCATION)
        stored = b"".join(remover.feed(data[:cut]))
        assert len(stored) == cut - remover.held
        assert removed(stored + data[len(stored) :]) == whole


def test_a_checksum_over_pieces_is_right_though_the_upload_was_cut_between_them() -> None:
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp() + b" " * 200_000
    data = png(png_chunk(b"iTXt", text))
    stored = b"".join(MetadataRemover(Removal.LOCATION).feed(data[:150_000]))
    assert len(stored) > 100_000
    assert removed(stored + data[len(stored) :]) == removed(data)


def test_the_digest_of_what_was_overwritten_tells_files_apart() -> None:
    """Two files that are the same without their places are not the same."""
    here, there = jpeg(EXIF_SEGMENT), jpeg(EXIF_SEGMENT.replace(PLACE, PLACE[::-1]))
    assert removed(here) == removed(there)
    digests = []
    for data, piece in ((here, 1 << 20), (here, 5), (there, 1 << 20)):
        remover = MetadataRemover(Removal.LOCATION)
        for at in range(0, len(data), piece):
            remover.feed(data[at : at + piece])
        remover.end()
        assert remover.changed
        digests.append(remover.overwritten)
    assert digests[0] == digests[1] != digests[2]


def test_a_file_without_metadata_is_not_changed() -> None:
    for data in (jpeg(), png(), webp(), gif(), ftyp(b"heic") + box(b"mdat", b"pixels")):
        remover = MetadataRemover(Removal.LOCATION)
        assert b"".join([*remover.feed(data), *remover.end()]) == data
        assert not remover.changed


def test_the_orientation_stays() -> None:
    orientation = struct.pack("<HHLHH", 0x0112, 3, 1, 6, 0)
    colours = struct.pack("<HHLHH", 0xA001, 3, 1, 1, 0)
    for removal in Removal:
        for data in (jpeg(EXIF_SEGMENT), png(png_chunk(b"eXIf", exif())), webp(webp_chunk(b"EXIF", exif()))):
            left = removed(data, removal)
            assert orientation in left
            assert colours in left
            assert b"Maker" in left if removal is Removal.LOCATION else b"Maker" not in left


def test_checksums_of_png_are_right_afterwards() -> None:
    for name, data in EVERY.items():
        if not data.startswith(b"\x89PNG"):
            continue
        for removal in Removal:
            left, at = removed(data, removal), 8
            while at < len(left) and any(left[at:]):
                (length,) = struct.unpack_from(">I", left, at)
                assert crc32(left[at + 4 : at + 8 + length]) == struct.unpack_from(">I", left, at + 8 + length)[0], name
                at += 12 + length


def test_the_digest_of_datasets_is_that_of_what_is_left() -> None:
    """Editors that find another one take the picture for changed by somebody else."""
    before = iptc()
    digest = hashlib.md5(before, usedforsecurity=False).digest()
    left = removed(jpeg(segment(0xED, b"Photoshop 3.0\0" + resource(0x0404, before) + resource(0x0425, digest))))
    after = left[left.index(b"8BIM") + 12 :][: len(before)]
    assert hashlib.md5(after, usedforsecurity=False).digest() in left
    assert digest not in left


def test_properties_are_known_by_any_prefix_and_in_both_forms() -> None:
    inside = "<z:CountryCode>PP</z:CountryCode><q:GPSLongitude/><a:Kept b:Latitude='PP' b:Stays='yes'>PP yes</a:Kept>"
    left = removed(jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(inside)))).decode("latin-1")
    assert "<a:Kept" + " " * len(" b:Latitude='PP' ") + "b:Stays='yes'>PP yes</a:Kept>" in left
    assert left.count("PP") == 1
    assert "CountryCode" not in left
    assert "GPSLongitude" not in left


@pytest.mark.parametrize("cut", range(700, 1400, 3))
def test_extended_xmp_is_clean_wherever_its_segments_are_cut(cut: int) -> None:
    packet = xmp("<rdf:li>" + "text " * 40 + "</rdf:li>", attributes="p:Country='" + PLACE.decode() + "'")
    cut = min(cut, len(packet))
    left = removed(jpeg(XMP_SEGMENT, extended(packet, cut)))
    assert PLACE not in left
    assert left.count(KEPT) == 2


def test_a_picture_in_text_goes() -> None:
    packet = xmp(attributes='GImage:Data="' + "QUJD" * 25_000 + '"')
    left = removed(jpeg(extended(packet, 60_000)))
    assert b"QUJDQUJD" not in left


HOSTILE = {
    "tiny jpeg segments": b"\xff\xd8" + b"\xff\xe0\0\2" * 500_000,
    "tiny pictures": b"\xff\xd8\xff\xd9" * 500_000,
    "tiny chunks": b"\x89PNG\r\n\x1a\n" + png_chunk(b"teXt", b"") * 200_000,
    "tiny webp chunks": b"RIFF\xff\xff\xff\xffWEBP" + b"ABCD\0\0\0\0" * 300_000,
    "tiny blocks": b"GIF89a" + bytes(7) + b"!\x01\0" * 500_000,
    "tiny sub-blocks": b"GIF89a" + bytes(7) + b"!\x01" + b"\1\1" * 1_000_000,
    "tiny boxes": ftyp(b"heic") + box(b"free", b"") * 300_000,
    "a header of 300 KB": ftyp(b"heic") + box(b"meta", bytes(300_000)),
    "a mini box of another version": ftyp(b"mif3", minor=b"heic") + box(b"mini", b"\xff" * 100),
}


def feed_all(remover: MetadataRemover, data: bytes) -> None:
    for at in range(0, len(data), 65536):
        remover.feed(data[at : at + 65536])
        assert remover.held < 1 << 20
    remover.end()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_made_to_cost_work_is_given_up(name: str) -> None:
    remover = MetadataRemover(Removal.LOCATION)
    began = time.process_time()
    with pytest.raises(Unreadable):
        feed_all(remover, HOSTILE[name])
    assert time.process_time() - began < 1


def mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 2, 5, 20))):
        changed = changed or bytearray(b"GIF89a")
        at = dice.randrange(len(changed))
        kind = dice.randrange(5)
        if kind == 0:
            changed[at] = dice.randrange(256)
        elif kind == 1:
            changed[at : at + 4] = dice.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff"))
        elif kind == 2:
            del changed[at : at + dice.randrange(1, 20)]
        elif kind == 3:
            changed[at:at] = dice.choice((b"\xff\xd8\xff", b"moov", b"<", b'"', b"8BIM", b"\x88\x25", b"\x25\x88"))
        else:
            start = dice.randrange(len(changed))
            changed[at:at] = changed[start : start + dice.randrange(1, 100)]
    return bytes(changed)


def test_changed_files_keep_their_length_and_raise_nothing() -> None:
    dice = random.Random(15)
    small = [data for data in EVERY.values() if len(data) < 5000]
    for _ in range(rounds(8000, 1_000_000)):
        data = mutated(dice.choice(small), dice)
        began = time.process_time()
        try:
            assert len(removed(data, dice.choice(list(Removal)), piece=dice.choice((100, 5000)))) == len(data)
        except Unreadable:
            pass
        assert time.process_time() - began < 0.5


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from((b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF", ftyp(b"heic"))), data=st.binary()
)
def test_random_bytes_keep_their_length(start: bytes, data: bytes) -> None:
    try:
        assert len(removed(start + data)) == len(start + data)
    except Unreadable:
        pass


@given(
    inside=st.lists(
        st.sampled_from(
            (
                "<",
                ">",
                "/",
                "'",
                '"',
                "=",
                " ",
                "\n",
                ":",
                "a",
                "City",
                "gps",
                "x:State",
                "cell:",
                "<!--",
                "-->",
                "Kept",
            )
        ),
        max_size=14,
    ).map("".join)
)
def test_a_packet_looked_at_as_a_whole_is_cleaned_as_in_pieces(inside: str) -> None:
    """The glance that says that there is no place never misses one."""
    packet = bytearray(f"<x>{inside} y='1'>text</x>".encode())
    whole, pieces = bytearray(packet), bytearray(packet)
    assert clean_packet(whole, 0, len(whole))
    XmpCleaner().feed(pieces, 0, len(pieces))
    assert whole == pieces
