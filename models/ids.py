# SPDX-License-Identifier: Apache-2.0
"""Ids as they stand in requests: positive integers that every database can hold."""

MAX_ID = 2**63 - 1


def read_id(value: object) -> int | None:
    """The id that a body's field says, a JSON number or its digits; None for anything else."""
    if isinstance(value, str):
        return parse_id(value)
    return value if type(value) is int and 0 < value <= MAX_ID else None


def parse_id(text: str) -> int | None:
    """The id that these ASCII digits say; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    number = int(text)
    return number if 0 < number <= MAX_ID else None
