# SPDX-License-Identifier: Apache-2.0
"""The lock on a key ring's file: exclusive to change it, shared to copy it together with what it decrypts."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.keys import KeyRingError


class RingInUse(KeyRingError):
    """Another process changes the ring now, or copies it."""


@contextmanager
def held(path: Path, *, to_change: bool) -> Iterator[None]:
    """Hold the lock on this ring for the length of the block: exclusively with `to_change`, else shared.

    The file's directory is locked, since the file itself is replaced; for a symbolic link, that of its target. The
    kernel releases the lock with the process.
    Raises RingInUse instead of waiting, OSError.
    Source: flock(2)
    """
    descriptor = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if to_change else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RingInUse(f"{path} is in use by keys rotate, a backup or a restore: wait for its end") from None
        yield
    finally:
        os.close(descriptor)
