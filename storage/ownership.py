# SPDX-License-Identifier: Apache-2.0
"""Who has a data directory: one server, or one restore, at a time. Commands that run beside a server do not ask."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import private_files

LOCK = "server.lock"
RESTORING = "restoring"
TRIES, PAUSE_SECONDS = 5, 0.02
"""`is_owned` takes the lock for a moment to see whether it is free; a start that meets it tries again."""


class NotYours(Exception):
    """The data directory cannot be had. The text says what to do."""


@contextmanager
def owned(data_dir: Path, *, restoring: bool = False) -> Iterator[None]:
    """Have this directory alone for the length of the block; the kernel ends it with the process.

    A directory in which a restore was cut off is had by a restore only. Raises NotYours, OSError.
    Source: flock(2)
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(data_dir / LOCK, flags, private_files.MODE), "r+", encoding="ascii") as lock:
        if not _locked(lock.fileno()):
            raise NotYours(f"{data_dir} is in use by process {lock.read().strip()}: stop it first")
        if not restoring and (data_dir / RESTORING).exists():
            raise NotYours(f"a restore into {data_dir} was cut off: run it again with --force")
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def is_owned(data_dir: Path) -> bool:
    """Whether a server or a restore has this directory now. Raises OSError."""
    try:
        descriptor = private_files.open_unlinked(data_dir / LOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(descriptor: int) -> bool:
    """Whether the lock could be had: who only asks about it, in `is_owned`, is gone in no time."""
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        else:
            return True
    return False
