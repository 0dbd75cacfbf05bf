# SPDX-License-Identifier: Apache-2.0
"""Images on the disk: one that is being received, and one that is being read to be sent."""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

Progress = Callable[[int, int], object]
"""Called with the bytes done so far and those in all."""
PIECE = 256 * 1024


class PartFile:
    """A file `NAME.part` that grows to a whole image. What an earlier try left in it is gone on from.

    Two programs that receive the same image write the same bytes at the same places, so neither spoils the other's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file = os.fdopen(descriptor, "r+b")
        self._digest = hashlib.sha256()
        self.size = 0
        while piece := self._file.read(PIECE):
            self._add(piece)

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._add(piece)

    def restart(self) -> None:
        """Begin with the first byte."""
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.size = hashlib.sha256(), 0

    def is_whole(self, size: int, digest: bytes) -> bool:
        return self.size == size and self._digest.digest() == digest

    def publish(self, target: Path) -> None:
        """Give the file its name. When this returns, a power cut takes neither the bytes nor the name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.path, target)
        sync_folder(target.parent)

    def end(self, *, keep: bool) -> None:
        """Close it. What is kept is gone on from another time; nothing is left of an empty one."""
        if not self._file.closed:
            self._file.close()
            if not keep or not self.size:
                self.path.unlink(missing_ok=True)

    def _add(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size += len(piece)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, so that a power cut takes none of them."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Outgoing:
    """A picture, in memory or in a file, that is read as often as sending takes. Close it at the end."""

    def __init__(self, picture: bytes | str | Path, progress: Progress | None = None) -> None:
        self._file: IO[bytes] = io.BytesIO(picture) if isinstance(picture, bytes) else open(picture, "rb")  # noqa: SIM115
        self._progress = progress
        self.size = self._file.seek(0, os.SEEK_END)
        self.seek(0)

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if piece and self._progress:
            self._progress(self._file.tell(), self.size)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
