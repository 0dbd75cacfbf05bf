# SPDX-License-Identifier: Apache-2.0
"""Which part of a list is wanted, as it stands in the query."""

from collections.abc import Mapping

from models.errors import InvalidField
from models.ids import MAX_ID
from models.paging import IdRange

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
"""A page is one read and one reply in memory."""


def cursor(query: Mapping[str, str]) -> IdRange:
    """The part of a list that is wanted. Raises InvalidField."""
    return IdRange(
        after=number(query, "after", default=0, least=0, most=MAX_ID),
        before=number(query, "before", default=MAX_ID, least=0, most=MAX_ID),
        limit=limit(query),
    )


def limit(query: Mapping[str, str]) -> int:
    """The most items that are wanted. Raises InvalidField."""
    return number(query, "limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)


def number(query: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises InvalidField."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise InvalidField(fields=[(name, f"a number from {least} to {most}")])
    return int(text)
