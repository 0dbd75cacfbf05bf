# SPDX-License-Identifier: Apache-2.0
"""Restores a backup into the directories of a stopped server.

Everything is copied and checked beside what is there and then swapped in by a few renames. What was there is kept under
another name. A restore that is cut off leaves a mark, and no server starts until a later one has succeeded.
"""

import asyncio
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiofiles
import aiofiles.os

from models import fault, private_files
from models.db.database import Database
from models.db.engine import open_database
from models.db.tables import integrity, users
from models.errors import StorageError
from models.keys import open_key_ring
from models.private_files import KEY_RING, VAPID_KEY, sync_directory
from services.maintenance import stored_files
from services.maintenance.manifest import IMAGES, Manifest, Places, Unusable, read
from services.maintenance.restore_target import RestoreTarget, copy_verified, restore_target, restoring_path, set_aside
from services.maintenance.stored_files import StoredFile
from storage.base import BlobStore
from storage.keys import path_of
from storage.ownership import LOCK, RESTORING
from storage.places import open_store

BATCH_IMAGES = 200
"""Between two reports of how far it is."""
PIECE_BYTES = 1024 * 1024
"""Read at a time, so that an image of any size takes no more memory."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Restored:
    """How many images were restored, were there already, are missing, or are damaged; and what was renamed."""

    images: int = 0
    present: int = 0
    missing: int = 0
    damaged: int = 0
    set_aside: tuple[str, ...] = ()


async def restore(folder: Path, places: Places, data_dir: Path, *, force: bool, now: int, say: Say) -> Restored:
    """Put the backup in `folder` where a server will look for it. The caller has `data_dir` to itself.

    `force` allows a directory that holds something: its database and keys are set aside under a name with `now`
    (milliseconds), its images stay. Ids that clients may know from after the backup are skipped. Durable when this
    returns. When it raises, what was there is unchanged; if it is killed while swapping, the next restore repairs it.
    Raises Unusable, SchemaTooNew, KeyRingError, DatabaseError, OSError.
    """
    manifest = read(folder)
    database = restore_target(places.database, data_dir / RESTORING, now)
    secrets = {KEY_RING: places.keys, VAPID_KEY: places.vapid}
    files = {name: place for name, place in secrets.items() if name in manifest.files}
    await _begin(database, data_dir, force=force)
    past_return = False
    try:
        await asyncio.to_thread(_copy_files, folder, manifest, files)
        await database.load(folder, manifest, say)
        restored = await _fill(folder, manifest, database, places, say)
        past_return = True
        restored.set_aside = await asyncio.to_thread(_swap, database, files, data_dir, now)
    finally:
        if not past_return:
            _remove_copies(files)
            await database.undo()
    return restored


async def _begin(database: RestoreTarget, data_dir: Path, *, force: bool) -> None:
    there = {*await aiofiles.os.listdir(data_dir)} - {LOCK, RESTORING}
    free = await database.check_free(force=force)
    if (there or not free) and not force:
        raise Unusable(f"{data_dir} is not empty: its database and keys would be set aside; allow it with --force")


def _copy_files(folder: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    _remove_copies(files)
    for name, place in files.items():
        copy_verified(folder / name, restoring_path(place), manifest.files[name])


async def _fill(folder: Path, manifest: Manifest, database: RestoreTarget, places: Places, say: Say) -> Restored:
    """Check the loaded database, and store the images."""
    db = open_database(database.location)
    try:
        damages = await integrity.list_damages(db)
        if damages:
            raise Unusable(f"the database in {folder} is damaged: {damages[0]}")
        open_key_ring(restoring_path(places.keys), sealed=await users.find_phone_cipher(db))
        store = open_store(places.images, min_free_bytes=0)
        try:
            source = folder / IMAGES if manifest.images is not None else None
            restored = await _restore_images(db, store, source, say)
        finally:
            store.close()
    finally:
        await db.close()
    await database.finish()
    return restored


async def _restore_images(db: Database, store: BlobStore, source: Path | None, say: Say) -> Restored:
    restored = Restored()
    async for kept in stored_files.in_batches(db, BATCH_IMAGES):
        there = await store.sizes(image.key for image in kept)
        restored.present += len(there)
        await _restore_some(store, source, [image for image in kept if image.key not in there], restored)
        say(f"{restored.images} images")
    return restored


async def _restore_some(store: BlobStore, source: Path | None, kept: Sequence[StoredFile], restored: Restored) -> None:
    for image in kept:
        file = source / path_of(image.key) if source else None
        if file is None or not await _is_file(file):
            restored.missing += 1
        elif await _restore_image(store, file, image):
            restored.images += 1
        else:
            restored.damaged += 1


async def _is_file(path: Path) -> bool:
    """Whether there is a regular file, itself and not by a link."""
    try:
        about = await aiofiles.os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(about.st_mode)


async def _restore_image(store: BlobStore, file: Path, image: StoredFile) -> bool:
    """Store one image again; False, and nothing stored, when its bytes are not those that were accepted."""
    with store.reserve(image.size) as reservation:
        writer = await store.create(reservation)
        try:
            async with aiofiles.open(file, "rb") as reading:
                while piece := await reading.read(PIECE_BYTES):
                    await writer.write(piece)
            if writer.sha256 != image.sha256:
                return False
            await writer.commit(image.key)
        except StorageError as error:
            raise Unusable(f"the images cannot be written: {error.__cause__ or error}") from error
        finally:
            await writer.abort()
    return True


def _swap(database: RestoreTarget, files: Mapping[str, Path], data_dir: Path, now: int) -> tuple[str, ...]:
    """Rename what is there and move the copies to its place, the database last."""
    folders = {data_dir, *(place.parent for place in files.values())}
    if isinstance(database.location, Path):
        folders.add(database.location.parent)
    (data_dir / RESTORING).touch(private_files.MODE)
    _sync(folders)
    aside = [name for place in files.values() for name in set_aside(place, now)] + database.set_aside()
    _sync(folders)
    fault.point("set_aside")
    for place in files.values():
        restoring_path(place).rename(place)
    database.take_place()
    _sync(folders)
    (data_dir / RESTORING).unlink()
    _sync(folders)
    return tuple(aside)


def _sync(folders: set[Path]) -> None:
    for folder in folders:
        sync_directory(folder)


def _remove_copies(files: Mapping[str, Path]) -> None:
    for place in files.values():
        restoring_path(place).unlink(missing_ok=True)
