# SPDX-License-Identifier: Apache-2.0
"""The locks on a data directory: one server or restore at a time; and which of the server's processes are alive.

Commands that run beside a server do not take them.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models import private_files

LOCK = "server.lock"
PROCESSES = "processes"
RESTORING = "restoring"
TRIES, PAUSE_SECONDS = 5, 0.02
"""`is_owned` takes the lock for a moment to see whether it is free; a start that meets it tries again."""


class NotYours(Exception):
    """The data directory is locked or half restored. The text says what to do."""


@contextmanager
def owned(data_dir: Path, *, restoring: bool = False, held: int | None = None, pid: int | None = None) -> Iterator[int]:
    """Lock this directory for the length of the block; yields the lock's descriptor.

    The kernel releases the lock when every process that has this descriptor has ended. `held` is one that another
    process has locked and handed on, `pid` the process to stop, if it is not this one. After a restore that was cut
    off, only another restore gets the lock. Raises NotYours, OSError.
    Source: flock(2)
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(data_dir / LOCK, flags, private_files.MODE) if held is None else held
    with open(descriptor, "r+", encoding="ascii") as lock:
        if held is not None and not _is_lock_of(data_dir, held):
            raise NotYours(f"the server that runs has another directory than {data_dir}: stop it, then start it")
        if not _locked(descriptor):
            raise NotYours(f"{data_dir} is in use by process {lock.read().strip()}: stop it first")
        if not restoring and (data_dir / RESTORING).exists():
            raise NotYours(f"a restore into {data_dir} was cut off: run it again with --force")
        lock.seek(0)
        lock.truncate(0)
        lock.write(f"{pid or os.getpid()}\n")
        lock.flush()
        yield descriptor


def _is_lock_of(data_dir: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(data_dir / LOCK, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_owned(data_dir: Path) -> bool:
    """Whether a server or a restore holds the lock now. Raises OSError."""
    return _is_held(data_dir / LOCK)


def _locked(descriptor: int) -> bool:
    """Whether the lock was acquired; an `is_owned` that holds it for a moment is waited for."""
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        else:
            return True
    return False


class ProcessLock:
    """A process's sign of life among those of its data directory: a locked file, `processes/NAME`.

    The kernel releases the lock with the process, however it ends; so it tells at once, and whatever the clocks say.
    """

    def __init__(self, data_dir: Path, name: str) -> None:
        self._folder = data_dir / PROCESSES
        self._path = self._folder / name
        self._descriptor: int | None = None

    def take(self) -> None:
        """Hold the lock from now on. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with _looked_at_alone(self._folder):
            self._descriptor = private_files.create(self._path)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Remove the file: nobody has to find this process dead. Raises OSError."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one data directory that have a file there, by whether their lock is still held."""

    alive: frozenset[str]
    ended: frozenset[str]


def list_processes(data_dir: Path) -> Processes:
    """Every process that has taken a `ProcessLock` and not released it. Raises OSError."""
    folder = data_dir / PROCESSES
    if not folder.is_dir():
        return Processes(frozenset(), frozenset())
    with _looked_at_alone(folder):
        held = {name: _is_held(folder / name) for name in os.listdir(folder)}
    alive = frozenset(name for name, is_held in held.items() if is_held)
    return Processes(alive, frozenset(held) - alive)


def forget_process(data_dir: Path, name: str) -> None:
    """Remove the file of a process that has ended. Raises OSError."""
    (data_dir / PROCESSES / name).unlink(missing_ok=True)


@contextmanager
def _looked_at_alone(folder: Path) -> Iterator[None]:
    """Nobody else makes or looks through the files meanwhile: a new one must not be found before it is locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    """Whether somebody holds the lock of this file; a file that is gone counts as one that nobody holds."""
    try:
        descriptor = private_files.open_unlinked(path)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
