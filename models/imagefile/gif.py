# SPDX-License-Identifier: Apache-2.0
"""GIF: the canvas has room for the logical screen and for every frame, though frames should stay inside the screen."""

import re

from models.imagefile.steps import SUB_BLOCKS, Facts, Steps

SIGNATURES = (b"GIF87a", b"GIF89a")
IMAGE, EXTENSION = b",", b"!"
# Decoders pass over what begins no block.
COMMENT = 0xFE
BLOCK = re.compile(rb"[!,;]")


def read(facts: Facts, head: bytes) -> Steps:
    """GIF89a, 17 to 27: the logical screen descriptor, then the position and the size of each frame."""
    facts.cover(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))
    # Of the screen's descriptor, `head` has all but the last byte.
    skip = 1 + _colours(head[10])
    yield skip, 0
    while True:
        kind = yield BLOCK, 1
        if kind == EXTENSION:
            label, first = yield 0, 2
            if first == 0:
                if label != COMMENT:
                    # Some decoders take another chain of blocks for its content: what follows is no one thing.
                    facts.width = facts.height = None
                    return
                continue
            yield first, 0
        elif kind == IMAGE:
            frame = yield 0, 9
            left, top, width, height = (int.from_bytes(frame[at : at + 2], "little") for at in (0, 2, 4, 6))
            facts.cover(left + width, top + height)
            yield _colours(frame[8]) + 1, 0
        else:
            return
        yield SUB_BLOCKS, 0


def _colours(flags: int) -> int:
    """The bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
