# SPDX-License-Identifier: Apache-2.0
"""Metadata written by hand, with a place in each, and files of every format around it."""

import struct
from zlib import crc32

from models.metadata import MOST_HELD, MetadataRemover, Removal
from tests.models.imagefile.forms import box, ftyp, infe, segment, webp_chunk

PLACE = b"52.5200N-PLACE"
"""What must not be found again: the text of every place in these files."""
KEPT = b"a kept text"

Entry = tuple[int, int, bytes]
"""A tag, a type and the value's bytes."""

SHORT, LONG, ASCII, UNDEFINED = 3, 4, 2, 7


def tiff(
    first: list[Entry] | None = None,
    *,
    exif: list[Entry] | None = None,
    gps: list[Entry] | None = None,
    thumbnail: bytes = b"",
    order: str = "<",
) -> bytes:
    """A TIFF structure: the first directory, an Exif and a GPS directory, and a thumbnail in a second one."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, 8)
    first = list(first or [])
    inner = [(tag, entries) for tag, entries in ((0x8769, exif), (0x8825, gps)) if entries is not None]
    second = [(0x0201, LONG, b"here"), (0x0202, LONG, struct.pack(f"{order}L", len(thumbnail)))] if thumbnail else []
    at = 8
    directories = [first + [(tag, LONG, b"here") for tag, _ in inner], *(entries for _, entries in inner), second]
    places = []
    for entries in directories:
        places.append(at)
        at += 2 + 12 * len(entries) + 4 + sum(len(value) + len(value) % 2 for _, _, value in entries if len(value) > 4)
    out = head
    for number, entries in enumerate(directories):
        values_at = places[number] + 2 + 12 * len(entries) + 4
        written, values = struct.pack(f"{order}H", len(entries)), b""
        for tag, kind, value in entries:
            said = value
            if value == b"here" and number == 0:
                pointed = 1 + [inner_tag for inner_tag, _ in inner].index(tag)
                said = struct.pack(f"{order}L", places[pointed])
            elif value == b"here":
                said = struct.pack(f"{order}L", at)
            if len(said) > 4:
                offset = struct.pack(f"{order}L", values_at + len(values))
                values += said + bytes(len(said) % 2)
            else:
                offset = said.ljust(4, b"\0")
            written += struct.pack(f"{order}HHL", tag, kind, len(said) // sizes[kind]) + offset
        following = places[-1] if number == 0 and second else 0
        out += written + struct.pack(f"{order}L", following) + values
    return out + thumbnail


GPS = [(0x0000, 1, b"\2\3\0\0"), (0x0001, ASCII, b"N\0"), (0x001B, UNDEFINED, b"ASCII\0\0\0" + PLACE)]


def exif(
    *, order: str = "<", note: bytes = b"", make: bytes = b"Maker", thumbnail: bytes = b"", more: int = 0
) -> bytes:
    """A camera's Exif: maker, orientation 6, a text that stays, a place, and a maker's note."""
    sub = [(0x9286, UNDEFINED, b"ASCII\0\0\0" + KEPT), (0xA001, SHORT, struct.pack(f"{order}H", 1))]
    sub += [(0x927C, UNDEFINED, note)] if note else []
    sub += [(0xEA1C, UNDEFINED, bytes(more))] if more else []
    first = [(0x010F, ASCII, make + b"\0"), (0x0112, SHORT, struct.pack(f"{order}H", 6))]
    return tiff(first, exif=sub, gps=GPS, thumbnail=thumbnail, order=order)


def note_directory(entries: list[Entry], *, base: int, order: str = "<") -> bytes:
    """A maker's directory, whose values are at offsets that count its beginning as `base`."""
    written, values = struct.pack(f"{order}H", len(entries)), b""
    for tag, kind, value in entries:
        offset = value.ljust(4, b"\0")
        if len(value) > 4:
            offset = struct.pack(f"{order}L", base + 2 + 12 * len(entries) + 4 + len(values))
            values += value
        written += struct.pack(f"{order}HHL", tag, kind, len(value) // {3: 2, 4: 4, 9: 4}.get(kind, 1)) + offset
    return written + bytes(4) + values


def xmp(inside: str = "", *, attributes: str = "") -> bytes:
    """A packet with a text that stays, a place as an element and one as an attribute, and what else is asked for."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"<rdf:Description rdf:about='' xmlns:dc=\"http://purl.org/dc/elements/1.1/\" "
        f'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:p="http://ns.adobe.com/photoshop/1.0/" '
        f'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" p:City="{PLACE.decode()}" {attributes}>'
        f"<dc:source>{KEPT.decode()}</dc:source><exif:GPSLatitude>{PLACE.decode()}</exif:GPSLatitude>"
        "<e:LocationShown><rdf:Bag><rdf:li rdf:parseType='Resource'>"
        f"<e:City>{PLACE.decode()}</e:City></rdf:li></rdf:Bag></e:LocationShown>{inside}"
        "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    ).encode()


def iptc() -> bytes:
    """Datasets: a text that stays, a city and a country."""
    return b"".join(
        b"\x1c\2" + bytes([number]) + struct.pack(">H", len(text)) + text
        for number, text in ((120, KEPT), (90, PLACE), (101, PLACE), (105, KEPT))
    )


def resource(number: int, data: bytes) -> bytes:
    """One of Photoshop's image resources."""
    return b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + bytes(len(data) % 2)


def _note(start: bytes, entries: list[Entry], *, base: int, order: str = "<") -> bytes:
    return start + note_directory(entries, base=base, order=order)


NIKON_NOTE = _note(b"Nikon\0\2\x11\0\0II*\0\x08\0\0\0", [(1, 7, b"0211"), (0x39, 7, PLACE), (0x84, 7, KEPT)], base=8)
SAMSUNG_NOTE = _note(b"", [(1, 7, b"0100"), (2, 7, KEPT), (0x30, 2, PLACE), (0x31, 2, PLACE)], base=0)
APPLE_NOTE = _note(b"Apple iOS\0\0\1MM", [(1, 9, b"\0\0\0\x0e"), (0x0B, 2, KEPT)], base=14, order=">")
CANON_NOTE = _note(b"", [(0x10, 4, b"\1\2\3\4"), (0x12, 7, b"none")], base=0)
SONY_NOTE = _note(b"SONY DSC \0\0\0", [(0xB001, 3, b"\1\0"), (0xB020, 7, b"None")], base=0)
OLYMPUS_NOTE = _note(b"OLYMPUS\0II\3\0", [(0x0207, 2, KEPT), (0x0202, 3, b"\1\0")], base=12)

EXIF_SEGMENT = segment(0xE1, b"Exif\0\0" + exif())
XMP_SEGMENT = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())
IPTC_SEGMENT = segment(0xED, b"Photoshop 3.0\0" + resource(0x0404, iptc()))
SCAN = (
    b"\xff\xc0\0\x11\x08\0\x08\0\x08\3\1\x11\0\2\x11\0\3\x11\0\xff\xda\0\x0c\3\1\0\2\0\3\0\0?\0"
    + b"\x12\xff\0\x34" * 20
)


def jpeg(*segments: bytes, behind: bytes = b"") -> bytes:
    return b"\xff\xd8" + b"".join(segments) + SCAN + b"\xff\xd9" + behind


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))


def png(*chunks: bytes, late: bytes = b"", behind: bytes = b"") -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", b"pixels")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + late + png_chunk(b"IEND", b"") + behind


def webp(*chunks: bytes, behind: bytes = b"") -> bytes:
    canvas = webp_chunk(b"VP8X", b"\x2c\0\0\0" + b"\7\0\0\7\0\0")
    body = b"WEBP" + canvas + webp_chunk(b"VP8 ", b"pixels!") + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body + behind


MAGIC = bytes([1, *range(255, -1, -1), 0])


def gif(*extensions: bytes, behind: bytes = b"") -> bytes:
    frame = b",\0\0\0\0\x08\0\x08\0\0\2\4\x8c\x2d\x99\x87\0"
    return b"GIF89a\x08\0\x08\0\x80\0\0\0\0\0\xff\xff\xff" + b"".join(extensions) + frame + b";" + behind


def blocks(data: bytes) -> bytes:
    """GIF's data sub-blocks."""
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


GIF_XMP = b"!\xff\x0bXMP DataXMP" + xmp() + MAGIC


def exif_item() -> bytes:
    return struct.pack(">I", 6) + b"Exif\0\0" + exif()


def item_locations(version: int, method: int, item: int, extents: list[tuple[int, int]], *, base: int = 0) -> bytes:
    """An `iloc` box of that version with one item; offsets and lengths of four bytes, a base where it is asked for."""
    head = bytes([version, 0, 0, 0]) + bytes([0x44, (4 if base else 0) << 4])
    wide = version == 2
    head += struct.pack(">I" if wide else ">H", 1) + struct.pack(">I" if wide else ">H", item)
    head += struct.pack(">H", method) if version else b""
    head += struct.pack(">H", 0) + (struct.pack(">I", base) if base else b"") + struct.pack(">H", len(extents))
    return box(b"iloc", head + b"".join(struct.pack(">II", offset - base, length) for offset, length in extents))


def heif(
    data: bytes,
    kind: bytes = b"Exif",
    *,
    version: int = 1,
    method: int = 0,
    before: bool = False,
    pieces: int = 1,
    base: int = 0,
    more: bytes = b"\0",
) -> bytes:
    """A HEIF file with one item of metadata: behind the header, before it, in `idat`, or in other pieces."""
    infos = box(b"iinf", bytes(4) + b"\0\1" + infe(1, kind, more))
    pixels = b"pixels" * 10
    length = -(-len(data) // pieces)
    parts = [data[at : at + length] for at in range(0, len(data), length)]
    payload = pixels + b"--pixels--".join(parts) + pixels

    def extents(start: int) -> list[tuple[int, int]]:
        offsets, at = [], start
        for part in parts:
            offsets.append((at, len(part)))
            at += len(part) + len(b"--pixels--")
        return offsets

    def described(start: int) -> bytes:
        locations = item_locations(version, method, 1, extents(start), base=base)
        idat = box(b"idat", payload) if method == 1 else b""
        return box(b"meta", bytes(4) + box(b"hdlr", bytes(25)) + infos + locations + idat)

    brand = ftyp(b"heic", b"mif1")
    if method == 1:
        return brand + described(len(pixels)) + box(b"mdat", pixels)
    mdat = box(b"mdat", payload)
    if before:
        return brand + mdat + described(len(brand) + 8 + len(pixels))
    header = len(brand + described(1000))
    return brand + described(header + 8 + len(pixels)) + mdat


def moved(data: bytes) -> bytes:
    """A short video: its place as an atom of user data and by a key, and something that stays."""
    keys = [b"com.apple.quicktime.location.ISO6709", b"com.apple.quicktime.make"]
    listed = b"".join(struct.pack(">I4s", len(key) + 8, b"mdta") + key for key in keys)
    values = [box(struct.pack(">I", number), box(b"data", bytes(8) + text)) for number, text in ((1, PLACE), (2, KEPT))]
    meta = box(
        b"meta",
        box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
        + box(b"keys", bytes(4) + struct.pack(">I", len(keys)) + listed)
        + box(b"ilst", b"".join(values)),
    )
    user = box(b"udta", box(b"\xa9xyz", struct.pack(">HH", len(PLACE), 0) + PLACE) + box(b"\xa9mod", KEPT))
    return box(b"ftyp", b"mp42" + bytes(4)) + box(b"mdat", data) + box(b"moov", box(b"trak", user) + meta + user)


def samsung(video: bytes) -> bytes:
    """What Samsung's phones put behind a picture: named blocks, one of them the video, and a directory of them."""
    named = [
        (0x0A01, b"Image_UTC_Data", b"1700000000000"),
        (0x0AA1, b"MCC_Data", b"262"),
        (0x0A30, b"MotionPhoto_Data", video),
    ]
    written, directory = b"", b""
    for kind, name, data in named:
        block = struct.pack("<HHI", 0, kind, len(name)) + name + data
        written += block
        directory += struct.pack("<HHII", 0, kind, 0, len(block))
    head = b"SEFH" + struct.pack("<II", 106, len(named)) + directory
    return written + head + struct.pack("<I", len(head)) + b"SEFT"


def removed(data: bytes, removal: Removal = Removal.LOCATION, *, piece: int = 1 << 20) -> bytes:
    """The file as it is stored: cleaned in its stream, and mended where that was too late."""
    remover = MetadataRemover(removal)
    left = bytearray().join(part for at in range(0, len(data), piece) for part in remover.feed(data[at : at + piece]))
    for part in remover.end():
        left += part
    for mend in remover.mends:
        before = b"".join(bytes(left[at : at + length]) for at, length in mend.spans)
        after = remover.mend(mend, before[:MOST_HELD]).ljust(len(before), b"\0")
        for at, length in mend.spans:
            part, after = after[:length], after[length:]
            left[at : at + len(part)] = part
    return bytes(left)
