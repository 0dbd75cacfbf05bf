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
