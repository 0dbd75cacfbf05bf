# SPDX-License-Identifier: Apache-2.0
"""The body of a request: how much of the bytes that have come belongs to it (RFC 9112, sections 6 and 7.1).

Chunk extensions and trailers are bounded, checked and dropped: nothing here knows one.
"""

import re
from typing import Protocol

from models.errors import MalformedRequest

MAX_CHUNK_LINE_BYTES = 1024
MAX_EXTENSION_BYTES = 16 * 1024
"""Of all chunks of a body: each may bring one."""
MAX_TRAILER_BYTES = 8 * 1024
MAX_CHUNKS_AT_ONCE = 500
"""Then others have their turn: the smallest chunks cost a thousand times what their bytes do."""
STEPS_OF_CHUNK = 2
"""Its size, and what is in it."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class Body(Protocol):
    """Takes a body out of what has come. `ended` says that what is left is the next request's, `rests` that more could
    be taken at once: that is for the event loop's next turn.
    """

    ended: bool
    rests: bool

    def take(self, unread: bytearray) -> bytes:
        """Remove from `unread` what belongs to the body, and return its content. Raises MalformedRequest."""
        ...


class FixedBody:
    """As long as its Content-Length says."""

    rests = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length

    def pass_by(self, count: int) -> bool:
        """Whether so many bytes belong to the body whole; they are counted then, and need no `take`."""
        if count > self._left:
            return False
        self._left -= count
        self.ended = not self._left
        return True

    def take(self, unread: bytearray) -> bytes:
        content = bytes(unread[: self._left]) if len(unread) > self._left else bytes(unread)
        del unread[: len(content)]
        self._left -= len(content)
        self.ended = not self._left
        return content


class ChunkedBody:
    """As long as its chunks say, the last of which is empty."""

    def __init__(self) -> None:
        self.ended = self.rests = False
        self._left = 0
        self._in_chunk = False
        self._in_trailer = False
        self._extension_bytes = 0
        self._trailer_bytes = 0

    def take(self, unread: bytearray) -> bytes:
        """As in Body: the content of many small chunks joined, at most MAX_CHUNKS_AT_ONCE of them."""
        pieces: list[bytes] = []
        at, moved = 0, True
        for _ in range(STEPS_OF_CHUNK * MAX_CHUNKS_AT_ONCE):
            if self._in_chunk:
                at, moved = self._take_chunk(unread, at, pieces)
            elif self._in_trailer:
                at, moved = self._take_trailer(unread, at)
            else:
                at, moved = self._take_size(unread, at)
            if not moved or self.ended:
                break
        self.rests = moved and not self.ended
        del unread[:at]
        return b"".join(pieces)

    def _take_size(self, unread: bytearray, at: int) -> tuple[int, bool]:
        end = self._line_end(unread, at, MAX_CHUNK_LINE_BYTES)
        if end < 0:
            return at, False
        found = _CHUNK_LINE.fullmatch(unread, at, end)
        if found is None:
            raise MalformedRequest("A chunk's size cannot be read.")
        self._extension_bytes += len(found[2] or b"")
        if self._extension_bytes > MAX_EXTENSION_BYTES:
            raise MalformedRequest("The chunk extensions are too long.")
        self._left = int(found[1], 16)
        self._in_chunk, self._in_trailer = self._left > 0, self._left == 0
        return end + 2, True

    def _take_chunk(self, unread: bytearray, at: int, pieces: list[bytes]) -> tuple[int, bool]:
        if self._left:
            piece = bytes(unread[at : at + self._left])
            if not piece:
                return at, False
            pieces.append(piece)
            self._left -= len(piece)
            at += len(piece)
        ending = unread[at : at + 2]
        if not b"\r\n".startswith(ending) and not self._left:
            raise MalformedRequest("A chunk is longer than its size.")
        if self._left or len(ending) < 2:
            return at, False
        self._in_chunk = False
        return at + 2, True

    def _take_trailer(self, unread: bytearray, at: int) -> tuple[int, bool]:
        end = self._line_end(unread, at, MAX_TRAILER_BYTES)
        if end < 0:
            return at, False
        if end == at:
            self.ended = True
        elif not _TRAILER.fullmatch(unread, at, end):
            raise MalformedRequest("A trailer cannot be read.")
        self._trailer_bytes += end - at
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise MalformedRequest("The trailers are too long.")
        return end + 2, True

    def _line_end(self, unread: bytearray, at: int, longest: int) -> int:
        """Where the line that begins at `at` ends; -1 while that has not come. Raises MalformedRequest."""
        end = unread.find(b"\r\n", at, at + longest + 2)
        if end < 0 and len(unread) - at > longest + 1:
            raise MalformedRequest("A line in the body is too long.")
        if end < 0 and (b"\n" in unread[at:] or b"\r" in unread[at:-1]):
            raise MalformedRequest("A line in the body does not end with CRLF.")
        return end
