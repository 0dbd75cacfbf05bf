# SPDX-License-Identifier: Apache-2.0
"""Exif: the GPS directory and all else that tells a place is left out of the directories, its values become zeros.

What is kept stays at its offset. Sources: Exif 3.0 (CIPA DC-008), 4.6; GeoTIFF 1.1, annex B.
"""

from collections import defaultdict
from collections.abc import Callable

from models.metadata import iptc, makernotes
from models.metadata.tiff import ENTRY_BYTES, Entry, Tiff, order_of
from models.metadata.xmp import clean_packet

ORIENTATION, MAKE, EXIF_IFD, GPS_IFD, INTEROP_IFD, SUB_IFDS = 0x0112, 0x010F, 0x8769, 0x8825, 0xA005, 0x014A
MAKER_NOTE, XMP, IPTC, PHOTOSHOP = 0x927C, 0x02BC, 0x83BB, 0x8649
THUMBNAIL, THUMBNAIL_BYTES = 0x0201, 0x0202
COLOUR_SPACE, INTEROP_INDEX = 0xA001, 0x0001
GEOTIFF = frozenset({33550, 33920, 33922, 34264, 34735, 34736, 34737})

LOOKED_AT = GEOTIFF | {
    *(EXIF_IFD, INTEROP_IFD, SUB_IFDS, GPS_IFD),
    *(MAKE, MAKER_NOTE, XMP, IPTC, PHOTOSHOP, THUMBNAIL, THUMBNAIL_BYTES),
}
"""Leads to a place, or may; a camera writes a hundred others."""

FIRST = 8
MOST_DIRECTORIES = 64
"""Looked at in one picture: directories may lead to each other without end."""
HEADERS = (b"II*\0", b"MM\0*")
EMPTY = b"II*\0\x08\0\0\0" + bytes(6)
"""A TIFF header and a directory without entries."""

CleanPicture = Callable[[bytearray], None]
"""Cleans a picture inside the metadata, in place."""


def clean(data: bytearray, clean_picture: CleanPicture, *, everything: bool) -> None:
    """Clean Exif data that begin with their TIFF header, in place. With `everything`, orientation and colour stay.

    Data that are none become an empty directory.
    """
    order = order_of(bytes(data[:2]))
    tiff = Tiff(data, order) if order and bytes(data[:4]) in HEADERS else None
    if tiff is None or tiff.count(tiff.number(4, 4)) is None:
        data[:] = EMPTY[: len(data)].ljust(len(data), b"\0") if len(data) >= len(EMPTY) else bytes(len(data))
    elif everything:
        data[:] = _reduced(tiff, Tiff(bytearray(len(data)), order or "big"))
    else:
        search = _Search(tiff, clean_picture)
        search.find()
        search.overwrite()


def _reduced(tiff: Tiff, left: Tiff) -> bytes:
    """The same room with the orientation, the colour space and its index alone, each in its directory."""
    left.data[:FIRST] = tiff.data[:FIRST]
    directory = tiff.number(4, 4)
    for values, pointer in (({ORIENTATION}, EXIF_IFD), ({COLOUR_SPACE}, INTEROP_IFD), ({INTEROP_INDEX}, 0)):
        entries = list(tiff.entries(directory))
        inner = [entry for entry in entries if entry.tag == pointer and tiff.count(entry.value) is not None][:1]
        kept = [entry for entry in entries if entry.tag in values and entry.start == entry.at + 8]
        left.put(directory, b"".join(tiff.raw(entry) for entry in kept + inner))
        if not inner:
            break
        directory = inner[0].value
    return bytes(left.data)


class _Search:
    """Finds what is to go in all directories, and overwrites it when all of them are read."""

    def __init__(self, tiff: Tiff, clean_picture: CleanPicture) -> None:
        self._tiff = tiff
        self._clean_picture = clean_picture
        self._read = set[int]()
        self._places = set[int]()
        self._blanks: list[tuple[int, int]] = []
        self._dropped: dict[int, list[int]] = defaultdict(list)
        self._make = b""

    def find(self) -> None:
        tiff = self._tiff
        waiting = [tiff.number(4, 4)]
        while waiting and len(self._read) < MOST_DIRECTORIES:
            directory = waiting.pop()
            if directory in self._read or tiff.count(directory) is None:
                continue
            self._read.add(directory)
            entries = list(tiff.entries(directory, LOOKED_AT))
            for entry in entries:
                if entry.tag in (EXIF_IFD, INTEROP_IFD):
                    waiting.append(entry.value)
                elif entry.tag == SUB_IFDS:
                    waiting += tiff.numbers(entry, MOST_DIRECTORIES)
                else:
                    self._judge(directory, entry)
            self._clean_thumbnail(entries)
            waiting.append(tiff.following(directory))

    def overwrite(self) -> None:
        data = self._tiff.data
        for directory in self._places - self._read:
            self._blanks += [(entry.start, entry.end) for entry in self._tiff.entries(directory)]
            self._blanks.append((directory, directory + 2 + (self._tiff.count(directory) or 0) * ENTRY_BYTES))
        for start, end in self._blanks:
            data[start:end] = bytes(max(0, min(end, len(data)) - start))
        for directory, places in self._dropped.items():
            self._tiff.without(directory, places)

    def _judge(self, directory: int, entry: Entry) -> None:
        if entry.tag == GPS_IFD:
            self._dropped[directory].append(entry.at)
            self._places.add(entry.value)
        elif entry.tag == MAKE:
            self._make = bytes(self._tiff.data[entry.start : entry.end])
        elif entry.tag in GEOTIFF or not self._clean_inside(entry):
            self._drop(directory, entry)

    def _clean_inside(self, entry: Entry) -> bool:
        """Metadata inside metadata; False where all of it is to go."""
        data, start, end = self._tiff.data, entry.start, entry.end
        if entry.tag == XMP:
            clean_packet(data, start, end)
        elif entry.tag == IPTC:
            iptc.clean_datasets(data, start, end)
        elif entry.tag == PHOTOSHOP:
            return iptc.clean_resources(data, start, end)
        elif entry.tag == MAKER_NOTE:
            return makernotes.clean(data, start, end, self._make)
        return True

    def _drop(self, directory: int, entry: Entry) -> None:
        self._dropped[directory].append(entry.at)
        self._blanks.append((entry.start, entry.end))

    def _clean_thumbnail(self, entries: list[Entry]) -> None:
        values = {entry.tag: entry.value for entry in entries if entry.tag in (THUMBNAIL, THUMBNAIL_BYTES)}
        start, data = values.get(THUMBNAIL, 0), self._tiff.data
        picture = data[start : start + values.get(THUMBNAIL_BYTES, 0)]
        if picture.startswith(b"\xff\xd8"):
            length = len(picture)
            self._clean_picture(picture)
            data[start : start + length] = picture
