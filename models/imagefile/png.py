# SPDX-License-Identifier: Apache-2.0
"""PNG: the size stands in the first chunk."""

from models.imagefile.steps import Facts, Steps

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read(facts: Facts, head: bytes) -> Steps:
    """PNG (W3C, third edition), 11.2.1: IHDR is the first chunk and has 13 bytes; no side over 2^31 - 1."""
    chunk = yield 0, 12
    width, height = int.from_bytes(chunk[4:8]), int.from_bytes(chunk[8:12])
    if head[8:12] == b"\0\0\0\x0d" and chunk.startswith(b"IHDR") and max(width, height) < 1 << 31:
        facts.keep_larger(width, height)
