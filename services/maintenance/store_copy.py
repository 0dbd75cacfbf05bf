# SPDX-License-Identifier: Apache-2.0
"""Copies every image that somebody may still fetch from one store to another, beside a running server.

What is in the target already is not copied again: a copy that was cut off goes on, and one that is repeated brings what
has come since. Nothing is removed.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from models.db.database import Database
from services.maintenance import stored_files
from services.maintenance.stored_files import StoredFile
from storage.base import BlobStore

BATCH_IMAGES = 200
"""Between two reports of how far it is."""
PIECE_BYTES = 256 * 1024


@dataclass(slots=True)
class Copied:
    """How many files were copied, were there already, are not in the source (they have ended meanwhile, or are lost),
    or are not what was accepted: those are not copied, or are wrong in the target.
    """

    copied: int = 0
    bytes: int = 0
    present: int = 0
    missing: int = 0
    damaged: int = 0


async def copy_images(db: Database, source: BlobStore, target: BlobStore, say: Callable[[str], None]) -> Copied:
    """Each file is durable in the target before the next is begun. Raises DatabaseError, StorageError, StorageFull."""
    copied = Copied()
    async for kept in stored_files.in_batches(db, BATCH_IMAGES):
        there = await target.sizes(file.key for file in kept)
        for file in kept:
            if file.key not in there:
                await _copy(source, target, file, copied)
            elif there[file.key] == file.size:
                copied.present += 1
            else:
                copied.damaged += 1
        say(f"{copied.copied} copied, {copied.present} were there")
    return copied


async def _copy(source: BlobStore, target: BlobStore, file: StoredFile, copied: Copied) -> None:
    blob = await source.open(file.key)
    if blob is None:
        copied.missing += 1
        return
    with closing(blob), target.reserve(file.size) as room:
        writer = await target.create(room)
        try:
            for offset in range(0, blob.size, PIECE_BYTES):
                await writer.write(await blob.read(offset, PIECE_BYTES))
            if writer.sha256 != file.sha256:
                copied.damaged += 1
                return
            await writer.commit(file.key)
        finally:
            await writer.abort()
    copied.copied += 1
    copied.bytes += file.size
