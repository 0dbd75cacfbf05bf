# SPDX-License-Identifier: Apache-2.0
"""Makers' own notes in Exif: which are of a known layout, and which of their entries tell a place.

A note that is of none of these layouts is overwritten whole: nobody can say what is in it. Source: exiftool's
documentation of the tags of each maker.
"""

import re

from models.metadata.tiff import ENTRY_BYTES, Order, Tiff, order_of

NIKON_PLACES = frozenset({0x0039})
PANASONIC_PLACES = frozenset({0x0067, 0x0069, 0x006B, 0x006D, 0x006F, 0x0080})
SAMSUNG_PLACES = frozenset({0x0030, 0x0031})

# What notes begin with of which no entry tells a place.
HARMLESS = re.compile(
    rb"Apple iOS\x00|FUJIFILM|GENERALE|GE\x00\x00|GENIC\x00|OLYMP\x00|OLYMPUS\x00|OM SYSTEM\x00|EPSON\x00|MINOL\x00"
    rb"|CAMER\x00|SANYO\x00|SONY (?:DSC|CAM|MOBILE)|\x00\x00SONY PIC\x00|VHAB     \x00|SIGMA\x00|FOVEON\x00"
    rb"|PENTAX \x00|AOC\x00|KYOCERA|JVC |MOT\x00|Nikon\x00\x01|R(?:ICOH|icoh)|\[ae_dbg_info:|STMN\d{3}|LGE|QVC\x00"
    rb"|DCI\x00|KDK|\d{3}\x00"
)
# Makers whose notes begin with a directory at once.
PLAIN_MAKERS = re.compile(
    rb"Canon|DJI|Hasselblad|SONY|NIKON|CASIO|Minolta|Konica|Xiaomi|Nintendo|Asahi|SAMSUNG|EASTMAN KODAK|LEICA",
    re.IGNORECASE,
)
# Where a directory begins behind a maker's name, of those whose entries may tell a place.
PANASONIC_DIRECTORY = {b"Panasonic\0": 12, b"LEICA CAMERA AG\0": 18, b"LEICA": 8}
MOST_ENTRIES = 400
NOTHING = b"\xff\xff"


def clean(data: bytearray, start: int, end: int, make: bytes) -> bool:
    """Overwrite the places in the note `data[start:end]`; False for one of a layout that is not known.

    `data` begin with their TIFF header, from which some makers count their offsets.
    """
    note = bytes(data[start : min(end, start + 32)])
    if note.startswith(b"Nikon\0\2"):
        order = order_of(note[10:12])
        if order:
            first = start + 10 + int.from_bytes(note[14:18], order)
            _clean_directory(Tiff(data, order, start + 10), first, NIKON_PLACES)
        return order is not None
    for name, at in PANASONIC_DIRECTORY.items():
        if note.startswith(name):
            order = _likely_order(data, start + at, end)
            if order:
                _clean_directory(Tiff(data, order), start + at, PANASONIC_PLACES)
            return order is not None
    if HARMLESS.match(note):
        return True
    order = _likely_order(data, start, end)
    if order and make[:7].upper() == b"SAMSUNG":
        _clean_directory(Tiff(data, order, start), start, SAMSUNG_PLACES)
    return order is not None and PLAIN_MAKERS.match(make) is not None


def _clean_directory(tiff: Tiff, directory: int, places: frozenset[int]) -> None:
    """Entries keep their room, under a number that says nothing: readers guess offsets by where the directory ends."""
    for entry in list(tiff.entries(directory)):
        if entry.tag in places:
            tiff.data[entry.start : entry.end] = bytes(entry.end - entry.start)
            tiff.data[entry.at : entry.at + 2] = NOTHING


def _likely_order(data: bytearray, at: int, end: int) -> Order | None:
    """The byte order in which there is a directory at this place, as far as one can tell."""
    orders: tuple[Order, ...] = ("little", "big")
    for order in orders:
        count = int.from_bytes(data[at : at + 2], order)
        entries = range(at + 2, at + 2 + ENTRY_BYTES * count, ENTRY_BYTES)
        if (
            0 < count <= MOST_ENTRIES
            and at + 2 + ENTRY_BYTES * count <= end
            and all(1 <= int.from_bytes(data[entry + 2 : entry + 4], order) <= 13 for entry in entries)
        ):
            return order
    return None
