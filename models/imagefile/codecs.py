# SPDX-License-Identifier: Apache-2.0
"""The size that a coded picture's own parameters say, whatever the file around it says."""

from models.imagefile.bits import Bits

Size = tuple[int, int]
NO_SIZE: Size = (0, 0)

SEQUENCE_PARAMETERS = 33
SEQUENCE_HEADER = 1


def hevc(configuration: bytes) -> Size:
    """Of an `hvcC` box (ISO/IEC 14496-15, 8.3.2.1): the largest that a sequence parameter set allows."""
    largest = NO_SIZE
    at = 23
    arrays = configuration[22] if len(configuration) > 22 else 0
    for _ in range(arrays):
        kind, count = configuration[at : at + 1], int.from_bytes(configuration[at + 1 : at + 3])
        at += 3
        for _ in range(count):
            length = int.from_bytes(configuration[at : at + 2])
            unit = configuration[at + 2 : at + 2 + length]
            at += 2 + length
            if not unit:
                return largest
            if kind[0] & 0x3F == SEQUENCE_PARAMETERS:
                largest = max(largest, _sequence_parameters(unit), key=_area)
    return largest


def av1(units: bytes) -> Size:
    """Of OBUs (AV1, 5.3 and 5.5): the maximum that the first sequence header allows; behind `av1C`'s first 4 bytes or
    at the beginning of a picture. Only its first bytes need be there.
    """
    try:
        at = 0
        while True:
            head = units[at]
            at += 2 if head & 4 else 1
            length = len(units) - at
            if head & 2:
                length, at = _leb128(units, at)
            if head >> 3 & 15 == SEQUENCE_HEADER:
                return _sequence_header(Bits(units[at : at + length]))
            at += length
    except (ValueError, IndexError):
        return NO_SIZE


def _area(size: Size) -> int:
    return size[0] * size[1]


def _sequence_parameters(unit: bytes) -> Size:
    """ITU-T H.265, 7.3.2.2: up to the size in luma samples."""
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))  # 7.3.1.1: emulation prevention
    try:
        bits.take(4)
        sub_layers = bits.take(3)
        bits.take(1)
        _profile_tier_level(bits, sub_layers)
        bits.exp_golomb()
        if bits.exp_golomb() == 3:  # chroma_format_idc
            bits.take(1)
        return bits.exp_golomb(), bits.exp_golomb()
    except ValueError:
        return NO_SIZE


def _profile_tier_level(bits: Bits, sub_layers: int) -> None:
    """ITU-T H.265, 7.3.3."""
    bits.take(96)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (8 - sub_layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)


def _leb128(units: bytes, at: int) -> tuple[int, int]:
    """AV1, 4.10.5: the value, and where it ends."""
    value = 0
    for place in range(8):
        byte = units[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            break
    return value, at


def _sequence_header(bits: Bits) -> Size:
    """AV1, 5.5.1: up to max_frame_height_minus_1."""
    bits.take(4)
    if bits.flag():  # reduced_still_picture_header
        bits.take(5)
    else:
        _timing_and_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _timing_and_points(bits: Bits) -> None:
    """AV1, 5.5.1: from timing_info_present_flag to the last operating point."""
    delay_bits = 0
    if bits.flag():
        bits.take(64)
        if bits.flag():
            bits.exp_golomb()
        if bits.flag():
            delay_bits = bits.take(5) + 1
            bits.take(42)
    display_delay = bits.flag()
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.flag():
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.flag():
            bits.take(4)
