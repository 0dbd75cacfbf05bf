# SPDX-License-Identifier: Apache-2.0
"""GIF: XMP, comments and what applications add, in extension blocks.

Sources: GIF89a, 12 to 26; XMP part 3, 1.1.2.
"""

import re

from models.metadata.stream import MOST_HELD, SUB_BLOCKS, TO_THE_END, Pass, Peek, Take, Walk
from models.metadata.xmp import XmpCleaner

BLOCK = re.compile(rb"[!,;]")
IMAGE, EXTENSION, END = b",", b"!", b";"
COMMENT, APPLICATION = 0xFE, 0xFF
XMP = b"XMP DataXMP"
KNOWN = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"})
# Behind the packet, so that whoever takes its letters for lengths finds the end: 1, 255 down to 0, and one more 0.
MAGIC = bytes([1, *range(255, -1, -1), 0])
SPACE = 0x20


def walk(*, everything: bool) -> Walk:
    """From the first byte of a file; what follows its end goes."""
    screen = yield Take(13, secret=False)
    yield Pass(_colours(screen[10]))
    while True:
        yield Pass(BLOCK)
        kind = bytes((yield Take(1, secret=False)))
        if kind == END:
            yield Pass(TO_THE_END, fill=0)
        elif kind == IMAGE:
            frame = yield Take(9, secret=False)
            yield Pass(_colours(frame[8]) + 1)
            yield Pass(SUB_BLOCKS)
        else:
            yield from _extension(everything=everything)


def _extension(*, everything: bool) -> Walk:
    (label,) = yield Take(1, secret=False)
    ahead = bytes((yield Peek(12))) if label == APPLICATION else b""
    name = ahead[1 : 1 + ahead[0]] if ahead else b""
    if name == XMP:
        yield Pass(1 + len(name))
        yield from _xmp(everything=everything)
    elif (label == COMMENT and everything) or (name and name not in KNOWN):
        yield Pass(1 + len(name) if name else 0)
        yield from _without_content()
    else:
        yield Pass(SUB_BLOCKS)


def _without_content() -> Walk:
    """Every sub-block keeps its length."""
    while True:
        (length,) = yield Take(1, secret=False)
        if not length:
            return
        yield Pass(length, fill=SPACE)


def _xmp(*, everything: bool) -> Walk:
    """A packet whose letters are lengths to whoever reads blocks: the bytes behind it end them, and stay.

    One that is put into blocks in another way goes.
    """
    held = bytearray()
    length = 1
    while length and len(held) < MOST_HELD - 256:
        held = yield Take(1, keep=len(held))
        length = held[-1]
        held = yield Take(length, keep=len(held))
    if not length and held.endswith(MAGIC):
        XmpCleaner(everything=everything).feed(held, 0, len(held) - len(MAGIC))
        return
    at = 0
    while at < len(held):
        end = at + 1 + held[at]
        held[at + 1 : end] = bytes([SPACE]) * (end - at - 1)
        at = end
    if length:
        yield from _without_content()


def _colours(flags: int) -> int:
    """The bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
