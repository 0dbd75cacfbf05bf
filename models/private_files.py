# SPDX-License-Identifier: Apache-2.0
"""Files that their owner alone may read (mode 0600): their names in a data directory, and how they are written.

Every call blocks and raises OSError as it comes. What is durable is there after a power cut.
"""

import ctypes
import os
import secrets
import stat
from pathlib import Path

KEY_RING = "keys.json"
VAPID_KEY = "vapid.pem"
OUTBOX_LOG = "outbox.log"
ADMIN_KEY = "admin.token"

_libc = ctypes.CDLL(None, use_errno=True)

MODE = 0o600
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags to make a file with. O_EXCL: a file, or a link, that somebody put there first is not written to."""


def create(path: Path) -> int:
    """A descriptor of a new empty file, for writing. Raises FileExistsError."""
    return os.open(path, NEW, MODE)


def open_unlinked(path: Path) -> int:
    """A descriptor for reading, of the file itself: a symbolic link in its place is refused (ELOOP)."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def write_new(path: Path, text: str) -> None:
    """A new file with this text. Its bytes are durable; its name is, once the caller has synced the directory."""
    with open(create(path), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_draft(path: Path, text: str) -> Path:
    """A new file beside this path, `.NAME.RANDOM`, from which the path can be linked or renamed in one step."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_new(draft, text)
    return draft


def write_once(path: Path, text: str) -> None:
    """Make the file whole, in one step and durably, unless it is there: another process's, made meanwhile, stays."""
    draft = write_draft(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    sync_directory(path.parent)


def replace(path: Path, text: str) -> None:
    """Give the file this text in one step and durably, whether it is there or not."""
    draft = write_draft(path, text)
    try:
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in this directory durable: those that were added, replaced and removed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Make all that was written to this directory's filesystem durable, in one go. Source: syncfs(2)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "the filesystem was not synced", str(path))
    finally:
        os.close(descriptor)


def is_open_to_others(path: Path) -> bool:
    """Whether the group or anybody else has any right to the file."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
