# SPDX-License-Identifier: Apache-2.0
"""One byte range of an image (RFC 9110, section 14). Several ranges at once are answered with the whole image."""

import re

from models.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,100})\s*-\s*(\d{1,100})?|-\s*(\d{1,100}))\s*", re.ASCII)


def requested_range(header: str | None, if_range: str | None, etag: str, size: int) -> tuple[int, int] | None:
    """The bytes asked for as (first, one past the last); None for the whole.

    Raises RangeNotSatisfiable for a range of bytes that cannot be read or lies behind the end.
    """
    if header is None or "," in header or not header.strip().lower().startswith("bytes"):
        return None
    if if_range is not None and if_range.strip() != etag:
        return None
    match = _ONE_RANGE.fullmatch(header.lower())
    if match is None:
        raise RangeNotSatisfiable
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), size if last is None else min(int(last) + 1, size)
    if start >= end:
        raise RangeNotSatisfiable
    return start, end
