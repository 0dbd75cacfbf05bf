# SPDX-License-Identifier: Apache-2.0
"""ThumbHash: a picture's colours, shape and transparency in about 25 bytes.

The luminance, two differences of colours and the transparency are each described by the first terms of their cosine
transform. Source: https://evanw.github.io/thumbhash/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, floor, pi

Plane = Sequence[float]
"""One value for each pixel, row by row."""

MAX_SIDE = 100


@dataclass(frozen=True, slots=True)
class _Terms:
    """Of a plane's cosine transform: the mean, and the other terms, scaled so that the largest is 1."""

    mean: float
    others: list[float]
    scale: float


def thumb_hash(width: int, height: int, rgba: bytes) -> bytes:
    """The hash of a picture of at most 100 pixels a side, four bytes a pixel. Raises ValueError for any other."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and len(rgba) == 4 * width * height):
        raise ValueError("a picture of 1 to 100 pixels a side, four bytes a pixel")
    red, green, blue, alpha = _over_its_mean(rgba)
    has_alpha = any(value < 1 for value in alpha)
    planes = [
        [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)],
        [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)],
        [r - g for r, g in zip(red, green, strict=True)],
    ]
    longest = max(width, height)
    # Transparency takes of the room that luminance has without it.
    most = 5 if has_alpha else 7
    across, down = max(1, _round(most * width / longest)), max(1, _round(most * height / longest))
    light = _terms(planes[0], width, height, max(3, across), max(3, down))
    yellow = _terms(planes[1], width, height, 3, 3)
    magenta = _terms(planes[2], width, height, 3, 3)
    is_wide = width > height
    head = (
        _round(63 * light.mean)
        | _round(31.5 + 31.5 * yellow.mean) << 6
        | _round(31.5 + 31.5 * magenta.mean) << 12
        | _round(31 * light.scale) << 18
        | has_alpha << 23
    )
    shape = (
        (down if is_wide else across) | _round(63 * yellow.scale) << 3 | _round(63 * magenta.scale) << 9 | is_wide << 15
    )
    hashed = head.to_bytes(3, "little") + shape.to_bytes(2, "little")
    others = [*light.others, *yellow.others, *magenta.others]
    if has_alpha:
        clear = _terms(alpha, width, height, 5, 5)
        hashed += bytes([_round(15 * clear.mean) | _round(15 * clear.scale) << 4])
        others += clear.others
    return hashed + _nibbles(others)


def _over_its_mean(rgba: bytes) -> tuple[Plane, Plane, Plane, Plane]:
    """The planes, 0 to 1, where a colour shows through as much of the picture's mean as it is transparent."""
    alpha = [value / 255 for value in rgba[3::4]]
    visible = sum(alpha)
    colours = []
    for channel in range(3):
        plane = [value / 255 * opacity for value, opacity in zip(rgba[channel::4], alpha, strict=True)]
        mean = sum(plane) / visible if visible else 0.0
        colours.append([value + mean * (1 - opacity) for value, opacity in zip(plane, alpha, strict=True)])
    return colours[0], colours[1], colours[2], alpha


def _terms(plane: Plane, width: int, height: int, across: int, down: int) -> _Terms:
    """The terms under the diagonal of `across` times `down`, rows and columns one after the other."""
    along = [[cos(pi / width * term * (x + 0.5)) for x in range(width)] for term in range(across)]
    rows = [plane[y * width : (y + 1) * width] for y in range(height)]
    summed = [[sum(a * b for a, b in zip(row, wave, strict=True)) for row in rows] for wave in along]
    found = []
    for term_down in range(down):
        wave = [cos(pi / height * term_down * (y + 0.5)) for y in range(height)]
        term_across = 0
        while term_across * down < across * (down - term_down):
            column = summed[term_across]
            found.append(sum(a * b for a, b in zip(column, wave, strict=True)) / (width * height))
            term_across += 1
    mean, *others = found
    scale = max((abs(term) for term in others), default=0.0)
    return _Terms(mean, [0.5 + 0.5 / scale * term for term in others] if scale else others, scale)


def _nibbles(terms: Sequence[float]) -> bytes:
    """Each term from 0 to 1 in four bits, the first in the lower half of its byte."""
    packed = bytearray((len(terms) + 1) // 2)
    for number, term in enumerate(terms):
        packed[number // 2] |= _round(15 * term) << (number % 2 * 4)
    return bytes(packed)


def _round(value: float) -> int:
    """To the nearest, halves up, as all other implementations do."""
    return floor(value + 0.5)
