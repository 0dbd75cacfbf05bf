# SPDX-License-Identifier: Apache-2.0
"""A ThumbHash is what the published implementation makes of the same pixels."""

from base64 import b64encode
from collections.abc import Callable

import pytest

from previewing.thumbhash import thumb_hash

Painter = Callable[[int, int], list[int]]

# Made by the npm package `thumbhash` 0.1.1.
PUBLISHED: dict[str, tuple[int, int, Painter]] = {
    "GQkOFZhwd4eAeIiHh3eHh/kqD/eI": (24, 16, lambda x, y: [x * 10, y * 15, x * y % 256, 255]),
    "mXiGIgwrYH6Ih4hgfvjZio+IXod4iIg=": (10, 30, lambda x, y: [200 - y * 5, x * 20, 90, 255 - x * y % 250]),
}


def painted(width: int, height: int, paint: Painter) -> bytes:
    return bytes(value for y in range(height) for x in range(width) for value in paint(x, y))


@pytest.mark.parametrize("hashed", PUBLISHED)
def test_the_hash_is_the_published_one(hashed: str) -> None:
    width, height, paint = PUBLISHED[hashed]
    assert b64encode(thumb_hash(width, height, painted(width, height, paint))).decode() == hashed


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 100), (100, 1), (100, 100)])
def test_every_shape_is_hashed_in_a_few_bytes(width: int, height: int) -> None:
    for paint in (lambda x, y: [x, y, 7, 0], lambda x, y: [x, y, 7, 1], lambda x, y: [x, y, 7, 255]):
        assert 5 <= len(thumb_hash(width, height, painted(width, height, paint))) <= 25


@pytest.mark.parametrize(("width", "height", "n_bytes"), [(0, 1, 0), (101, 1, 404), (2, 2, 15)])
def test_other_pictures_are_refused(width: int, height: int, n_bytes: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        thumb_hash(width, height, bytes(n_bytes))
