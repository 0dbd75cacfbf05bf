# SPDX-License-Identifier: Apache-2.0
"""What a client takes and what it has already, as it says itself (RFC 9110, sections 12.5 and 13.1.2)."""

import re

_NOT_AT_ALL = re.compile(r"q=0(\.0*)?")


def is_taken(header: str | None, name: str) -> bool:
    """Whether an Accept or Accept-Encoding header names this media type or coding, by its own name, as one to be had.

    A wildcard names none: a program that takes anything gets what was made for programs.
    """
    for entry in (header or "").lower().split(","):
        named, *parameters = (word.strip() for word in entry.split(";"))
        if named == name:
            return not any(_NOT_AT_ALL.fullmatch(parameter) for parameter in parameters)
    return False


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this tag; weak tags compare equal."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or etag in tags
