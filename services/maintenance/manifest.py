# SPDX-License-Identifier: Apache-2.0
"""The manifest of a backup: its files with their sizes and digests, and the schema. Written last, so that a backup that
was cut off has none.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.db.engine import Location
from models.private_files import KEY_RING, VAPID_KEY, create, open_unlinked, sync_directory, write_new
from storage.places import ImagePlace

FORMAT = 1
NAME = "manifest.json"
DATABASE = "glimpse.db"
DUMP = "glimpse.sql"
IMAGES = "images"


class Unusable(Exception):
    """A backup that cannot be made or restored. The text says why."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a server keeps what a backup holds. `vapid` is there once browsers can subscribe."""

    database: Location
    keys: Path
    vapid: Path
    images: ImagePlace


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file's length and the hex SHA-256 of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The images of a backup. `gone` were fetched or ended while it was made."""

    files: int
    bytes: int
    gone: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A complete backup. `made_at` is in milliseconds; `images` is None for a backup without them.

    `files` are the key ring, the VAPID key where there was one, and the database: a SQLite file, or what a MySQL
    server's program wrote.
    """

    made_at: int
    schema: int
    files: dict[str, FileFacts]
    images: ImageFacts | None


def write(folder: Path, manifest: Manifest) -> None:
    """Mark the backup in this folder as complete; durable when this returns. Raises OSError."""
    draft = folder / f".{NAME}"
    write_new(draft, json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2))
    draft.rename(folder / NAME)
    sync_directory(folder)


def read(folder: Path) -> Manifest:
    """Raises Unusable when there is no complete backup in this folder, or one that this version cannot read."""
    try:
        document = json.loads((folder / NAME).read_text("utf-8"))
        if document["format"] != FORMAT:
            raise Unusable(f"the backup {folder} has a format that this version does not know")
        return _manifest(document)
    except FileNotFoundError:
        raise Unusable(f"{folder} is no finished backup: it has no {NAME}") from None
    except (ValueError, KeyError, TypeError):
        raise Unusable(f"{folder / NAME} is damaged") from None


def copy_file(source: Path, target: Path) -> FileFacts:
    """Copy a file, following no symbolic link, into a new one (mode 0600), durably; returns what was copied."""
    copy_bytes(source, target, durably=True)
    return facts(target)


def copy_bytes(source: Path, target: Path, *, durably: bool = False) -> None:
    """As `copy_file`, without a look at what was copied; durable at once, or when the filesystem is synced."""
    with open(open_unlinked(source), "rb") as reading, open(create(target), "wb") as writing:
        shutil.copyfileobj(reading, writing, 1024 * 1024)
        writing.flush()
        if durably:
            os.fsync(writing.fileno())


def facts(path: Path) -> FileFacts:
    """The size and digest of this file. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileFacts(os.fstat(file.fileno()).st_size, digest)


def _manifest(document: dict[str, Any]) -> Manifest:
    said = document["files"]
    database = DUMP if DUMP in said else DATABASE
    names = [database, KEY_RING, *([VAPID_KEY] if VAPID_KEY in said else [])]
    files = {name: FileFacts(**said[name]) for name in names}
    images = ImageFacts(**document["images"]) if document["images"] is not None else None
    return Manifest(document["made_at"], document["schema"], files, images)
