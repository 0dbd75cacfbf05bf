# SPDX-License-Identifier: Apache-2.0
"""The file of the VAPID key pair, made on first start. Losing it loses every Web Push subscription."""

import os
import secrets
import stat
from pathlib import Path

from push.providers.webpush_vapid import VapidKey, new_key, parse_key


class VapidFileError(OSError):
    """The file cannot be used. The text says what to do and holds no secret."""


def open_vapid_key(path: Path) -> VapidKey:
    """Read the pair from that PEM file, which is made (0600) if missing. Raises VapidFileError, OSError."""
    if not path.exists():
        _make(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise VapidFileError(f"{path} can be read by others: chmod 600 {path}")
    try:
        return parse_key(path.read_text("ascii"))
    except ValueError:
        raise VapidFileError(
            f"{path} is damaged: restore it from a backup, or remove it, and every browser must subscribe anew."
        ) from None


def _make(path: Path) -> None:
    """Write a new pair atomically; one that another process made meanwhile stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(new_key().pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
