# SPDX-License-Identifier: Apache-2.0
"""PNG: the size stands in the first chunk; a decoder that takes a second such chunk goes by that one."""

from models.imagefile.steps import Facts, Steps

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR_BYTES = 13
PIXELS_FOLLOW = (b"IDAT", b"IEND")


def read(facts: Facts, head: bytes) -> Steps:
    """PNG (W3C, third edition), 11.2.1: IHDR is the first chunk and has 13 bytes; no side over 2^31 - 1."""
    kind = yield 0, 4
    length = int.from_bytes(head[8:12])
    if kind != b"IHDR" or length != IHDR_BYTES:
        return
    while kind not in PIXELS_FOLLOW:
        skip = length + 4  # and the checksum
        if kind == b"IHDR" and length >= 8:
            sides = yield 0, 8
            width, height = int.from_bytes(sides[:4]), int.from_bytes(sides[4:])
            if max(width, height) < 1 << 31:
                facts.keep_larger(width, height)
            skip -= 8
        chunk = yield skip, 8
        length, kind = int.from_bytes(chunk[:4]), chunk[4:]
