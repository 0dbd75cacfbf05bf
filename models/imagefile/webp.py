# SPDX-License-Identifier: Apache-2.0
"""WebP: the size stands in the first chunk; in the extended form each picture says its own once more."""

from models.imagefile.steps import Brought, Facts, Steps

FRAME_HEADER_BYTES = 16


def read(facts: Facts) -> Steps:
    """RFC 9649, 2.5 to 2.7: the first chunk is one of three and tells the size; an extended file has pictures in it."""
    chunk = yield 0, 8
    length = _padded(chunk)
    if not chunk.startswith(b"VP8X"):
        yield from _picture(facts, chunk[:4], length)
        return
    canvas = yield 4, 6
    facts.cover(int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1)
    skip = length - 10
    while skip >= 0:
        chunk = yield skip, 8
        length = _padded(chunk)
        if chunk.startswith(b"ANMF"):
            skip = yield from _frame(facts, length)
        else:
            skip = length - (yield from _picture(facts, chunk[:4], length))


def _frame(facts: Facts, length: int) -> Brought:
    """One frame of an animation, chunks of its own inside; how many bytes of it are left."""
    if length < FRAME_HEADER_BYTES:
        return length
    head = yield 0, FRAME_HEADER_BYTES
    left, top, width, height = (int.from_bytes(head[at : at + 3], "little") for at in (0, 3, 6, 9))
    facts.cover(2 * left + width + 1, 2 * top + height + 1)
    left_over = length - FRAME_HEADER_BYTES
    while left_over >= 8:
        chunk = yield 0, 8
        left_over -= 8
        inner = min(_padded(chunk), left_over)
        brought = yield from _picture(facts, chunk[:4], inner)
        yield inner - brought, 0
        left_over -= inner
    return left_over


def _picture(facts: Facts, kind: bytes, length: int) -> Brought:
    """The size that a lossy or lossless picture's own bytes tell; how many of them were read."""
    if kind == b"VP8L" and length >= 5:
        lossless = yield 0, 5
        sides = int.from_bytes(lossless[1:], "little")
        if lossless[0] == 0x2F and not sides >> 29:
            facts.cover((sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1)
        return 5
    if kind == b"VP8 " and length >= 10:
        frame = yield 0, 10
        if not frame[0] & 1 and frame[3:6] == b"\x9d\x01\x2a":
            sides = int.from_bytes(frame[6:], "little")
            facts.cover(sides & 0x3FFF, sides >> 16 & 0x3FFF)
        return 10
    return 0


def _padded(chunk: bytes) -> int:
    """RFC 9649, 2.3: a chunk of odd length is followed by one byte of padding."""
    length = int.from_bytes(chunk[4:8], "little")
    return length + (length & 1)
