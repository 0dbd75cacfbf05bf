# SPDX-License-Identifier: Apache-2.0
"""JPEG: the size stands in the frame header before the first scan."""

import re
import struct

from models.imagefile.steps import Facts, Steps

# Of JPEG-LS too, which some decoders take for a JPEG of another coding (ITU-T T.87).
FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xDE, 0xF7}
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
NO_FRAME_FOLLOWS = frozenset({0xD8, 0xD9, 0xDA})
MARKER = re.compile(b"\xff")


ENTRIES = 0xB002
ENTRY_BYTES = 16
MULTI_PICTURE = b"MPF\0"
APP2 = 0xE2
MAX_PICTURES = 256


def read(facts: Facts) -> Steps:
    """The picture that every decoder shows, and those that a Multi-Picture index (CIPA DC-007) puts behind it."""
    others: list[int] = []
    yield from _picture(facts, others)
    for offset in sorted({each for each in others if each}):
        passed = facts.at + 1
        if offset < passed or len(others) > MAX_PICTURES:  # in another one's headers, or more than any camera takes
            facts.width = facts.height = None
            return
        yield offset - passed + 2, 0
        yield from _picture(facts, [])


def _picture(facts: Facts, others: list[int]) -> Steps:
    """ITU-T T.81, B.1 and B.2.2: marker segments up to the first scan; of several frame headers the largest.

    As libjpeg does it, whatever stands between two segments is passed over, and an `FF 00` too; a length that does
    not count itself is invalid. `others` gets where in the file more pictures begin.
    """
    while True:
        yield MARKER, 1
        marker = 0xFF
        while marker == 0xFF:
            (marker,) = yield 0, 1
        if marker in NO_FRAME_FOLLOWS:
            return
        if marker:
            facts.filetype = "jpeg"
        if not marker or marker in WITHOUT_LENGTH:
            continue
        skip = max(0, int.from_bytes((yield 0, 2)) - 2)
        if marker in FRAMES and skip >= 5:
            frame = yield 0, 5
            facts.keep_larger(int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3]))
            skip -= 5
        elif marker == APP2 and skip > len(MULTI_PICTURE):
            index = yield 0, skip
            if index.startswith(MULTI_PICTURE):
                others += _pictures(index[4:], facts.at + 4)
            skip = 0
        yield skip, 0


def _pictures(index: bytes, start: int) -> list[int]:
    """CIPA DC-007, 5.2.3: where each picture of an index begins that starts at `start`; 0 stands for the first one."""
    order = "<" if index.startswith(b"II") else ">"
    try:
        (at,) = struct.unpack_from(order + "I", index, 4)
        (count,) = struct.unpack_from(order + "H", index, at)
        fields = [struct.unpack_from(order + "HHII", index, at + 2 + 12 * each) for each in range(count)]
        entries = next((field[2:] for field in fields if field[0] == ENTRIES), (0, 0))
        offsets = [
            struct.unpack_from(order + "I", index, at + 8)[0]
            for at in range(entries[1], entries[1] + entries[0], ENTRY_BYTES)
        ]
    except struct.error:
        return []
    return [start + offset if offset else 0 for offset in offsets]
