# SPDX-License-Identifier: Apache-2.0
"""Something that happened to a person, as their log keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A row of `events` of one person, rendered; `data` is JSON text, `at` in milliseconds."""

    event_id: int
    type: str
    at: int
    data: str
