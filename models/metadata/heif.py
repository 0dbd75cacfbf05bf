# SPDX-License-Identifier: Apache-2.0
"""HEIF (HEIC and AVIF): Exif and XMP are items, whose bytes may be anywhere in the file.

Those behind the header are cleaned as they pass. Those before it have left by then: they are named, to be mended.
Sources: ISO/IEC 14496-12, 8.11; 23008-12, annexes A and O; C2PA, A.3.
"""

from dataclasses import dataclass
from enum import Enum

from models.imagefile import bmff, mini
from models.metadata import exif, jpeg, movie
from models.metadata.stream import MOST_HELD, TO_THE_END, Pass, Peek, Take, Unreadable, Walk
from models.metadata.xmp import clean_packet

HEADER_AHEAD = 512
XMP_TYPES = (b"application/rdf+xml", b"application/xmp+xml", b"text/xml", b"application/xml")
MOST_MENDS = 1024
"""An upload holds its mends until its end. A file with more is refused."""
MOST_DEPTH = 4
"""Of items that lie in items, which may lie in themselves."""


Span = tuple[int, int]
"""Where bytes are in the file, and how many."""


class Kind(Enum):
    """What bytes are, and so how they are cleaned."""

    EXIF_ITEM = 1  # with the offset of its TIFF header before it
    EXIF = 2
    XMP = 3
    UNKNOWN = 4


@dataclass(frozen=True, slots=True)
class Mend:
    """Bytes that have left and are to be cleaned where they are: all spans, one behind the other, are one thing."""

    kind: Kind
    spans: tuple[Span, ...]

    def within(self, length: int) -> "Mend":
        """As much of it as there is in a file of so many bytes."""
        spans = tuple((at, min(n_bytes, length - at)) for at, n_bytes in self.spans if at < length)
        return Mend(self.kind, spans)


def clean(kind: Kind, data: bytearray, *, everything: bool) -> None:
    """The bytes of one item, in place. Raises Unreadable."""

    def clean_inner(picture: bytearray) -> None:
        jpeg.clean(picture, everything=everything)

    if kind is Kind.XMP:
        if everything or not clean_packet(data, 0, len(data)):
            data[:] = b" " * len(data)
    elif kind is Kind.UNKNOWN:
        data[:] = bytes(len(data))
    else:
        start = _tiff_header(data) if kind is Kind.EXIF_ITEM else 0
        tiff = data[start:]
        exif.clean(tiff, clean_inner, everything=everything)
        data[start:] = tiff


def walk(mends: list[Mend], *, everything: bool) -> Walk:
    """From the first byte of a file. What is to be mended is added to `mends`."""
    yield from _File(mends, everything=everything).walk()


def _tiff_header(data: bytearray) -> int:
    """Where Exif's TIFF header is in an item: where it says, or where it is."""
    said = 4 + int.from_bytes(data[:4])
    if bytes(data[said : said + 4]) in exif.HEADERS:
        return said
    found = [at for at in (data.find(header, 0, 64) for header in exif.HEADERS) if at >= 0]
    return min(found, default=min(4, len(data)))


class _File:
    """The boxes of one file. `at` is the offset of the next byte."""

    def __init__(self, mends: list[Mend], *, everything: bool) -> None:
        self._mends = mends
        self._everything = everything
        self._at = 0
        self._visits: list[tuple[int, int, Kind]] = []
        self._codec = b""

    def walk(self) -> Walk:
        while True:
            ahead = bytes((yield Peek(16)))
            size, kind, header = int.from_bytes(ahead[:4]), ahead[4:8], 8
            if size == 1:
                size, header = int.from_bytes(ahead[8:16]), 16
            rest = size == 0
            if kind == b"ftyp":
                yield from self._brands(size)
            elif kind == b"meta" and (rest or size <= MOST_HELD):
                yield from self._meta(size or MOST_HELD, header, rest=rest)
            elif kind == b"meta":
                raise Unreadable
            elif kind == b"mini":
                yield from self._mini(header)
            elif kind in (b"moov", b"uuid", b"mpvd", b"udta", movie.NOTHING) and not self._visits_before(
                self._at + size
            ):
                self._at += yield from movie.box(everything=self._everything)
            else:
                yield from self._pass(TO_THE_END if rest or size < header else size)

    def _brands(self, size: int) -> Walk:
        ahead = bytes((yield Peek(16)))
        self._codec = {b"avif": b"av01", b"heic": b"hvc1"}.get(ahead[12:16], b"")
        yield from self._pass(max(8, size))

    def _visits_before(self, end: int) -> bool:
        return bool(self._visits) and self._visits[-1][0] < end

    def _pass(self, n_bytes: int) -> Walk:
        """Pass over so many bytes, and clean the metadata among them."""
        end = self._at + n_bytes
        while self._visits_before(end):
            start, length, kind = self._visits.pop()
            if start < self._at or start + length > end:
                self._mends.append(Mend(kind, ((start, length),)))
                continue
            yield Pass(start - self._at)
            yield from self._clean_passing(kind, length)
            self._at = start + length
        yield Pass(end - self._at)
        self._at = end

    def _clean_passing(self, kind: Kind, length: int) -> Walk:
        if kind is Kind.XMP:
            yield from movie.xmp(length, everything=self._everything)
            return
        held = min(length, MOST_HELD if kind is not Kind.UNKNOWN else 0)
        if held:
            data = yield Take(held)
            clean(kind, data, everything=self._everything)
        yield Pass(length - held, fill=0)

    def _meta(self, size: int, header: int, *, rest: bool) -> Walk:
        """The whole box is held, so that metadata inside it are cleaned in place."""
        data = yield Take(size, secret=not rest, rest=rest)
        start = self._at
        self._at += len(data)
        try:
            found, idat = _read_meta(data, header)
            for item in found.values():
                kind = _kind_of(item)
                if kind is not None and item.extents:
                    self._plan(kind, _spans(found, item, start, idat), data, start)
        except bmff.TooMuch as error:
            raise Unreadable from error
        if len(self._mends) > MOST_MENDS:
            raise Unreadable
        self._visits.sort(key=lambda visit: -visit[0])

    def _plan(self, kind: Kind, spans: list[Span], data: bytearray, start: int) -> None:
        """Clean what is in the box itself, visit what follows it, and let be mended what is elsewhere."""
        if len(spans) == 1 and spans[0][0] >= self._at:
            self._visits.append((*spans[0], kind))
        elif all(start <= at and at + length <= self._at for at, length in spans):
            parts = [(at - start, at - start + length) for at, length in spans]
            whole = bytearray().join(data[first:last] for first, last in parts)
            clean(kind, whole, everything=self._everything)
            at = 0
            for first, last in parts:
                data[first:last] = whole[at : at + last - first]
                at += last - first
        elif spans:
            self._mends.append(Mend(kind, tuple(spans)))

    def _mini(self, header: int) -> Walk:
        """ISO/IEC 23008-12, annex O: Exif and XMP follow the picture. They cannot be found where the header is odd."""
        ahead = bytes((yield Peek(header + HEADER_AHEAD)))
        size = int.from_bytes(ahead[:4]) if header == 8 else int.from_bytes(ahead[8:16])
        image = mini.read(ahead[header:], self._codec)
        if image is None or header + image.whole_bytes > (size or TO_THE_END):
            raise Unreadable
        start = self._at + header + image.whole_bytes - image.exif_bytes - image.xmp_bytes
        for kind, at, length in (
            (Kind.EXIF, start, image.exif_bytes),
            (Kind.XMP, start + image.exif_bytes, image.xmp_bytes),
        ):
            if length:
                self._visits.append((at, length, Kind.UNKNOWN if image.compressed else kind))
        self._visits.sort(key=lambda visit: -visit[0])
        yield from self._pass(size or TO_THE_END)


def _read_meta(data: bytearray, header: int) -> tuple[bmff.Items, Span]:
    """The items that a `meta` box describes, and where its own data are in it. Raises TooMuch."""
    items: bmff.Items = {}
    idat = (0, 0)
    whole = bytes(data)
    for kind, start, end in bmff.boxes(whole, header + 4):
        if kind == b"iinf":
            bmff.read_item_infos(whole[start:end], items)
        elif kind == b"iloc":
            bmff.read_locations(whole[start:end], items)
        elif kind == b"iref":
            bmff.read_sources(whole[start:end], items)
        elif kind == b"idat":
            idat = (start, end - start)
    return items, idat


def _kind_of(item: bmff.Item) -> Kind | None:
    if item.kind == b"Exif":
        return Kind.EXIF_ITEM
    if item.kind == b"mime" and item.content_type in XMP_TYPES:
        return Kind.UNKNOWN if item.encoded else Kind.XMP
    return None


def _spans(items: bmff.Items, item: bmff.Item, start: int, idat: Span, depth: int = 0) -> list[Span]:
    """Where an item's bytes are in the file; parts that touch are one."""
    spans: list[Span] = []
    for number, (offset, length) in enumerate(item.extents):
        if item.method == bmff.IN_FILE:
            found = [(offset, length)]
        elif item.method == bmff.IN_IDAT:
            found = [(start + idat[0] + offset, min(length or idat[1], max(0, idat[1] - offset)))]
        else:
            source = item.source(number)
            inside = (
                _spans(items, items[source], start, idat, depth + 1) if source in items and depth < MOST_DEPTH else []
            )
            found = _part(inside, offset, length)
        for at, n_bytes in found:
            if spans and sum(spans[-1]) == at:
                spans[-1] = (spans[-1][0], spans[-1][1] + n_bytes)
            elif n_bytes:
                spans.append((at, n_bytes))
        if len(spans) > MOST_MENDS:
            raise Unreadable
    return spans


def _part(spans: list[Span], offset: int, length: int) -> list[Span]:
    """Bytes from `offset` on of what these spans are together; all of them where `length` is 0."""
    found = []
    left = length or TO_THE_END
    for at, n_bytes in spans:
        if offset < n_bytes and left > 0:
            taken = min(n_bytes - offset, left)
            found.append((at + offset, taken))
            left -= taken
        offset = max(0, offset - n_bytes)
    return found
