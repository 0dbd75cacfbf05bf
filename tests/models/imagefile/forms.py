# SPDX-License-Identifier: Apache-2.0
"""The parts that image files are made of, written by hand: for tests of what no encoder would write."""

import struct
from zlib import crc32


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def frame(marker: int, width: int, height: int) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + bytes(9))


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + b"\xff\xda\x00\x02" + bytes(64) + b"\xff\xd9"


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload), kind) + payload + struct.pack(">I", crc32(kind + payload))


def png(width: int, height: int, *, first: bytes = b"IHDR", length: int = 13, then: bytes = bytes(40)) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", length, first, width, height) + b"\x08\x06\0\0\0" + b"crc!" + then
    )


def gif(width: int, height: int, *blocks: bytes, version: bytes = b"89a") -> bytes:
    return b"GIF" + version + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6) + b"".join(blocks) + bytes(20)


def gif_frame(left: int, top: int, width: int, height: int) -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\2\2\x44\1\0"


def webp(chunk: bytes, payload: bytes) -> bytes:
    body = b"WEBP" + chunk + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) & 1)


def vp8_bytes(width: int, height: int, *, tag: int = 0x10, start: bytes = b"\x9d\x01\x2a") -> bytes:
    return bytes([tag, 2, 0]) + start + struct.pack("<HH", width | 0x4000, height) + bytes(30)


def vp8(width: int, height: int, *, tag: int = 0x10, start: bytes = b"\x9d\x01\x2a") -> bytes:
    return webp(b"VP8 ", vp8_bytes(width, height, tag=tag, start=start))


def vp8l(width: int, height: int, *, signature: int = 0x2F) -> bytes:
    return webp(b"VP8L", bytes([signature]) + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0")


def vp8x(width: int, height: int) -> bytes:
    return canvas_webp(width, height)


def canvas_webp(width: int, height: int, *chunks: bytes) -> bytes:
    """An extended WebP file with these chunks behind its canvas."""
    canvas = b"\x10\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X", canvas) + b"".join(chunks)


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def long_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, len(payload) + 16) + payload


def last_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 0, kind) + payload


def ftyp(major: bytes, *others: bytes, minor: bytes = bytes(4)) -> bytes:
    return box(b"ftyp", major + minor + b"".join(others))


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">III", 0, width, height))


def properties(*boxes: bytes) -> bytes:
    return box(b"iprp", box(b"ipco", b"".join(boxes)) + box(b"ipma", bytes(9)))


def meta(*boxes: bytes) -> bytes:
    return bytes(4) + box(b"hdlr", bytes(25)) + b"".join(boxes)


def iinf(*entries: bytes) -> bytes:
    return box(b"iinf", bytes(4) + struct.pack(">H", len(entries) & 0xFFFF) + b"".join(entries))


def infe(item: int, kind: bytes, more: bytes = b"\0") -> bytes:
    return box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", item, 0, kind) + more)


def iloc(*items: tuple[int, int, int, int]) -> bytes:
    """Version 1: items as (id, construction method, offset, length)."""
    entries = [struct.pack(">HHHHII", item, method, 0, 1, offset, length) for item, method, offset, length in items]
    return box(b"iloc", b"\1\0\0\0\x44\0" + struct.pack(">H", len(items)) + b"".join(entries))


def track(width: int, height: int, entry: bytes, entry_width: int, entry_height: int) -> bytes:
    """The track of an image sequence: what its header says of its size, and what its sample entry says."""
    sample = box(entry, bytes(24) + struct.pack(">HH", entry_width, entry_height) + bytes(50))
    stsd = box(b"stsd", bytes(4) + b"\0\0\0\1" + sample)
    header = box(b"tkhd", bytes(76) + struct.pack(">II", width << 16, height << 16))
    return box(b"trak", header + box(b"mdia", box(b"minf", box(b"stbl", stsd))))


def bits(*numbers: tuple[int, int]) -> bytes:
    """Numbers as (value, how many bits), one after the other, and zeros up to the next byte."""
    text = "".join(f"{value:0{count}b}" if count else "" for value, count in numbers)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


def exp_golomb(value: int) -> tuple[int, int]:
    return value + 1, 2 * (value + 1).bit_length() - 1


def hvcc(width: int, height: int) -> bytes:
    """The configuration of HEVC with one sequence parameter set: ITU-T H.265, 7.3.2.2."""
    sps = b"\x42\x01" + bits(
        (0, 8), (1, 32), (0, 32), (0, 32), exp_golomb(0), exp_golomb(1), exp_golomb(width), exp_golomb(height)
    ).replace(b"\0\0\0", b"\0\0\3\0").replace(b"\0\0\1", b"\0\0\3\1")
    return box(b"hvcC", bytes(22) + b"\1\xa1" + struct.pack(">HH", 1, len(sps)) + sps)


def mini(
    width: int,
    height: int,
    *,
    codec: bytes = b"",
    configuration: bytes = b"",
    pixels: bytes = b"pixels",
    exif: bytes = b"",
    xmp: bytes = b"",
    gain_map: bool = False,
    compressed: bool = False,
) -> bytes:
    """A `mini` box: ISO/IEC 23008-12, annex O. Eight bits a sample, 4:2:0; with a gain map as large as the picture."""
    flags = [bool(codec), False, False, False, False, gain_map, False, bool(exif), bool(xmp)]
    map_form = [(1, 1), (1, 1), (0, 9), (1, 2), (0, 2), (0, 2), (0, 2), (0b100000, 6), (0, 32), (0, 6)]
    head = bits(
        (0, 2),
        *((flag, 1) for flag in flags),
        (1, 2),
        (0, 3),
        (1, 1),
        (width - 1, 15),
        (height - 1, 15),
        (0, 3),
        *((byte, 8) for byte in codec + codec),
        *(map_form if gain_map else []),
        *([(1, 1)] if exif or xmp or gain_map else []),
        (1, 1),
        (1, 1),
        *([(3, 20), (4, 28), (0, 12)] if gain_map else []),
        (len(configuration), 12),
        (len(pixels) - 1, 28),
        *([(compressed, 1)] if exif or xmp else []),
        *([(len(exif) - 1, 20)] if exif else []),
        *([(len(xmp) - 1, 20)] if xmp else []),
    )
    gain = b"map" + b"gain" if gain_map else b""
    return box(b"mini", head + configuration + gain + pixels + exif + xmp)


def sequence_header(width: int, height: int, *, full: bool = False) -> bytes:
    """An OBU of AV1: the header of a still picture, or of a sequence with everything in it."""
    front: tuple[tuple[int, int], ...] = ((0, 3), (1, 1), (1, 1), (0, 5))
    if full:
        timing = ((1, 1), (1, 32), (25, 32), (1, 1), exp_golomb(0), (1, 1), (9, 5), (0, 32), (0, 10))
        point = ((0, 12), (8, 5), (0, 1), (1, 1), (0, 21), (1, 1), (0, 4))
        front = ((0, 3), (0, 1), (0, 1), *timing, (1, 1), (0, 5), *point)
    payload = bits(*front, (15, 4), (15, 4), (width - 1, 16), (height - 1, 16), (0, 40))
    return bytes([1 << 3 | 2, len(payload)]) + payload
