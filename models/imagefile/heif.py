# SPDX-License-Identifier: Apache-2.0
"""HEIF (HEIC and AVIF): brands tell the codec; boxes, coded pictures and how they are put together tell sizes.

The largest that any of them says counts: a decoder allocates for a picture what the picture itself says, whatever the
`ispe` property beside it does.
"""

import struct
from collections.abc import Generator

from models.imagefile import bmff, codecs, mini
from models.imagefile.steps import Facts, Pass, Steps

# What is held of a file that says more than any writer does: brands, one box that says how pictures are put together,
# and places to look at.
MAX_BRANDS_BYTES = 256
MAX_BOX_BYTES = 512 * 1024
MAX_VISITS = 16384
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"mif3", b"msf1"})
CODEC_OF_MINOR_VERSION = {b"avif": (b"av01", "avif"), b"heic": (b"hvc1", "heic")}

# Boxes that hold boxes, and what lies between their header and the first of those.
IN_MOVIE = {b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8}
SAMPLE_ENTRIES = frozenset({b"hvc1", b"hev1", b"av01", b"avc1"})
SAMPLE_ENTRY_BYTES = 78
# What each kind of item says of its size at its beginning.
HEADS = {b"av01": 64, b"grid": 12, b"iovl": 18}


def read(facts: Facts, head: bytes) -> Steps:
    """ISO/IEC 14496-12, 4.2 and 23008-12: the brands, then every box that tells a size.

    `head` is the first 12 bytes.
    """
    size = int.from_bytes(head[:4])
    known = min(size - 12, MAX_BRANDS_BYTES)
    if known < 4:
        return
    brands = yield 0, known
    minor = brands[:4]
    facts.filetype = _type_of_brands([head[8:12], *(brands[at : at + 4] for at in range(4, known, 4))], minor)
    if facts.filetype is None:
        return
    try:
        yield from _File(facts, 12 + known, minor).read(size - 12 - known)
    except bmff.TooMuch:
        facts.width = facts.height = None


def _type_of_brands(brands: list[bytes], minor: bytes) -> str | None:
    """The first brand that names a codec decides; one that names HEIF alone is taken for the codec HEIF began with."""
    for brand in brands:
        if brand in AVIF_BRANDS:
            return "avif"
        if brand in HEIC_BRANDS:
            return "heic"
        if brand == b"mif3" and minor in CODEC_OF_MINOR_VERSION:
            return CODEC_OF_MINOR_VERSION[minor][1]
    return None if HEIF_BRANDS.isdisjoint(brands) else "heic"


Reading = Generator[tuple[Pass, int], bytes, bytes]


class _File:
    """The boxes of one file. `at` is the offset of the next byte."""

    def __init__(self, facts: Facts, at: int, minor: bytes) -> None:
        self._facts = facts
        self._at = at
        self._minor = minor
        self._items: bmff.Items = {}
        self._idat: bytes | None = None
        # What has been passed and items may yet turn out to begin in: (offset, bytes).
        self._kept: list[tuple[int, bytes]] = []
        # What is still to be looked at in the file: (offset, length, item).
        self._visits: list[tuple[int, int, bmff.Item]] = []

    def read(self, skip: int) -> Steps:
        while True:
            yield from self._pass(skip)
            kind, length = yield from self._header()
            if length is not None and length < 0:
                return
            if kind == b"meta":
                yield from self._meta(length)
            elif kind == b"mini":
                yield from self._mini(length)
            elif kind == b"mdat" and length is not None and not self._kept and not self._items:
                yield from self._keep(length)
            elif kind == b"moov" and length is not None:
                yield from self._movie(self._at + length)
            elif length is None:
                yield from self._pass(1 << 63)
            else:
                skip = length
                continue
            skip = 0

    def _bring(self, skip: int, wanted: int) -> Reading:
        brought = yield skip, wanted
        self._at += skip + wanted
        return brought

    def _pass(self, skip: int) -> Steps:
        """Pass over so many bytes, but look at those that items begin with."""
        end = self._at + skip
        while self._visits and self._visits[-1][0] < end:
            offset, length, item = self._visits.pop()
            if offset >= self._at:
                self._judge(item.kind, (yield from self._bring(offset - self._at, min(length, end - offset))))
        if end > self._at:
            yield from self._bring(end - self._at, 0)

    def _keep(self, length: int) -> Reading:
        """The beginning of what comes before the boxes that say what it is; the rest is passed over."""
        kept = min(length, MAX_BOX_BYTES)
        self._kept.append((self._at, (yield from self._bring(0, kept))))
        yield from self._pass(length - kept)
        return self._kept[-1][1]

    def _header(self) -> Generator[tuple[Pass, int], bytes, tuple[bytes, int | None]]:
        """A box's kind, and the length of its payload: None for all the rest, negative for an invalid box."""
        header = yield from self._bring(0, 8)
        size, kind = int.from_bytes(header[:4]), header[4:]
        if size == 1:
            return kind, int.from_bytes((yield from self._bring(0, 8))) - 16
        return kind, size - 8 if size else None

    def _meta(self, length: int | None) -> Steps:
        """ISO/IEC 14496-12, 8.11.1: one box in it after the other."""
        end = None if length is None else self._at + length
        yield from self._bring(4, 0)
        while end is None or self._at + 8 <= end:
            kind, length = yield from self._header()
            if length is None or length < 0 or (end is not None and self._at + length > end):
                return
            if kind in (b"iprp", b"iinf", b"iloc"):
                if length > MAX_BOX_BYTES:
                    raise bmff.TooMuch
                self._known(kind, (yield from self._bring(0, length)))
            elif kind == b"idat":
                self._idat = yield from self._keep(length)
            else:
                yield from self._pass(length)
        self._plan_visits()

    def _known(self, kind: bytes, data: bytes) -> None:
        if kind == b"iinf":
            bmff.read_item_infos(data, self._items)
        elif kind == b"iloc":
            bmff.read_locations(data, self._items)
        else:
            self._properties(data)

    def _properties(self, data: bytes) -> None:
        for kind, start, end in bmff.boxes(data):
            if kind == b"ipco":
                for inner, at, inner_end in bmff.boxes(data, start, end):
                    self._judge(inner, data[at:inner_end])

    def _judge(self, kind: bytes, data: bytes) -> None:
        """What a property, or the first bytes of an item, says of a size."""
        if kind == b"ispe" and len(data) >= 12:
            self._facts.keep_larger(*struct.unpack_from(">II", data, 4))
        elif kind == b"hvcC":
            self._facts.keep_larger(*codecs.hevc(data))
        elif kind == b"av1C":
            self._facts.keep_larger(*codecs.av1(data[4:]))
        elif kind == b"av01":
            self._facts.keep_larger(*codecs.av1(data))
        elif kind in (b"grid", b"iovl"):
            self._judge_canvas(data[1:2], data[4 if kind == b"grid" else 10 :])

    def _judge_canvas(self, flags: bytes, sides: bytes) -> None:
        """ISO/IEC 23008-12, 6.6.2: what a grid or an overlay is put together on; two numbers of 2 or 4 bytes."""
        form = ">II" if flags and flags[0] & 1 else ">HH"
        if len(sides) >= struct.calcsize(form):
            self._facts.keep_larger(*struct.unpack_from(form, sides))

    def _plan_visits(self) -> None:
        """All boxes of `meta` are known: where items begin whose first bytes say a size.

        Raises TooMuch where they begin in what has been passed and is no longer there.
        """
        for item in self._items.values():
            wanted = HEADS.get(item.kind, 0)
            if not wanted or not item.extents:
                continue
            offset, length = item.extents[0]
            length = min(length or wanted, wanted)
            if item.method == bmff.IN_IDAT:
                self._judge(item.kind, (self._idat or b"")[offset : offset + length])
            elif item.method == bmff.IN_FILE and offset < self._at:
                self._judge(item.kind, self._passed(offset, length))
            elif item.method == bmff.IN_FILE:
                self._visits.append((offset, length, item))
        self._visits.sort(key=lambda visit: -visit[0])
        if len(self._visits) > MAX_VISITS:
            raise bmff.TooMuch

    def _passed(self, offset: int, length: int) -> bytes:
        for start, kept in self._kept:
            if start <= offset < start + len(kept):
                return kept[offset - start :][:length]
        raise bmff.TooMuch

    def _mini(self, length: int | None) -> Steps:
        """ISO/IEC 23008-12, annex O. The parameters of its codec and the picture's first bytes follow the header."""
        start = self._at
        end = start + length if length is not None else 1 << 63
        head = yield from self._bring(0, min(mini.MAX_HEADER_BYTES, end - start))
        image = mini.read(head, CODEC_OF_MINOR_VERSION.get(self._minor, (b"", ""))[0])
        if image is None or not image.codec:
            return
        self._facts.filetype = "avif" if image.codec == b"av01" else "heic"
        self._facts.keep_larger(image.width, image.height)
        self._facts.keep_larger(*image.gain_map)
        if image.codec == b"hvc1":
            at, size = image.configuration
            self._judge(b"hvcC", (yield from self._part(head, start, at, size)))
        elif image.codec == b"av01":
            at, size = image.pixels
            self._judge(b"av01", (yield from self._part(head, start, at, min(size, HEADS[b"av01"]))))
        yield from self._pass(max(0, end - self._at))

    def _part(self, head: bytes, start: int, at: int, size: int) -> Reading:
        """`size` bytes at `at`, counted from `start`, where `head` has been read already."""
        known = head[at : at + size]
        return known + (yield from self._bring(max(0, start + at - self._at), size - len(known)))

    def _movie(self, end: int) -> Steps:
        """ISO/IEC 14496-12, 8.2.1: the tracks of an image sequence, whatever boxes they are in."""
        skip = 0
        while self._at + skip + 8 <= end:
            yield from self._pass(skip)
            kind, length = yield from self._header()
            if length is None or length < 0:
                return
            skip = length
            if kind in IN_MOVIE:
                skip = IN_MOVIE[kind]
            elif kind in SAMPLE_ENTRIES and length >= SAMPLE_ENTRY_BYTES:
                entry = yield from self._bring(0, SAMPLE_ENTRY_BYTES)
                self._facts.keep_larger(*struct.unpack_from(">HH", entry, 24))
                skip = 0
            elif kind in (b"tkhd", b"hvcC", b"av1C") and length <= MAX_BOX_BYTES:
                data = yield from self._bring(0, length)
                skip = 0
                if kind != b"tkhd":
                    self._judge(kind, data)
                elif len(data) >= (96 if data[0] else 84):
                    width, height = struct.unpack_from(">II", data, 88 if data[0] else 76)
                    self._facts.keep_larger(width >> 16, height >> 16)
        yield from self._pass(max(0, end - self._at))
