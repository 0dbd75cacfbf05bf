# SPDX-License-Identifier: Apache-2.0
"""What the first bytes of an image file say: its type and its size in pixels. Nothing is decoded.

Bytes come as they arrive; only a few are ever held, and whatever they say, the work is bounded.
"""

from collections.abc import Generator

CONTENT_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "avif": "image/avif",
    "opaque": "application/octet-stream",
}
EXTENSIONS = {
    "jpeg": "jpg",
    "png": "png",
    "gif": "gif",
    "webp": "webp",
    "heic": "heic",
    "avif": "avif",
    "opaque": "bin",
}

MAX_STEPS = 4096
MAX_BRANDS_BYTES = 256
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
HEIF_BRANDS = frozenset({b"mif1", b"msf1"})
# What lies between the header of a box that holds boxes and the first of them.
CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
NO_FRAME_FOLLOWS = frozenset({0x00, 0xD8, 0xD9, 0xDA})

Steps = Generator[tuple[int, int], bytes, None]
"""Yields how many bytes to pass over and how many to bring then; is sent those."""


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


def _read(facts: Facts) -> Steps:
    head = yield 0, 2
    if head == b"\xff\xd8":
        yield from _jpeg(facts)
        return
    head += yield 0, 10
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        facts.filetype = "png"
        yield from _png(facts, head)
    elif head.startswith((b"GIF87a", b"GIF89a")):
        facts.filetype = "gif"
        facts.keep_larger(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))
    elif head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        facts.filetype = "webp"
        yield from _webp(facts)
    elif head[4:8] == b"ftyp":
        yield from _heif(facts, head)


def _jpeg(facts: Facts) -> Steps:
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


def _png(facts: Facts, head: bytes) -> Steps:
    """PNG (W3C, third edition), 11.2.1: IHDR is the first chunk and has 13 bytes; no side over 2^31 - 1."""
    chunk = yield 0, 12
    width, height = int.from_bytes(chunk[4:8]), int.from_bytes(chunk[8:12])
    if head[8:12] == b"\0\0\0\x0d" and chunk.startswith(b"IHDR") and max(width, height) < 1 << 31:
        facts.keep_larger(width, height)


def _webp(facts: Facts) -> Steps:
    """RFC 9649, 2.5 to 2.7: the first chunk is one of three and tells the size."""
    chunk = yield 0, 8
    if chunk.startswith(b"VP8X"):
        canvas = yield 4, 6
        facts.keep_larger(int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1)
    elif chunk.startswith(b"VP8L"):
        lossless = yield 0, 5
        sides = int.from_bytes(lossless[1:], "little")
        if lossless[0] == 0x2F and not sides >> 29:
            facts.keep_larger((sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1)
    elif chunk.startswith(b"VP8 "):
        frame = yield 0, 10
        if not frame[0] & 1 and frame[3:6] == b"\x9d\x01\x2a":
            sides = int.from_bytes(frame[6:], "little")
            facts.keep_larger(sides & 0x3FFF, sides >> 16 & 0x3FFF)


def _heif(facts: Facts, head: bytes) -> Steps:
    """ISO/IEC 14496-12, 4.2 and 23008-12, 6.5.3: the brands, then every `ispe` in `meta/iprp/ipco`.

    A box that holds boxes is entered and its size let be: what it holds follows. Any other is passed over.
    """
    size = int.from_bytes(head[:4])
    known = min(size - 12, MAX_BRANDS_BYTES)
    if known < 4:
        return
    brands = yield 0, known
    facts.filetype = _type_of_brands([head[8:12], *(brands[at : at + 4] for at in range(4, known, 4))])
    skip = size - 12 - known
    while facts.filetype:
        header = yield skip, 8
        size, kind = int.from_bytes(header[:4]), header[4:]
        length = int.from_bytes((yield 0, 8)) - 16 if size == 1 else size - 8
        if kind in CONTAINERS:
            skip = CONTAINERS[kind]
        elif length < 0:
            return
        elif kind == b"ispe" and length >= 12:
            sides = yield 4, 8
            facts.keep_larger(int.from_bytes(sides[:4]), int.from_bytes(sides[4:]))
            skip = length - 12
        else:
            skip = length


def _type_of_brands(brands: list[bytes]) -> str | None:
    """The first brand that names a codec decides; one that names HEIF alone is taken for the codec HEIF began with."""
    for brand in brands:
        if brand in AVIF_BRANDS:
            return "avif"
        if brand in HEIC_BRANDS:
            return "heic"
    return None if HEIF_BRANDS.isdisjoint(brands) else "heic"
