# SPDX-License-Identifier: Apache-2.0
"""The `mini` box of HEIF: a whole image in one box, its header packed bit by bit."""

from dataclasses import dataclass

from models.imagefile.bits import Bits

MAX_HEADER_BYTES = 256


@dataclass(frozen=True, slots=True)
class MiniImage:
    """What the header says. Offsets and sizes in bytes; `configuration` and `pixels` count from the box's payload on.

    The metadata are the last bytes of the box: Exif, then XMP.
    """

    codec: bytes
    width: int
    height: int
    gain_map: tuple[int, int]
    configuration: tuple[int, int]
    pixels: tuple[int, int]
    exif_bytes: int
    xmp_bytes: int
    compressed: bool
    whole_bytes: int
    """The size that the parts have together; the payload has as many, or is not what its header says."""


@dataclass(slots=True)
class _Sizes:
    metadata: int
    configuration: int
    item: int


def read(payload: bytes, codec: bytes) -> MiniImage | None:
    """The header at the beginning of a `mini` box's payload (ISO/IEC 23008-12, annex O); None if it is cut or unknown.

    `codec` is the item type that the file's minor version stands for; the header may name another.
    """
    try:
        return _read(Bits(payload), codec)
    except ValueError:
        return None


def _read(bits: Bits, codec: bytes) -> MiniImage | None:
    if bits.take(2):
        return None  # another version
    explicit_codec, floats, _, alpha, explicit_cicp, hdr, icc, exif, xmp = (bits.flag() for _ in range(9))
    chroma = bits.take(2)
    bits.take(3)  # the orientation
    side_bits = 15 if bits.flag() else 7
    width, height = bits.take(side_bits) + 1, bits.take(side_bits) + 1
    _pass_chroma_position(bits, chroma)
    _pass_depth(bits, floats=floats)
    bits.take(alpha)
    bits.take(24 * explicit_cicp)
    if explicit_codec:
        codec = bits.take(32).to_bytes(4)
        bits.take(32)
    gain_map, tone_map_icc = _read_dynamic_range(bits, side_bits, (width, height)) if hdr else (None, False)
    large_metadata = bits.flag() if icc or exif or xmp or gain_map else False
    large_configuration, large_item = bits.flag(), bits.flag()
    sizes = _Sizes(20 if large_metadata else 10, 12 if large_configuration else 3, 28 if large_item else 15)
    before = (bits.take(sizes.metadata) + 1 if icc else 0) + (bits.take(sizes.metadata) + 1 if tone_map_icc else 0)
    gain_item = gain_configuration = 0
    if gain_map:
        before += bits.take(sizes.metadata)
        gain_item = bits.take(sizes.item)
        gain_configuration = bits.take(sizes.configuration) if gain_item else 0
    configuration, item = bits.take(sizes.configuration), bits.take(sizes.item) + 1
    alpha_item = bits.take(sizes.item) if alpha else 0
    alpha_configuration = bits.take(sizes.configuration) if alpha_item else 0
    compressed = bits.flag() if exif or xmp else False
    exif_bytes = bits.take(sizes.metadata) + 1 if exif else 0
    xmp_bytes = bits.take(sizes.metadata) + 1 if xmp else 0
    start = bits.bytes_from_here()
    pixels = start + configuration + alpha_configuration + gain_configuration + before + alpha_item + gain_item
    return MiniImage(
        codec,
        width,
        height,
        gain_map or (0, 0),
        (start, configuration),
        (pixels, item),
        exif_bytes,
        xmp_bytes,
        compressed,
        pixels + item + exif_bytes + xmp_bytes,
    )


def _pass_chroma_position(bits: Bits, chroma: int) -> None:
    bits.take({1: 2, 2: 1}.get(chroma, 0))


def _pass_depth(bits: Bits, *, floats: bool) -> None:
    bits.take(2 if floats else 3 * bits.flag())


def _read_dynamic_range(bits: Bits, side_bits: int, same: tuple[int, int]) -> tuple[tuple[int, int] | None, bool]:
    """The size of the gain map, if there is one, and whether its tone map has a colour profile of its own."""
    gain_map, profile = None, False
    if bits.flag():
        gain_map = same if bits.flag() else (bits.take(side_bits) + 1, bits.take(side_bits) + 1)
        bits.take(9)
        _pass_chroma_position(bits, bits.take(2))
        _pass_depth(bits, floats=bits.flag())
        profile = bits.flag()
        bits.take(25 if bits.flag() else 0)
    _pass_light(bits)
    if gain_map:
        _pass_light(bits)
    return gain_map, profile


def _pass_light(bits: Bits) -> None:
    """The six boxes of light that may follow, without their headers."""
    level, mastering, colours, ambient, reference, white = (bits.flag() for _ in range(6))
    bits.take(32 * level + 192 * mastering)
    if colours:
        bits.take(2)
        primaries, least, most, average = (bits.flag() for _ in range(4))
        bits.take(2 + 192 * primaries + 32 * (least + most + average))
    bits.take(64 * ambient + 128 * reference + 32 * white)
