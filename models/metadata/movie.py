# SPDX-License-Identifier: Apache-2.0
"""Boxes of a video or of HEIF that tell a place: they become boxes of nothing.

Sources: ISO/IEC 14496-12, 4.2 and 8.10; 3GPP TS 26.244, 8.10; Apple's QuickTime File Format, metadata.
"""

import struct

from models.metadata.stream import TO_THE_END, Count, Pass, Peek, Take, Walk
from models.metadata.xmp import XmpCleaner, clean_packet

PLACES = frozenset({b"\xa9xyz", b"@xyz", b"loci", b"GPS ", b"gps ", b"gps0", b"\xa9gps", b"gpmd", b"GPMF", b"udat"})
CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"udta", b"meta", b"mpvd", b"moof", b"traf", b"ilst"})
BEHIND_THE_FIRST = frozenset({b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"mfra", b"meta", b"udta"})
XMP_BOX = b"XMP_"
XMP_ID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
# Of a camera's or a vendor's own boxes, those of which nothing tells a place.
SPHERICAL_ID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")

MAX_KEYS_BYTES = 64 * 1024
PIECE = 64 * 1024
MAX_DEPTH = 8
"""Of boxes in boxes; what lies deeper is passed over."""
NOTHING = b"voId"
"""A box of a kind that nobody has. Not free space, which may be somebody's: read again, it goes again."""


def begins(ahead: bytearray, *, in_video: bool) -> bool:
    """Whether a video's first box comes next, or another one of the video that is here."""
    kind = bytes(ahead[4:8])
    return kind == b"ftyp" or (in_video and kind in BEHIND_THE_FIRST)


def box(*, everything: bool, depth: int = 0, keys: set[int] | None = None, most: int = TO_THE_END) -> Count:
    """One box with all that is in it, of which no more than `most` bytes are its parent's; how many it had."""
    head = yield Take(8, secret=False)
    size, kind, header = int.from_bytes(head[:4]), bytes(head[4:8]), 8
    if size == 1:
        head = yield Take(8, keep=8, secret=False)
        size, header = int.from_bytes(head[8:16]), 16
    size = most if size == 0 else min(size, most)
    length = max(0, size - header)
    if kind in PLACES or kind == NOTHING or (keys and int.from_bytes(kind) in keys):
        head[4:8] = NOTHING
        yield Pass(length, fill=0)
    elif kind == b"uuid":
        yield from _vendor(head, length, everything=everything)
    elif kind == XMP_BOX:
        yield from xmp(length, everything=everything)
    elif kind in CONTAINERS and depth < MAX_DEPTH:
        yield from _children(kind, length, everything=everything, depth=depth + 1, keys=keys)
    else:
        yield Pass(length)
    return max(size, header)


def xmp(length: int, *, everything: bool) -> Walk:
    """So many bytes of XMP, in pieces."""
    if length <= PIECE and not everything:
        clean_packet((yield Take(length)), 0, length)
        return
    cleaner = XmpCleaner(everything=everything)
    while length:
        n_bytes = min(length, PIECE)
        piece = yield Take(n_bytes)
        cleaner.feed(piece, 0, len(piece))
        length -= n_bytes


def _vendor(head: bytearray, length: int, *, everything: bool) -> Walk:
    """XMP, or something of a layout that nobody knows here, such as a signature (C2PA): that goes."""
    header = len(head)
    ahead = yield Peek(16, keep=header)
    if ahead == XMP_ID and length >= 16:
        yield Pass(16)
        yield from xmp(length - 16, everything=everything)
    elif ahead == SPHERICAL_ID:
        yield Pass(length)
    else:
        head[4:8] = NOTHING
        yield Pass(length, fill=0)


def _children(kind: bytes, length: int, *, everything: bool, depth: int, keys: set[int] | None) -> Walk:
    left = length
    if kind == b"meta":
        ahead = yield Peek(8)
        if ahead[4:8] != b"hdlr" and left >= 4:
            yield Pass(4)
            left -= 4
    found: set[int] | None = keys
    while left >= 8:
        ahead = yield Peek(8)
        if len(ahead) < 8:
            break
        if kind == b"meta" and ahead[4:8] == b"keys":
            size = int.from_bytes(ahead[:4])
            if not 16 <= size <= min(left, MAX_KEYS_BYTES):
                break
            found = _places_of(bytes((yield Take(size, secret=False))))
            left -= size
        else:
            inner = found if ahead[4:8] == b"ilst" or kind == b"ilst" else None
            left -= yield from box(everything=everything, depth=depth, keys=inner, most=left)
    yield Pass(max(0, left))


def _places_of(keys: bytes) -> set[int]:
    """QuickTime, metadata item keys: the numbers of those whose names speak of a place, counted from 1."""
    found, at = set[int](), 16
    for number in range(1, 1 + int.from_bytes(keys[12:16])):
        if at + 8 > len(keys):
            break
        (size,) = struct.unpack_from(">I", keys, at)
        name = keys[at + 8 : at + size].lower()
        if b"location" in name or b"gps" in name or b"direction" in name:
            found.add(number)
        at += max(8, size)
    return found
