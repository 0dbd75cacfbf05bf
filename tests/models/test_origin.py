# SPDX-License-Identifier: Apache-2.0
"""The normal form of a web origin, and which origins the operator may list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.origin import is_page_origin, normal_origin


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://c.example:443", "https://c.example"),
        ("HTTP://C.Example:80/", "http://c.example"),
        ("https://c.example:8443", "https://c.example:8443"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("null", None),
        ("*", None),
        ("", None),
        ("http://[", None),
        ("http://a:99999", None),
        ("https://c.example/path", None),
        ("https://u@c.example", None),
        ("https://c.example?x", None),
        ("https://ü.example", None),
        ("https://a b", None),
    ],
)
def test_normal_form(text: str, normal: str | None) -> None:
    assert normal_origin(text) == normal


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://app.example", True),
        ("http://localhost:5173", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:3000", True),
        ("capacitor://localhost", True),
        ("ionic://localhost", True),
        ("http://app.example", False),
        ("capacitor://elsewhere", False),
        ("ftp://localhost", False),
    ],
)
def test_which_origins_may_be_listed(origin: str, may: bool) -> None:
    assert is_page_origin(origin) is may


@given(st.one_of(st.text(), st.from_regex(r"https?://[\[\]:@/?#a-z0-9.]*")))
def test_whatever_a_stranger_sends_is_an_origin_in_its_normal_form_or_none(text: str) -> None:
    normal = normal_origin(text)
    assert normal is None or normal_origin(normal) == normal
