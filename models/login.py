# SPDX-License-Identifier: Apache-2.0
"""What a person logs in by: an email or a login name, folded so that it is the same however it is typed."""

import re
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import category, normalize

MAX_EMAIL = 254  # RFC 5321, section 4.5.3.1.3, without its angle brackets
MIN_LOGIN, MAX_LOGIN = 3, 64
INVISIBLE = "CZ"  # the major classes of control, format, private and unassigned characters, and of separators

_EMAIL = re.compile(r"[^@]{1,64}@[^@.]{1,63}(\.[^@.]{1,63})+")


class NameKind(StrEnum):
    """Which of the two; each is unique for itself."""

    EMAIL = "email"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Name:
    """An email or login, folded."""

    kind: NameKind
    text: str


def fold(text: str) -> str:
    """The text without regard to case. Source: Unicode 16.0, D145, with the result composed (NFC)."""
    return normalize("NFC", normalize("NFD", text).casefold())


def parse_name(kind: NameKind, text: str) -> Name | None:
    """The name that this text says; None when it has not the form of one."""
    folded = fold(text.strip()) if len(text) <= 2 * MAX_EMAIL else ""
    if any(category(letter)[0] in INVISIBLE for letter in folded):
        return None
    fits = _is_email(folded) if kind is NameKind.EMAIL else _is_login(folded)
    return Name(kind, folded) if fits else None


def _is_email(folded: str) -> bool:
    return len(folded) <= MAX_EMAIL and _EMAIL.fullmatch(folded) is not None


def _is_login(folded: str) -> bool:
    return MIN_LOGIN <= len(folded) <= MAX_LOGIN and "@" not in folded
