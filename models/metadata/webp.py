# SPDX-License-Identifier: Apache-2.0
"""WebP: Exif and XMP in chunks of their own.

Source: RFC 9649, 2.7.1; C2PA, A.3.
"""

from models.metadata import exif, jpeg, movie
from models.metadata.stream import MOST_HELD, TO_THE_END, Pass, Take, Walk

OF_PIXELS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"FRGM"})
PREFIX = b"Exif\0\0"


def walk(*, everything: bool) -> Walk:
    """From the first byte of a file; chunks of no known kind, and what follows the file's own end, go."""
    head = yield Take(12, secret=False)
    left = int.from_bytes(head[4:8], "little") - 4
    while left >= 8:
        chunk = yield Take(8, secret=False)
        kind, length = bytes(chunk[:4]), int.from_bytes(chunk[4:], "little")
        left -= 8 + length + (length & 1)
        if kind in OF_PIXELS:
            yield Pass(length)
        elif kind == b"EXIF" and length <= MOST_HELD:
            _clean_exif((yield Take(length)), everything=everything)
        elif kind == b"XMP ":
            yield from movie.xmp(length, everything=everything)
        else:
            yield Pass(length, fill=0)
        yield Pass(length & 1)
    yield Pass(TO_THE_END, fill=0)


def _clean_exif(content: bytearray, *, everything: bool) -> None:
    def clean_inner(picture: bytearray) -> None:
        jpeg.clean(picture, everything=everything)

    start = len(PREFIX) if content.startswith(PREFIX) else 0
    data = content[start:]
    exif.clean(data, clean_inner, everything=everything)
    content[start:] = data
