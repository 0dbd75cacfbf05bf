# SPDX-License-Identifier: Apache-2.0
"""JPEG: metadata in application segments, in each of the pictures of one file, and videos behind them.

Sources: ITU-T T.81, B.1; Exif 3.0, 4.7; XMP part 3, 1.1.3; CIPA DC-007 (multi-picture); C2PA, A.3.
"""

import re

from models.metadata import exif, iptc, movie
from models.metadata.stream import MOST_HELD, Pass, Peek, Stream, Take, Walk
from models.metadata.xmp import XmpCleaner, clean_packet

EXIF = b"Exif\0"
EXIF_HEADER = 6
XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
EXTENDED_HEADER = len(EXTENDED_XMP) + 40
PHOTOSHOP = b"Photoshop 3.0\0"

LONGEST = 65533

EOI = 0xD9
APP0, APP1, APP13, APP15, COMMENT = 0xE0, 0xE1, 0xED, 0xEF, 0xFE
WITHOUT_LENGTH = frozenset({0x01, 0xD8})
AMONG_PIXELS = frozenset({0x00, 0xFF, *range(0xD0, 0xD8)})
# Not what stands among pixels: stuffed bytes, restarts, fill bytes.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
TO_MARKER = Pass(MARKER, 2, first=b"\xff")
SEGMENT_AHEAD = Peek(4)
# Segments that pixels or their colour depend on: JFIF, SPIFF, Adobe, colour profiles, gain maps, other pictures.
KEPT = re.compile(
    rb"JFIF\0|JFXX\0|AVI1|SPIFF\0|Adobe\0?|ICC_PROFILE\0|MPF\0|urn:iso:std:iso:ts:21496:-1\0|HDR_RI"
    rb"|JP[\s\S]{10}(?!jumb)|Ducky"
)

PICTURE = b"\xff\xd8\xff"
SAMSUNG_BLOCK = rb"\0\0[\s\S]{2}[\x04-\x40]\0\0\0[A-Z][A-Za-z0-9_]{3}"
SAMSUNG = re.compile(SAMSUNG_BLOCK + b"|SEFH")
BEHIND = re.compile(rb"\xff\xd8\xff|[\s\S]{4}ftyp|" + SAMSUNG_BLOCK)
BEHIND_SAMSUNG = re.compile(rb"\xff\xd8\xff|[\s\S]{4}ftyp|MCC_Data")
COUNTRY, COUNTRY_BYTES = b"MCC_Data", 3
AHEAD = 12


def walk(*, everything: bool, inner: bool = False) -> Walk:
    """From the first byte of a file. A picture that is `inner`, in metadata, has none inside."""
    yield Take(2, secret=False)
    while True:
        yield from _Picture(everything=everything, inner=inner).walk()
        yield from _behind(everything=everything)


def clean(data: bytearray, *, everything: bool) -> None:
    """A picture inside metadata, in place. Raises Unreadable."""
    stream = Stream(walk(everything=everything, inner=True))
    data[:] = b"".join([*stream.feed(bytes(data)), *stream.end()])


class _Picture:
    """One picture, from behind SOI to behind EOI."""

    def __init__(self, *, everything: bool, inner: bool) -> None:
        self._everything = everything
        self._inner = inner
        self._extended = XmpCleaner()

    def walk(self) -> Walk:
        while True:
            ahead = yield SEGMENT_AHEAD
            if len(ahead) < 2:
                return
            prefix, marker = ahead[:2]
            if prefix != 0xFF or marker in AMONG_PIXELS:
                yield TO_MARKER
            elif marker == EOI:
                yield Pass(2)
                return
            elif marker in WITHOUT_LENGTH:
                yield Pass(2)
            else:
                length = max(2, int.from_bytes(ahead[2:])) + 2
                if APP0 <= marker <= APP15 or marker == COMMENT:
                    yield from self._segment(marker, (yield Take(length)))
                else:
                    yield Pass(length)

    def _segment(self, marker: int, held: bytearray) -> Walk:
        if marker in (APP1, APP13) and held.startswith((EXIF, PHOTOSHOP), 4):
            yield from self._whole(marker, held)
            return
        content = held[4:]
        self._clean(marker, content)
        held[4:] = content

    def _clean(self, marker: int, content: bytearray) -> None:
        """One segment that says all by itself. What is of no known kind is overwritten."""
        known = bool(KEPT.match(content))
        if marker == COMMENT:
            known = not self._everything
        elif content.startswith(XMP) and not self._everything:
            known = clean_packet(content, len(XMP), len(content))
        elif content.startswith(EXTENDED_XMP) and len(content) >= EXTENDED_HEADER and not self._everything:
            known = True
            if not any(content[EXTENDED_HEADER - 4 : EXTENDED_HEADER]):  # its offset: a packet begins
                self._extended = XmpCleaner()
            self._extended.feed(content, EXTENDED_HEADER, len(content))
        if not known:
            content[:] = bytes(len(content))

    def _whole(self, marker: int, held: bytearray) -> Walk:
        """Exif, or Photoshop's resources: where one segment is not enough, they go on in those behind it.

        `held` grows; `spans` is where the parts stand in it.
        """
        kind, header = (EXIF, EXIF_HEADER) if held.startswith(EXIF, 4) else (PHOTOSHOP, len(PHOTOSHOP))
        spans = [(4 + header, len(held))]
        while len(held) < MOST_HELD - 2 * LONGEST and spans[-1][1] - spans[-1][0] > LONGEST - 256:
            ahead = yield Peek(4 + header + 4, keep=len(held))
            follows = ahead[:2] == bytes([0xFF, marker]) and ahead[4:].startswith(kind)
            length = int.from_bytes(ahead[2:4]) + 2
            if not follows or ahead[-4:] in exif.HEADERS or length < 4 + header:
                break
            spans.append((len(held) + 4 + header, len(held) + length))
            yield Take(length, keep=len(held))
        whole = bytearray().join(held[start:end] for start, end in spans)
        is_left = self._clean_whole(kind, whole)
        at = 0
        for start, end in spans:
            if not is_left:
                held[start - header : start] = bytes(header)
            held[start:end] = whole[at : at + end - start]
            at += end - start

    def _clean_whole(self, kind: bytes, whole: bytearray) -> bool:
        """False where nothing of it is left."""
        if kind == EXIF:
            exif.clean(whole, self._clean_inner, everything=self._everything)
            return True
        readable = not self._everything and iptc.clean_resources(whole)
        if not readable:
            whole[:] = bytes(len(whole))
        return readable

    def _clean_inner(self, picture: bytearray) -> None:
        if self._inner:
            picture[:] = bytes(len(picture))
        else:
            clean(picture, everything=self._everything)


def _behind(*, everything: bool) -> Walk:
    """Up to behind the SOI of another picture. Videos are cleaned, Samsung's blocks kept, anything else goes."""
    is_samsung = in_video = False
    while True:
        ahead = yield Peek(AHEAD)
        if ahead.startswith(PICTURE):
            yield Take(2, secret=False)
            return
        if movie.begins(ahead, in_video=in_video):
            yield from movie.box(everything=everything)
            in_video = True
            continue
        in_video = False
        is_samsung = not everything and (is_samsung or SAMSUNG.match(ahead) is not None)
        if is_samsung and ahead.startswith(COUNTRY):
            country = yield Take(len(COUNTRY) + COUNTRY_BYTES)
            country[len(COUNTRY) :] = b"0" * COUNTRY_BYTES
            continue
        fill = None if is_samsung else 0
        yield Pass(1, fill=fill)
        yield Pass(BEHIND_SAMSUNG if is_samsung else BEHIND, AHEAD, fill)
