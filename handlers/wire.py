# SPDX-License-Identifier: Apache-2.0
"""What the protocols of uploads that go on have in common: what a request says, whichever of them it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass

from tornado.httputil import HTTPHeaders

from models.errors import MalformedRequest

MOST_DIGITS = 15
"""Of a structured field's integer (RFC 9651, 3.3.1)."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A creation: the fields of the image, how long it will be where the sender knows, and whether this request's body
    ends it; None: where it reaches that length.
    """

    fields: Mapping[str, str]
    length: int | None
    completes: bool | None


@dataclass(frozen=True, slots=True)
class Continued:
    """An append: where it begins; the others as in `Announced`."""

    offset: int
    length: int | None
    completes: bool | None


def natural(headers: HTTPHeaders, name: str) -> int | None:
    """A header that is a number, None where it is not there. Raises MalformedRequest."""
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > MOST_DIGITS:
        raise MalformedRequest(f"{name} must be a number of at most {MOST_DIGITS} digits.")
    return int(text)
