# SPDX-License-Identifier: Apache-2.0
"""Bytes pass through; a format's walker says which to look at, and overwrites those in place before they leave.

What walks is a generator. It yields what it wants done with the next bytes and is sent what it asked for. Only what
it takes is held, and never more than `MOST_HELD` bytes.
"""

import hashlib
import re
import struct
from collections.abc import Generator
from typing import Final, NamedTuple

MOST_HELD: Final = 256 * 1024
"""What one piece of metadata may have to be read as a whole; what is longer is overwritten, or read in pieces."""

# A real file asks for far less; a file that asks for more than one step in 64 bytes is made to cost work.
STEPS: Final = 4096
BYTES_A_STEP: Final = 64

VIEWED: Final = 16 * 1024
"""What is as long is handed on without a copy; a view keeps its whole piece in memory, which is then mostly its own."""

TO_THE_END: Final = 1 << 62
SUB_BLOCKS: Final = -1
"""Of GIF: a chain of data sub-blocks to its end."""


class Unreadable(Exception):
    """The file is built as no real one is: what it says of a place cannot be found in bounded work."""


class Pass(NamedTuple):
    """Let so many bytes pass, or all before the first match of a pattern that is at most `width` bytes long.

    Every byte that passes is overwritten with `fill`, where it is given. Where `first` is, a match begins with it: so
    what cannot be the beginning of one is not held back, which would copy every piece.
    """

    what: int | re.Pattern[bytes]
    width: int = 1
    fill: int | None = None
    first: bytes = b""


class Take(NamedTuple):
    """Hold so many bytes more, behind the last `keep` of those held; is sent all of them, to be changed in place.

    `secret` bytes are metadata: if the file ends before they are complete, those that are there are overwritten. With
    `rest` they are sent then, as many as there are.
    """

    n_bytes: int
    keep: int = 0
    secret: bool = True
    rest: bool = False


class Peek(NamedTuple):
    """Is sent the next bytes, fewer where the file ends; they are still to come. `keep` as in `Take`."""

    n_bytes: int
    keep: int = 0


Piece = bytes | memoryview
"""Of what leaves, in order."""
Request = Pass | Take | Peek
Walk = Generator[Request, bytearray, None]
Count = Generator[Request, bytearray, int]


class Stream:
    """Feeds a walker and gives back as many bytes as it is fed, some of them later.

    `overwritten` is the digest of all blocks that were changed, as they were, and where; `changed` whether any was.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._request: Request = Pass(0)
        self._held = bytearray()
        self._original = bytearray()
        self._ahead = b""  # has come, and can only be judged with what follows it
        self._overwritten = hashlib.sha256()
        self._offset = 0  # of the first byte that is held, or of the next
        self._steps = 0
        self._left = 0
        self._filling = False
        self._ending = False
        self._over = False
        self.changed = False
        self._ask(None, [])

    @property
    def held(self) -> int:
        """How many bytes have come and not left."""
        return len(self._held) + len(self._ahead)

    @property
    def length(self) -> int:
        """How many bytes have come."""
        return self._offset + self.held

    @property
    def overwritten(self) -> bytes:
        return self._overwritten.digest()

    def feed(self, piece: bytes) -> list[Piece]:
        """What may be written now. Raises Unreadable, and nothing else, whatever the bytes are."""
        if self._ahead:
            piece, self._ahead = self._ahead + piece, b""
        out: list[Piece] = []
        self._run(piece, out)
        return out

    def end(self) -> list[Piece]:
        """What is left. Metadata that has broken off is overwritten. Raises Unreadable."""
        self._ending = True
        out = self.feed(b"")
        while isinstance(self._request, Peek) and not self._over:
            self._ask(bytearray(), out)
        if isinstance(self._request, Take) and not self._over:
            if self._request.rest:
                self._ask(self._held, out)
            elif self._request.secret:
                self._held[:] = bytes(len(self._held))
        if self._held:
            self._release(len(self._held), out)
        self._over = True
        self._walk.close()
        return out

    def replaced(self, offset: int, original: bytes) -> None:
        """Count in what was changed, here or in bytes that had left before."""
        self._overwritten.update(struct.pack(">QQ", offset, len(original)) + original)
        self.changed = True

    def _run(self, piece: bytes, out: list[Piece]) -> None:
        at = 0
        while at < len(piece) and not self._over:
            if isinstance(self._request, Take):
                at = self._take(piece, at, out)
            elif isinstance(self._request, Peek):
                if len(piece) - at < self._request.n_bytes and not self._ending:
                    self._ahead = piece[at:]
                    return
                self._ask(bytearray(piece[at : at + self._request.n_bytes]), out)
            elif isinstance(self._request.what, int):
                at = self._pass(piece, at, self._request, out)
            else:
                at = self._search(piece, at, self._request, out)
        if at < len(piece):
            self._release_passed(piece[at:], None, out)

    def _ask(self, answer: bytearray | None, out: list[Piece]) -> None:
        """What the walker wants next that is not there yet. What it does not keep is released."""
        while True:
            self._count_step()
            try:
                request = next(self._walk) if answer is None else self._walk.send(answer)
            except StopIteration:
                self._over = True
                request = Pass(0)
            self._request, answer, self._filling = request, self._held, False
            if isinstance(request, Pass):
                if self._held:
                    self._release(len(self._held), out)
                self._left = request.what if isinstance(request.what, int) else 1
            else:
                if len(self._held) > request.keep:
                    self._release(len(self._held) - request.keep, out)
                self._left = request.n_bytes
                if len(self._held) + self._left > MOST_HELD:
                    raise Unreadable
            if self._left or self._over:
                return

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > STEPS + self._offset // BYTES_A_STEP:
            raise Unreadable

    def _take(self, piece: bytes, at: int, out: list[Piece]) -> int:
        taken = piece[at : at + self._left]
        self._held += taken
        self._original += taken
        self._left -= len(taken)
        if not self._left:
            self._ask(self._held, out)
        return at + len(taken)

    def _pass(self, piece: bytes, at: int, request: Pass, out: list[Piece]) -> int:
        if request.what == SUB_BLOCKS:
            end = self._end_of_sub_blocks(piece, at)
        else:
            end = min(len(piece), at + self._left)
            self._left -= end - at
        self._release_passed(_part(piece, at, end), request.fill, out)
        if not self._left:
            self._ask(self._held, out)
        return end

    def _search(self, piece: bytes, at: int, request: Pass, out: list[Piece]) -> int:
        assert isinstance(request.what, re.Pattern)
        match = request.what.search(piece, at)
        end = match.start() if match else self._end_of_search(piece, at, request)
        self._release_passed(_part(piece, at, end), request.fill, out)
        if match:
            self._ask(self._held, out)
            return end
        self._ahead = piece[end:]
        return len(piece)

    def _end_of_search(self, piece: bytes, at: int, request: Pass) -> int:
        """Where a match may have begun that goes on in the next piece."""
        if self._ending:
            return len(piece)
        end = max(at, len(piece) - request.width + 1)
        found = piece.find(request.first, end) if request.first else end
        return found if found >= 0 else len(piece)

    def _end_of_sub_blocks(self, piece: bytes, at: int) -> int:
        """`_left` is -1 before a length, else what is left of a sub-block, and 0 behind the last."""
        while at < len(piece):
            if self._left < 0:
                self._left = piece[at]
                self._count_step()
                at += 1
                if not self._left:
                    return at
            passed = min(self._left, len(piece) - at)
            at += passed
            self._left = self._left - passed or -1
        return at

    def _release_passed(self, passed: Piece, fill: int | None, out: list[Piece]) -> None:
        if not passed:
            return
        if fill is not None:
            if not self._filling:  # said once: the digest must not depend on the pieces
                self._filling = True
                self._overwritten.update(struct.pack(">Q", self._offset))
            self._overwritten.update(passed)
            filled = bytes([fill]) * len(passed)
            self.changed |= filled != passed
            passed = filled
        out.append(passed)
        self._offset += len(passed)

    def _release(self, n_bytes: int, out: list[Piece]) -> None:
        leaving, original = bytes(self._held[:n_bytes]), bytes(self._original[:n_bytes])
        if leaving != original:
            self.replaced(self._offset, original)
        out.append(leaving)
        self._offset += n_bytes
        del self._held[:n_bytes], self._original[:n_bytes]


def _part(piece: bytes, start: int, end: int) -> Piece:
    """Of a large part a view: to copy it costs a third of looking through it."""
    return memoryview(piece)[start:end] if end - start >= VIEWED else piece[start:end]
