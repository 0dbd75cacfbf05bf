# SPDX-License-Identifier: Apache-2.0
"""A page has what was wanted, and a cursor only where more follows."""

from models.paging import Page, page_of


def cursor(item: str) -> int:
    return ord(item)


def test_one_more_than_was_wanted_says_that_more_follows() -> None:
    assert page_of(["a", "b", "c"], 2, cursor) == Page(["a", "b"], ord("b"))


def test_the_last_page_has_no_cursor() -> None:
    assert page_of(["a", "b"], 2, cursor) == Page(["a", "b"], None)
    assert page_of([], 2, cursor) == Page([], None)
