# SPDX-License-Identifier: Apache-2.0
"""The file of the VAPID key pair, made on first start. Losing it loses every Web Push subscription."""

from pathlib import Path

from models import private_files
from push.providers.webpush_vapid import VapidKey, new_key, parse_key


class VapidFileError(OSError):
    """The file cannot be used. The text says what to do and holds no secret."""


def open_vapid_key(path: Path) -> VapidKey:
    """Read the pair from that PEM file, which is made (0600) if missing. Raises VapidFileError, OSError."""
    if not path.exists():
        private_files.write_once(path, new_key().pem)
    if private_files.is_open_to_others(path):
        raise VapidFileError(f"{path} can be read by others: chmod 600 {path}")
    try:
        return parse_key(path.read_text("ascii"))
    except ValueError:
        raise VapidFileError(
            f"{path} is damaged: restore it from a backup, or remove it, and every browser must subscribe anew."
        ) from None
