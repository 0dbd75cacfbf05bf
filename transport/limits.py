# SPDX-License-Identifier: Apache-2.0
"""What one connection may take, and all together. Sizes are in bytes, times in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`idle_seconds` for a head and for the time between requests, `body_seconds` for a body unless its handler says
    otherwise, `discard_…` for the rest of a body after a reply that came early, `stall_seconds` and
    `min_bytes_per_second` for a client to take the end of a reply.

    `max_connections` of all processes that count together, `max_own` of this one. `max_unsent_bytes` is what clients of
    this process may leave untaken of their replies, all together.
    """

    max_head_bytes: int = 16 * 1024
    idle_seconds: float = 75
    body_seconds: float = 30
    stall_seconds: float = 30
    min_bytes_per_second: int = 8 * 1024
    discard_seconds: float = 30
    max_discard_bytes: int = 1024 * 1024
    max_discarding: int = 64
    max_connections: int = 1024
    max_own: int = 1024
    max_unsent_bytes: int = 64 * 1024 * 1024

    def seconds_to_take(self, size: int) -> float:
        """How long the end of a reply may be on its way, when the kernel has not taken so many bytes of it."""
        return self.stall_seconds + size / self.min_bytes_per_second
