# SPDX-License-Identifier: Apache-2.0
"""Feeds the first bytes of an image file to the reader of its format.

Bytes come as they arrive; only a few are ever held, and whatever they say, the work is bounded.
"""

from models.imagefile import gif, heif, jpeg, png, webp
from models.imagefile.steps import Facts, Steps

# The file decides how many steps its header takes (empty segments, tiny boxes); a real one takes far fewer.
MAX_STEPS = 4096


class HeaderReader:
    """Reads the type and the size of an image from its first bytes, fed in pieces of any length.

    `done` says that more bytes will change nothing. A file all of whose bytes were fed, and which has no `width`, is
    to be refused as no image: a mere signature, a JPEG without a frame or whose height comes after it, a HEIF
    sequence without a still image, a header that takes over 4,096 steps to read.
    """

    __slots__ = ("_facts", "_held", "_skip", "_steps", "_steps_left", "_wanted", "done")

    def __init__(self) -> None:
        self._facts = Facts()
        self._steps = _read(self._facts)
        self._steps_left = MAX_STEPS
        self._held = bytearray()
        self._skip, self._wanted = next(self._steps)
        self.done = False

    @property
    def filetype(self) -> str | None:
        """A key of `CONTENT_TYPES`; None while unknown, and for what is no image that is taken here."""
        return self._facts.filetype

    @property
    def width(self) -> int | None:
        """In pixels, at least 1; None while unknown. Of a HEIF file's many, the largest by area."""
        return self._facts.width

    @property
    def height(self) -> int | None:
        """In pixels, at least 1; None while unknown."""
        return self._facts.height

    def feed(self, piece: bytes | bytearray) -> None:
        """Take the next bytes of the file. Raises nothing, whatever they are."""
        at = 0
        while not self.done:
            passed = min(self._skip, len(piece) - at)
            self._skip -= passed
            at += passed
            if self._skip:
                return
            taken = piece[at : at + self._wanted - len(self._held)]
            self._held += taken
            at += len(taken)
            if len(self._held) < self._wanted:
                return
            self._step()

    def _step(self) -> None:
        brought = bytes(self._held)
        self._held.clear()
        self._steps_left -= 1
        try:
            self._skip, self._wanted = self._steps.send(brought)
        except StopIteration:
            self.done = True
            return
        if self._steps_left == 0:
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
        gif.read(facts, head)
    elif head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        facts.filetype = "webp"
        yield from webp.read(facts)
    elif head[4:8] == b"ftyp":
        yield from heif.read(facts, head)
