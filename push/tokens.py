# SPDX-License-Identifier: Apache-2.0
"""A device's token, and the forms that several providers' tokens have: one that is unusable is refused at registration.

What one provider's tokens alone look like stands in its module.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Token:
    """A token in the form in which it is stored: the same text for the same device.

    `endpoint` is where pushes go, as it was given, if the token says so itself.
    """

    text: str = field(repr=False)
    endpoint: str | None = field(default=None, repr=False)


TokenReader = Callable[[Any], Token]
"""Parses a JSON value as a token. Raises ValueError, whose text shows nothing of the token."""


def visible(longest: int) -> TokenReader:
    """A reader of up to `longest` visible ASCII characters."""
    form = re.compile(f"[!-~]{{1,{longest}}}")

    def read(value: Any) -> Token:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(f"must be 1 to {longest} visible ASCII characters")
        return Token(value)

    return read


def read_url(value: Any) -> Token:
    """A URL that pushes are posted to. Raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a URL")
    return Token(as_sent(value), endpoint=value)


def as_sent(url: str) -> str:
    """Normalise a URL to the form in which it is requested, so that another spelling is not another device."""
    try:
        return str(httpx.URL(url).copy_with(fragment=None))
    except (httpx.InvalidURL, ValueError):  # refused later, by `Endpoints.check_form`
        return url
