# SPDX-License-Identifier: Apache-2.0
"""Who may change a key ring's file, and who relies on it to stay as it is while they copy what it opens."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.keys import KeyRingError


class RingInUse(KeyRingError):
    """Somebody else changes the ring now, or copies what it opens."""


@contextmanager
def held(path: Path, *, to_change: bool) -> Iterator[None]:
    """Keep the ring of this file as it is for the length of the block, but for one's own changes with `to_change`.

    It is the file's directory that is locked, since the file itself is replaced; of a link's, the file that it leads
    to. The kernel ends it with the process.
    Raises RingInUse at once rather than wait, OSError.
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
