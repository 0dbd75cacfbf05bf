# SPDX-License-Identifier: Apache-2.0
"""Feeds the first bytes of an image file to the reader of its format.

Bytes come as they arrive; only a few are ever held, and whatever they say, the work is bounded.
"""

import re

from models.imagefile import gif, heif, jpeg, png, webp
from models.imagefile.steps import SUB_BLOCKS, Facts, Pass, Steps

# The file decides how many steps its header takes (empty segments, tiny boxes, frames); a real one takes far fewer
# than 4,096 before its pixels, and no more than one in 64 bytes among them.
MAX_STEPS = 4096
BYTES_A_STEP = 64


class HeaderReader:
    """Reads the type and the size of an image from its first bytes, fed in pieces of any length.

    The size is what a decoder would have to allocate: where parts of a file say different things, the largest.
    `done` says that more bytes will change nothing. A file all of whose bytes were fed, and which has no `width`, is
    to be refused as no image: a mere signature, a JPEG without a frame or whose height comes after it, or a header
    that takes more steps to read than any real one.
    """

    __slots__ = ("_facts", "_held", "_in_block", "_pass", "_passed", "_steps", "_taken", "_wanted", "done")

    def __init__(self) -> None:
        self._facts = Facts()
        self._steps = _read(self._facts)
        self._taken = 0
        self._passed = 0
        self._held = bytearray()
        self._in_block = 0
        self._pass: Pass
        self._pass, self._wanted = next(self._steps)
        self.done = False

    @property
    def filetype(self) -> str | None:
        """A key of `CONTENT_TYPES`; None while unknown, and for anything but an image that is taken here."""
        return self._facts.filetype

    @property
    def width(self) -> int | None:
        """In pixels, at least 1; None while unknown, and where a side is 0."""
        return (self._facts.width or None) if self._facts.height else None

    @property
    def height(self) -> int | None:
        """In pixels, at least 1; None while unknown, and where a side is 0."""
        return (self._facts.height or None) if self._facts.width else None

    def feed(self, piece: bytes | bytearray) -> None:
        """Take the next bytes of the file. Raises nothing, whatever they are."""
        at = 0
        while not self.done:
            at = self._pass_over(piece, at)
            self._check_steps(at)
            if self._pass or self.done:
                break
            if not self._held:
                self._facts.at = self._passed + at
            taken = piece[at : at + self._wanted - len(self._held)]
            self._held += taken
            at += len(taken)
            if len(self._held) < self._wanted:
                break
            self._step()
        self._passed += len(piece)

    def _pass_over(self, piece: bytes | bytearray, at: int) -> int:
        """Where the bytes begin that are wanted. While there is more to pass over, `_pass` is not 0."""
        if isinstance(self._pass, re.Pattern):
            found = self._pass.search(piece, at)
            if found is None:
                return len(piece)
            self._pass = 0
            return found.start()
        if self._pass == SUB_BLOCKS:
            return self._pass_sub_blocks(piece, at)
        passed = min(self._pass, len(piece) - at)
        self._pass -= passed
        return at + passed

    def _pass_sub_blocks(self, piece: bytes | bytearray, at: int) -> int:
        at += self._in_block
        blocks = 0
        while at < len(piece):
            length = piece[at]
            blocks += 1
            at += 1 + length
            if not length:
                self._pass = 0
                break
        self._taken += blocks
        self._in_block = at - len(piece) if at > len(piece) else 0
        return min(at, len(piece))

    def _step(self) -> None:
        brought = bytes(self._held)
        self._held.clear()
        self._taken += 1
        try:
            self._pass, self._wanted = self._steps.send(brought)
        except StopIteration:
            self.done = True

    def _check_steps(self, at: int) -> None:
        if self._taken > MAX_STEPS + (self._passed + at) // BYTES_A_STEP:
            # What is known by now may be a small part of a large image.
            self._facts.width = self._facts.height = None
            self.done = True


def _read(facts: Facts) -> Steps:
    head = yield 0, 2
    if head == b"\xff\xd8":
        yield from jpeg.read(facts)
        return
    head += yield 0, 10
    if head.startswith(png.SIGNATURE):
        facts.filetype = "png"
        yield from png.read(facts, head)
    elif head.startswith(gif.SIGNATURES):
        facts.filetype = "gif"
        yield from gif.read(facts, head)
    elif head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        facts.filetype = "webp"
        yield from webp.read(facts)
    elif head[4:8] == b"ftyp":
        yield from heif.read(facts, head)
