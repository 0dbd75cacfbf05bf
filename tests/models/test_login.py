# SPDX-License-Identifier: Apache-2.0
"""Emails and logins: what is one, and when two are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.login import Name, NameKind, fold, parse_name


@pytest.mark.parametrize(
    ("kind", "typed", "folded"),
    [
        (NameKind.EMAIL, "ann@example.org", "ann@example.org"),
        (NameKind.EMAIL, "  Ann@Example.ORG ", "ann@example.org"),
        (NameKind.EMAIL, "Straße@example.org", "strasse@example.org"),
        (NameKind.EMAIL, "u\u0308@example.org", "\u00fc@example.org"),
        (NameKind.EMAIL, "a@b.c.d", "a@b.c.d"),
        (NameKind.EMAIL, f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 61}", None),
        (NameKind.EMAIL, f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 60}", None),
        (NameKind.LOGIN, "Ann", "ann"),
        (NameKind.LOGIN, "李小龙", "李小龙"),
        (NameKind.LOGIN, "a" * 64, "a" * 64),
        (NameKind.LOGIN, "ẞẞ", "ssss"),
    ],
)
def test_what_is_a_name_and_what_it_is_kept_as(kind: NameKind, typed: str, folded: str | None) -> None:
    expected = typed if folded is None else folded
    fits = folded is not None or len(typed) <= 254
    assert parse_name(kind, typed) == (Name(kind, expected) if fits else None)


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        *(
            (NameKind.EMAIL, text)
            for text in (
                "",
                "ann",
                "@example.org",
                "ann@",
                "ann@example",
                "ann@.org",
                "ann@example.",
                "ann@exa..org",
                "a@b@c.org",
                "an n@example.org",
                "ann@exam\u00a0ple.org",
                "a\0@example.org",
                "a\u202e@example.org",
                f"{'a' * 65}@example.org",
                "a" * 10_000_000,
            )
        ),
        *(
            (NameKind.LOGIN, text)
            for text in ("", "ab", " a ", "a" * 65, "ẞ" * 33, "a@b", "a b", "abc\n\x00", "\ud800ab")
        ),
    ],
)
def test_what_is_no_name(kind: NameKind, typed: str) -> None:
    assert parse_name(kind, typed) is None


@given(st.text(max_size=40))
def test_what_is_folded_stays_as_it_is_and_case_does_not_count(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.casefold()) == fold(text)
    for kind in NameKind:
        name = parse_name(kind, text)
        assert name is None or parse_name(kind, name.text) == name
