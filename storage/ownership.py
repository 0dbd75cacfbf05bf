# SPDX-License-Identifier: Apache-2.0
"""Who has a data directory: one server, or one restore, at a time. Commands that run beside a server do not ask."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "server.lock"
RESTORING = "restoring"


class NotYours(Exception):
    """The data directory cannot be had. The text says what to do."""


@contextmanager
def owned(data_dir: Path, *, restoring: bool = False) -> Iterator[None]:
    """Have this directory alone for the length of the block; the kernel ends it with the process.

    A directory in which a restore was cut off is had by a restore only. Raises NotYours, OSError.
    Source: flock(2)
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(data_dir / LOCK, flags, 0o600), "r+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotYours(f"{data_dir} is in use by process {lock.read().strip()}: stop it first") from None
        if not restoring and (data_dir / RESTORING).exists():
            raise NotYours(f"a restore into {data_dir} was cut off: run it again with --force")
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
