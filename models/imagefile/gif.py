# SPDX-License-Identifier: Apache-2.0
"""GIF: the size stands right after the signature."""

from models.imagefile.steps import Facts

SIGNATURES = (b"GIF87a", b"GIF89a")


def read(facts: Facts, head: bytes) -> None:
    """GIF89a, 18: the logical screen descriptor."""
    facts.keep_larger(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))
