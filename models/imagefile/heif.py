# SPDX-License-Identifier: Apache-2.0
"""HEIF (HEIC and AVIF): brands tell the codec, and the boxes inside `meta` the sizes."""

from models.imagefile.steps import Facts, Steps

MAX_BRANDS_BYTES = 256
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
HEIF_BRANDS = frozenset({b"mif1", b"msf1"})
# What lies between the header of a box that holds boxes and the first of them.
CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}


def read(facts: Facts, head: bytes) -> Steps:
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
