# SPDX-License-Identifier: Apache-2.0
"""IPTC and Photoshop's image resources: datasets that tell a place are left out, and the rest moves up.

Sources: IPTC-IIM 4.2, 1.6 and 6; Adobe Photoshop File Formats, image resource blocks.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.metadata.xmp import clean_packet

PLACES = frozenset({26, 27, 90, 92, 95, 100, 101})
"""Datasets of record 2: content location, city, sub-location, province, country."""

RESOURCES = (b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa")
IPTC, DIGEST, XMP, EXIF_1, EXIF_3 = 0x0404, 0x0425, 0x0424, 0x0422, 0x0423
MAX_RESOURCES = 4096


@dataclass(frozen=True, slots=True)
class Resource:
    """One image resource: what it is, and where its data are."""

    number: int
    start: int
    end: int


def clean_datasets(data: bytearray, start: int, end: int) -> bool:
    """Leave out the places in IPTC's datasets; zeros at the end take their room. Whether there were any.

    Behind a dataset that is longer than the form allows nothing can be told apart: all of that goes.
    """
    kept = bytearray()
    at = start
    while at + 5 <= end and data[at] == 0x1C:
        (length,) = struct.unpack_from(">H", data, at + 3)
        following = at + 5 + length
        if length > 0x7FFF or following > end:
            break
        if not (data[at + 1] == 2 and data[at + 2] in PLACES):
            kept += data[at:following]
        at = following
    if not any(data[at:end]) and len(kept) == at - start:
        return False
    data[start:end] = kept.ljust(end - start, b"\0")
    return True


def clean_resources(data: bytearray, start: int = 0, end: int | None = None) -> bool:
    """Leave out the places in all image resources of a block. Whether all of the block could be read."""
    end = len(data) if end is None else end
    reached = start
    was, digests = b"", []
    for resource in _resources(data, start, end):
        reached = resource.end + (resource.end - resource.start) % 2
        if resource.number == IPTC:
            was = bytes(data[resource.start : resource.end])
            clean_datasets(data, resource.start, resource.end)
            now = bytes(data[resource.start : resource.end])
        elif resource.number == DIGEST:
            digests.append(resource)
        elif resource.number == XMP:
            clean_packet(data, resource.start, resource.end)
        elif resource.number in (EXIF_1, EXIF_3):
            data[resource.start : resource.end] = bytes(resource.end - resource.start)
    for digest in digests:  # of what the datasets were: editors distrust them when it is another's
        if was and data[digest.start : digest.end] == _md5(was):
            data[digest.start : digest.end] = _md5(now)
    return reached >= end or not any(data[reached:end])


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _resources(data: bytearray, start: int, end: int) -> Iterator[Resource]:
    at = start
    for _ in range(MAX_RESOURCES):
        if at + 12 > end or data[at : at + 4] not in RESOURCES:
            return
        number = int.from_bytes(data[at + 4 : at + 6])
        at += 6 + (data[at + 6] | 1) + 1  # a Pascal string, padded to an even length
        length = int.from_bytes(data[at : at + 4])
        at += 4
        if at + length > end:
            return
        yield Resource(number, at, at + length)
        at += length + length % 2
