# SPDX-License-Identifier: Apache-2.0
"""What the reader of each format shares: how it asks for bytes and where it puts what it learns."""

from collections.abc import Generator

Steps = Generator[tuple[int, int], bytes, None]
"""Yields how many bytes to pass over and how many to bring then; is sent those."""


class Facts:
    """What is known of one file so far."""

    __slots__ = ("filetype", "height", "width")

    def __init__(self) -> None:
        self.filetype: str | None = None
        self.width: int | None = None
        self.height: int | None = None

    def keep_larger(self, width: int, height: int) -> None:
        if width * height > (self.width or 0) * (self.height or 0):
            self.width, self.height = width, height
