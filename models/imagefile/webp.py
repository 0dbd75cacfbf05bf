# SPDX-License-Identifier: Apache-2.0
"""WebP: the size stands in the first chunk, in a way of its own in each of three kinds."""

from models.imagefile.steps import Facts, Steps


def read(facts: Facts) -> Steps:
    """RFC 9649, 2.5 to 2.7: the first chunk is one of three and tells the size."""
    chunk = yield 0, 8
    if chunk.startswith(b"VP8X"):
        canvas = yield 4, 6
        facts.keep_larger(int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1)
    elif chunk.startswith(b"VP8L"):
        lossless = yield 0, 5
        sides = int.from_bytes(lossless[1:], "little")
        if lossless[0] == 0x2F and not sides >> 29:
            facts.keep_larger((sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1)
    elif chunk.startswith(b"VP8 "):
        frame = yield 0, 10
        if not frame[0] & 1 and frame[3:6] == b"\x9d\x01\x2a":
            sides = int.from_bytes(frame[6:], "little")
            facts.keep_larger(sides & 0x3FFF, sides >> 16 & 0x3FFF)
