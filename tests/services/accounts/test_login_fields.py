# SPDX-License-Identifier: Apache-2.0
"""Passwords as they are typed: the same on every keyboard, and never a long computation."""

import sys
import unicodedata
from types import FrameType

import pytest

from models.errors import InvalidField
from services.accounts.login_fields import MAX_TYPED, read_password

LONG = "\u0390" * 512  # 1,024 bytes, and 1,536 letters when it is taken apart
SPELLINGS = [
    "\u00fcber-lang",
    "\u1ebf" * 3,
    "\ud55c\uae00\uc554\ud638",
    "\uc554" * 341,
    LONG,
    "\u212b" * 4,
    "\ufb01" * 3,
]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_a_password_is_the_same_and_as_long(text: str, form: str) -> None:
    typed = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    assert read_password("password", typed, 8) == unicodedata.normalize("NFC", text).encode()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("text", ["\u00fc" * 3, "\u1ebf" * 2, "", LONG + "x", "\uc554" * 342])
def test_too_short_and_too_long_are_so_in_every_spelling(text: str, form: str) -> None:
    with pytest.raises(InvalidField):
        read_password("password", unicodedata.normalize(form, text), 8)  # type: ignore[arg-type]


def test_a_whole_body_of_marks_is_refused_before_it_is_composed() -> None:
    """Composing one takes the square of its length: 20 s for 256 KiB, on the loop that all requests share."""
    composed = 0

    def count(_frame: FrameType, event: str, called: object) -> None:
        nonlocal composed
        composed += event == "c_call" and called is unicodedata.normalize

    def refused(text: str) -> bool:
        sys.setprofile(count)
        try:
            read_password("password", text)
        except InvalidField:
            return True
        finally:
            sys.setprofile(None)
        return False

    assert not refused("x")
    assert composed == 1
    for text in ("\u0323\u0301" * MAX_TYPED, "x" * (MAX_TYPED + 1), "x" * 256 * 1024):
        assert refused(text)
    assert composed == 1
