# SPDX-License-Identifier: Apache-2.0
"""Long lists in parts: which part is wanted, and the part that there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IdRange:
    """Of ids greater than `after` and less than `before`: `limit` of them, behind the first `offset`."""

    after: int
    before: int
    limit: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and the cursor of what follows; None at the end."""

    items: Sequence[T]
    next: int | None


def page_of(found: Sequence[T], limit: int, cursor: Callable[[T], int]) -> Page[T]:
    """The first `limit` of what was found: whoever looks for one more sees whether anything follows."""
    items = found[:limit]
    return Page(items, cursor(items[-1]) if len(found) > limit else None)


def fitting(found: Sequence[T], size: int, size_of: Callable[[T], int]) -> Sequence[T]:
    """The first of what was found, up to what reaches this size; at least one where there is any."""
    for count, item in enumerate(found, 1):
        size -= size_of(item)
        if size <= 0:
            return found[:count]
    return found


def pieces(found: Sequence[T], size: int, size_of: Callable[[T], int]) -> list[Sequence[T]]:
    """All of what was found, in order, cut where each piece reaches this size."""
    cut = []
    while found:
        cut.append(fitting(found, size, size_of))
        found = found[len(cut[-1]) :]
    return cut
