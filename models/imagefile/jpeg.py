# SPDX-License-Identifier: Apache-2.0
"""JPEG: the size stands in the frame header before the first scan."""

import re

from models.imagefile.steps import Facts, Steps

# Of JPEG-LS too, which some decoders take for a JPEG of another coding (ITU-T T.87).
FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xDE, 0xF7}
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
NO_FRAME_FOLLOWS = frozenset({0xD8, 0xD9, 0xDA})
MARKER = re.compile(b"\xff")


def read(facts: Facts) -> Steps:
    """ITU-T T.81, B.1 and B.2.2: marker segments up to the first scan; of several frame headers the largest.

    As libjpeg does it, whatever stands between two segments is passed over, and an `FF 00` too; a length that does
    not count itself is none.
    """
    while True:
        yield MARKER, 1
        marker = 0xFF
        while marker == 0xFF:
            (marker,) = yield 0, 1
        if marker in NO_FRAME_FOLLOWS:
            return
        if marker:
            facts.filetype = "jpeg"
        if not marker or marker in WITHOUT_LENGTH:
            continue
        skip = max(0, int.from_bytes((yield 0, 2)) - 2)
        if marker in FRAMES and skip >= 5:
            frame = yield 0, 5
            facts.keep_larger(int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3]))
            skip -= 5
        yield skip, 0
