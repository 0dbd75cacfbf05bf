# SPDX-License-Identifier: Apache-2.0
"""PNG: Exif and text in chunks, each with its checksum right afterwards.

Source: PNG (W3C, third edition), 5 and 11.3; XMP part 3, 1.1.5.
"""

from zlib import crc32

from models.metadata import exif, jpeg
from models.metadata.stream import MOST_HELD, TO_THE_END, Pass, Peek, Take, Walk
from models.metadata.xmp import XmpCleaner, is_place

PIECE = 64 * 1024
MOST_KEYWORD = 79
XMP_KEYWORD = b"XML:com.adobe.xmp\0"
NOTHING = b"voId"
"""A chunk of a kind that nobody has: private, and safe to copy."""

TEXTS = (b"tEXt", b"iTXt", b"zTXt", b"tIME")
# Private chunks that say how pixels are shown.
OF_PIXELS = frozenset({b"caNv", b"vpAg", b"npTc", b"npOl", b"npLb", b"gmAP", b"gdAT"})


def walk(*, everything: bool) -> Walk:
    """From the first byte of a file to its IEND, and what follows that goes."""
    yield Take(8, secret=False)
    while True:
        head = yield Take(8, secret=False)
        length, kind = int.from_bytes(head[:4]), bytes(head[4:])
        if length >= 1 << 31:
            return  # no decoder reads on
        if kind == b"eXIf" and length + 12 <= MOST_HELD:
            _clean_exif((yield Take(length + 4, keep=8)), everything=everything)
            continue
        ahead = bytes((yield Peek(2 * (MOST_KEYWORD + 1), keep=8)))[:length]
        if _goes(kind, ahead, everything=everything):
            yield from _without_content(head, length)
        elif kind == b"iTXt" and ahead.startswith(XMP_KEYWORD):
            yield from _xmp(ahead, length)
        else:
            yield Pass(length + 4)
        if kind == b"IEND":
            yield Pass(TO_THE_END, fill=0)


def _goes(kind: bytes, ahead: bytes, *, everything: bool) -> bool:
    """Compressed text, signatures, Exif in text, places in text, private chunks that no pixel depends on.

    With `everything`, all texts and times.
    """
    if kind in (b"zTXt", b"caBX", b"dSIG", b"eXIf") or (everything and kind in TEXTS):
        return True
    if kind in (b"tEXt", b"iTXt"):
        keyword, _, text = ahead.partition(b"\0")
        if kind == b"iTXt" and (text[:1] == b"\1" or (keyword + b"\0" == XMP_KEYWORD and _text_at(ahead) is None)):
            return True
        lower = keyword.lower()
        profile = lower.startswith(b"raw profile") and not lower.endswith((b"icc", b"icm"))
        return profile or is_place(keyword) or b"gps" in lower or (kind == b"tEXt" and keyword + b"\0" == XMP_KEYWORD)
    return kind[1:2].islower() and kind[3:4].islower() and kind not in OF_PIXELS


def _clean_exif(chunk: bytearray, *, everything: bool) -> None:
    def clean_inner(picture: bytearray) -> None:
        jpeg.clean(picture, everything=everything)

    data = chunk[8:-4]
    exif.clean(data, clean_inner, everything=everything)
    if data != chunk[8:-4]:
        chunk[8:-4] = data
        chunk[-4:] = crc32(data, crc32(b"eXIf")).to_bytes(4)


def _without_content(head: bytearray, length: int) -> Walk:
    head[4:] = NOTHING
    sum_ = crc32(NOTHING)
    while length:
        n_bytes = min(length, PIECE)
        yield Pass(n_bytes, fill=0)
        sum_ = crc32(bytes(n_bytes), sum_)
        length -= n_bytes
    stored = yield Take(4, secret=False)
    stored[:] = sum_.to_bytes(4)


def _text_at(ahead: bytes) -> int | None:
    """Where the text of an international text chunk begins: behind its language and its translated keyword."""
    language = ahead.find(b"\0", len(XMP_KEYWORD) + 2)
    translated = ahead.find(b"\0", language + 1) if language >= 0 else -1
    return translated + 1 if translated >= 0 else None


def _xmp(ahead: bytes, length: int) -> Walk:
    start = _text_at(ahead) or 0
    yield Pass(start)
    sum_ = crc32(ahead[:start], crc32(b"iTXt"))
    cleaner = XmpCleaner()
    left = length - start
    while left:
        n_bytes = min(left, PIECE)
        piece = yield Take(n_bytes)
        cleaner.feed(piece, 0, len(piece))
        sum_ = crc32(piece, sum_)
        left -= n_bytes
    stored = yield Take(4, secret=False)
    # Whatever it was: the first pieces may have been cleaned before, by who took the upload's beginning.
    stored[:] = sum_.to_bytes(4)
