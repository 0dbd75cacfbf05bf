# SPDX-License-Identifier: Apache-2.0
"""Takes an image file in pieces of any length and gives it back without what it tells of its place, or of anything."""

from enum import Enum

from models.metadata import gif, heif, jpeg, png, webp
from models.metadata.heif import Mend
from models.metadata.stream import MOST_HELD, TO_THE_END, Pass, Peek, Piece, Stream, Unreadable, Walk


class Removal(Enum):
    """What is overwritten: places, or all but orientation and colour."""

    LOCATION = "location"
    ALL = "all"


class MetadataRemover:
    """`feed` each piece, then `end`: together they give back exactly as many bytes as came.

    `mends` are then what has to be cleaned in bytes that were given back before: read the first `MOST_HELD` bytes of
    each one's spans, hand them to `mend`, and write what it returns in their place, with zeros behind it. `feed` and
    `end` raise Unreadable.
    """

    def __init__(self, removal: Removal) -> None:
        self.removal = removal
        self._everything = removal is Removal.ALL
        self.mends: list[Mend] = []
        self._stream = Stream(self._walk())

    @property
    def held(self) -> int:
        """How many bytes have come and were not given back yet."""
        return self._stream.held

    @property
    def changed(self) -> bool:
        """Whether anything was overwritten so far."""
        return self._stream.changed

    @property
    def overwritten(self) -> bytes:
        """A digest of what was overwritten: together with what is left it says what came."""
        return self._stream.overwritten

    def feed(self, piece: bytes) -> list[Piece]:
        return self._stream.feed(piece)

    def end(self) -> list[Piece]:
        left = self._stream.end()
        whole = [mend.within(self._stream.length) for mend in self.mends]
        self.mends[:] = [mend for mend in whole if mend.spans]
        return left

    def mend(self, mend: Mend, data: bytes) -> bytes:
        """The first bytes of its spans as they are to be; at most `MOST_HELD` are taken."""
        cleaned = bytearray(data[:MOST_HELD])
        try:
            heif.clean(mend.kind, cleaned, everything=self._everything)
        except Unreadable:
            return bytes(len(cleaned))
        return bytes(cleaned)

    def _walk(self) -> Walk:
        head = bytes((yield Peek(12)))
        if head.startswith(b"\xff\xd8"):
            yield from jpeg.walk(everything=self._everything)
        elif head.startswith(b"\x89PNG\r\n\x1a\n"):
            yield from png.walk(everything=self._everything)
        elif head.startswith((b"GIF87a", b"GIF89a")):
            yield from gif.walk(everything=self._everything)
        elif head.startswith(b"RIFF") and head.endswith(b"WEBP"):
            yield from webp.walk(everything=self._everything)
        elif head[4:8] == b"ftyp":
            yield from heif.walk(self.mends, everything=self._everything)
        else:
            yield Pass(TO_THE_END)
