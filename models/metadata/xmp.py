# SPDX-License-Identifier: Apache-2.0
"""XMP: properties that tell a place become blanks, in a packet that comes in pieces and may have any length.

Properties are known by their names without the namespace's prefix, which each file chooses; what an unknown schema
calls `City` is a city. Sources: XMP (ISO 16684-1), IPTC Photo Metadata, and what cameras and drones write.
"""

import re
from collections.abc import Callable

PLACES = frozenset(
    {
        *("city", "state", "country", "countrycode", "countryname", "provincestate", "sublocation", "worldregion"),
        *("location", "locationcreated", "locationshown", "locationid", "locationname", "shotlocation", "coverage"),
        *("latitude", "longitude", "longtitude", "altitude", "absolutealtitude", "relativealtitude", "geotag"),
        *("rtkstdlat", "rtkstdlon", "rtkstdhgt", "geolocation", "placename", "coordinates", "poselatitude"),
        *("poselongitude", "posealtitude", "landmark", "address", "postalcode"),
    }
)
ENCODED = frozenset({"gimage:data"})
"""A whole picture, with metadata of its own, in Base64: it cannot be read in place."""

SLASH, GREATER = 0x2F, 0x3E
MAX_NAME = 256
END_OF_NAME = re.compile(rb"[\s/>=]")
END_OF_TAG_NAME = re.compile(rb"[\s/>]")
NO_SPACE = re.compile(rb"\S")

# What stands before and behind a name wherever it can stand; and what says a place by more than one name.
NAMES = re.compile(rb"[:<\s/\"']([A-Za-z]+)(?=[\s=/>])")
HINTS = re.compile(rb"[:<\s/\"']gps|cell:|gimage:data", re.IGNORECASE)

State = Callable[[bytearray, int, int], int]


def is_place(name: bytes) -> bool:
    """Whether the property of this name, with its prefix, tells a place."""
    whole = name.decode("latin-1").lower()
    local = whole.rpartition(":")[2]
    return local in PLACES or local.startswith("gps") or whole.startswith("cell:") or whole in ENCODED


def clean_packet(data: bytearray, start: int, end: int) -> bool:
    """Overwrite the places in the packet `data[start:end]`, which is whole. False where all of it went.

    Most packets name no place: that is seen at a glance.
    """
    if b"\0" not in data[start : start + 8] and not HINTS.search(data, start, end):
        names = {name.lower().decode() for name in set(NAMES.findall(data, start, end))}
        if names.isdisjoint(PLACES) and not data.startswith((b"\xfe\xff", b"\xff\xfe"), start):
            return True
    cleaner = XmpCleaner()
    cleaner.feed(data, start, end)
    return not cleaner.everything


class XmpCleaner:
    """Overwrites places in one packet. Feed its pieces in order.

    A property goes with its tags or its name. Where a piece ends inside it, they have left or are to come, and it is
    no more than its value: so the packet stays well-formed, and says the same when its first pieces are read again.
    With `everything` all of the packet goes, and so does one that is not UTF-8.
    """

    def __init__(self, *, everything: bool = False) -> None:
        self.everything = everything
        """Whether all of it goes: known from the first piece on."""
        self._begun = False
        self._state: State = self._text
        self._token = bytearray()
        self._token_at = -1  # where it begins in this piece; -1 in an earlier one
        self._depth = 0
        self._is_end = False
        self._closes_itself = False
        self._quote = 0
        self._until = b""
        self._element = 0  # while a place's element is open, its depth
        self._element_at = -1
        self._is_value = False  # of a place, in an attribute
        self._attribute_at = -1

    def feed(self, data: bytearray, start: int, end: int) -> None:
        """Clean `data[start:end]` in place. Raises nothing."""
        if not self._begun and start < end:
            self._begun = True
            # UTF-16 and UTF-32 have zeros among the first letters; no other encoding is in use.
            first = bytes(data[start : min(end, start + 8)])
            self.everything |= b"\0" in first or first.startswith((b"\xfe\xff", b"\xff\xfe"))
        if self.everything:
            _blank(data, start, end)
            return
        self._token_at = self._element_at = self._attribute_at = -1
        at = start
        while at < end:
            at = self._state(data, at, end)

    def _text(self, data: bytearray, at: int, end: int) -> int:
        found = data.find(b"<", at, end)
        stop = end if found < 0 else found
        if self._element:
            _blank(data, at, stop)
        if found < 0:
            return end
        self._token.clear()
        self._token_at = found
        self._state = self._tag_name
        return found + 1

    def _gather(self, data: bytearray, at: int, end: int, stop: re.Pattern[bytes]) -> tuple[int, bool]:
        """Add to the token up to where it stops; whether it has."""
        match = stop.search(data, at, end)
        upto = match.start() if match else end
        self._token += data[at : min(upto, at + MAX_NAME - len(self._token))]
        return upto, match is not None

    def _tag_name(self, data: bytearray, at: int, end: int) -> int:
        if not self._token and data[at] == SLASH:
            self._token += b"/"
            return at + 1
        upto, is_complete = self._gather(data, at, end, END_OF_TAG_NAME)
        name = bytes(self._token)
        if name.startswith((b"?", b"!--", b"![CDATA[")) or (is_complete and name.startswith(b"!")):
            self._begin_other(name)
        elif is_complete:
            self._begin_tag(name)
        return upto

    def _begin_tag(self, name: bytes) -> None:
        self._is_end = name.startswith(b"/")
        self._closes_itself = False
        if not self._is_end:
            self._depth += 1
            if not self._element and is_place(name):
                self._element, self._element_at = self._depth, self._token_at
        self._state = self._in_tag

    def _begin_other(self, token: bytes) -> None:
        """A processing instruction, a comment, character data or a declaration: to its own end."""
        ends = {b"?": b"?>", b"!--": b"-->", b"![CDATA[": b"]]>"}
        self._until = next((until for start, until in ends.items() if token.startswith(start)), b">")
        self._token[:] = token[-2:]
        self._state = self._other

    def _other(self, data: bytearray, at: int, end: int) -> int:
        """The token holds the last bytes before `at`: the end may begin there."""
        width = len(self._until) - 1
        seam = bytes(self._token[-width:]) if width else b""
        found = (seam + data[at:end]).find(self._until)
        stop = end if found < 0 else at + found - len(seam) + len(self._until)
        self._token[:] = (bytes(self._token) + data[max(at, stop - 2) : stop])[-2:]
        if self._element:
            _blank(data, at, stop if found < 0 else max(at, stop - len(self._until)))
        if found >= 0:
            self._state = self._text
        return stop

    def _in_tag(self, data: bytearray, at: int, end: int) -> int:
        """Between attributes."""
        match = NO_SPACE.search(data, at, end)
        if match is None:
            return end
        at = match.start()
        if data[at] == GREATER:
            self._end_tag(data, at + 1)
            return at + 1
        if data[at] == SLASH:
            self._closes_itself = True
            return at + 1
        self._token.clear()
        self._token_at = at
        self._state = self._attribute_name
        return at

    def _end_tag(self, data: bytearray, end: int) -> None:
        if self._is_end or self._closes_itself:
            if self._element == self._depth:
                if self._element and self._element_at >= 0:
                    _blank(data, self._element_at, end)
                self._element = 0
            self._depth = max(0, self._depth - 1)
        self._state = self._text

    def _attribute_name(self, data: bytearray, at: int, end: int) -> int:
        upto, is_complete = self._gather(data, at, end, END_OF_NAME)
        if is_complete:
            is_own = is_place(bytes(self._token))
            self._is_value = self._element != 0 or is_own
            self._attribute_at = self._token_at if is_own else -1
            self._state = self._before_value
        return upto

    def _before_value(self, data: bytearray, at: int, end: int) -> int:  # noqa: ARG002 - as every state
        byte = data[at]
        if byte in b"\"'":
            self._quote = byte
            self._state = self._value
        elif byte in b"/>":
            self._state = self._in_tag
            return at
        return at + 1

    def _value(self, data: bytearray, at: int, end: int) -> int:
        found = data.find(self._quote, at, end)
        stop = end if found < 0 else found
        if self._is_value:
            _blank(data, at, stop)
        if found < 0:
            return end
        if self._is_value and self._attribute_at >= 0:
            _blank(data, self._attribute_at, found + 1)
        self._state = self._in_tag
        return found + 1


def _blank(data: bytearray, start: int, end: int) -> None:
    data[start:end] = b" " * (end - start)
