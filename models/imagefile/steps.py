# SPDX-License-Identifier: Apache-2.0
"""What the reader of each format shares: how it asks for bytes and where it puts what it learns."""

import re
from collections.abc import Generator
from typing import Final

Pass = int | re.Pattern[bytes]
"""What to pass over: so many bytes, or, by a pattern of one byte, everything before the first that matches."""

Steps = Generator[tuple[Pass, int], bytes, None]
"""Yields what to pass over and how many bytes to bring then; is sent those."""

Brought = Generator[tuple[Pass, int], bytes, int]
"""Steps that return a number of bytes."""

SUB_BLOCKS: Final = -1
"""To pass over a chain of GIF's data sub-blocks, the empty one that ends it included (GIF89a, 15)."""


class Facts:
    """What is known of one file so far."""

    __slots__ = ("at", "filetype", "height", "width")

    def __init__(self) -> None:
        self.at = 0
        """Where in the file the bytes begin that were brought last."""
        self.filetype: str | None = None
        self.width: int | None = None
        self.height: int | None = None

    def keep_larger(self, width: int, height: int) -> None:
        """One picture of several: the largest by area counts."""
        if width * height > (self.width or 0) * (self.height or 0):
            self.width, self.height = width, height

    def cover(self, width: int, height: int) -> None:
        """A part of one canvas, from its upper left corner on: the canvas has room for all of them."""
        self.width, self.height = max(width, self.width or 0), max(height, self.height or 0)
