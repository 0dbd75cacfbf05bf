# SPDX-License-Identifier: Apache-2.0
"""JPEG: the size stands in the first frame header."""

from models.imagefile.steps import Facts, Steps

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
NO_FRAME_FOLLOWS = frozenset({0x00, 0xD8, 0xD9, 0xDA})


def read(facts: Facts) -> Steps:
    """ITU-T T.81, B.1 and B.2.2: marker segments up to the first frame header."""
    skip = 0
    while True:
        prefix, marker = yield skip, 2
        if prefix != 0xFF:
            return
        while marker == 0xFF:
            (marker,) = yield 0, 1
        if marker in NO_FRAME_FOLLOWS:
            return
        facts.filetype = "jpeg"
        skip = 0
        if marker in WITHOUT_LENGTH:
            continue
        length = int.from_bytes((yield 0, 2))
        if marker in FRAMES:
            frame = yield 0, 5
            facts.keep_larger(int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3]))
            return
        skip = length - 2
        if skip < 0:
            return
