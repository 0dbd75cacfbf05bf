# SPDX-License-Identifier: Apache-2.0
"""Backs up running servers: a snapshot of the database, then the keys, then the images that the snapshot names.

In this order, so that every image accepted by the moment of the snapshot is in the backup, unless it was fetched since.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import aiofiles
import aiofiles.os

from models import fault
from models.db import engine
from models.db.database import Database
from models.db.mysql import copy as mysql_copy
from models.db.mysql import table_sets as mysql_tables
from models.db.mysql.connection import MysqlLocation
from models.db.sqlite import copy as sqlite_copy
from models.db.tables import integrity, users
from models.errors import StorageError
from models.key_lock import RingInUse, held
from models.keys import open_key_ring
from models.private_files import KEY_RING, VAPID_KEY, create, sync_directory, sync_filesystem
from services.maintenance import stored_files
from services.maintenance.manifest import (
    DATABASE,
    DUMP,
    IMAGES,
    ImageFacts,
    Manifest,
    Places,
    Unusable,
    copy_bytes,
    copy_file,
    facts,
    write,
)
from services.maintenance.stored_files import StoredFile
from storage.bucket import Bucket
from storage.bucket_blob import WINDOW_BYTES, open_blob
from storage.keys import path_of
from storage.places import ImagePlace

BATCH_IMAGES = 500
"""Linked or copied in one visit of a thread, with one sync of the filesystem."""
FETCHED_AT_ONCE = 16
"""From a bucket, which answers each in some milliseconds."""
LOOK_SECONDS = 0.2
"""How often a backup looks whether the keys are free: a rotation holds them for seconds, nobody tells of its end."""
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}

Say = Callable[[str], None]


async def back_up(places: Places, folder: Path, *, with_images: bool, now: int, say: Say) -> Manifest:
    """Make a backup in a new or empty folder (0700, its files 0600); durable when this returns.

    Images become hard links where the folder is on their filesystem, else copies. `now` is in milliseconds; `say`
    is told how far it is. When it raises, the folder has no manifest. Raises Unusable, KeyRingError, SchemaTooNew,
    DatabaseError, OSError.
    """
    tables = await mysql_tables.list_tables(places.database) if isinstance(places.database, MysqlLocation) else []
    while not await asyncio.to_thread(_copy_beside_rotation, places, tables, folder, say):
        say("waiting for keys rotate")
        await asyncio.sleep(LOOK_SECONDS)
    # A dump cannot be queried: the schema and the images are read from the original.
    copied = isinstance(places.database, Path)
    database = folder / DATABASE if copied else places.database
    schema = (await engine.inspect(database)).version
    db = engine.open_database(database)
    try:
        await _examine(db, folder, thoroughly=copied)
        images = await _copy_images(db, places.images, folder / IMAGES, say) if with_images else None
    finally:
        await db.close()
    return await asyncio.to_thread(_finish, folder, Manifest(now, schema, {}, images))


def _copy_beside_rotation(places: Places, tables: Sequence[str], folder: Path, say: Say) -> bool:
    """Copy the database with the key ring that decrypts it; False while keys are being rotated."""
    try:
        with held(places.keys, to_change=False):
            _copy(places, tables, folder, say)
    except RingInUse:
        return False
    return True


def _copy(places: Places, tables: Sequence[str], folder: Path, say: Say) -> None:
    for file in (places.database, places.keys):
        if isinstance(file, Path) and not file.is_file():
            raise Unusable(f"there is no {file} to back up")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Unusable(f"{folder} is not empty: name a new folder for each backup")
    folder.chmod(0o700)
    if isinstance(places.database, MysqlLocation):
        mysql_copy.dump(places.database, tables, folder / DUMP, lambda done: say(f"database {done} bytes"))
    else:
        sqlite_copy.copy(places.database, folder / DATABASE, lambda done, every: say(f"database {done}/{every} pages"))
    copy_file(places.keys, folder / KEY_RING)
    with suppress(FileNotFoundError):
        copy_file(places.vapid, folder / VAPID_KEY)


async def _examine(db: Database, folder: Path, *, thoroughly: bool) -> None:
    """Refuse a backup that could not be restored. A dump needs no check: its server has read every row to write it."""
    damages = await integrity.list_damages(db) if thoroughly else []
    if damages:
        raise Unusable(f"the database is damaged: {damages[0]}; run: python -m ops fsck")
    open_key_ring(folder / KEY_RING, sealed=await users.find_phone_cipher(db))


async def _copy_images(db: Database, place: ImagePlace, target: Path, say: Say) -> ImageFacts:
    files = size = gone = 0
    await aiofiles.os.mkdir(target, 0o700)
    bucket = Bucket(place.bucket) if place.bucket else None
    async for kept in stored_files.in_batches(db, BATCH_IMAGES):
        if bucket is None:
            taken = await asyncio.to_thread(_take_images, kept, place.directory, target)
        else:
            taken = await _fetch_images(kept, bucket, target)
        files += len(taken)
        size += sum(taken)
        gone += len(kept) - len(taken)
        say(f"{files} images")
    return ImageFacts(files, size, gone)


def _take_images(kept: Sequence[StoredFile], source: Path, target: Path) -> list[int]:
    """Link or copy images; returns the size of each that was there."""
    sizes = []
    for image in kept:
        path = path_of(image.key)
        with suppress(FileNotFoundError):
            sizes.append(_take_image(source / path, target / path))
    sync_filesystem(target)
    return sizes


async def _fetch_images(kept: Sequence[StoredFile], bucket: Bucket, target: Path) -> list[int]:
    """Fetch images from a bucket; returns the size of each that was there. Raises Unusable."""
    sizes: list[int | None] = []
    try:
        for start in range(0, len(kept), FETCHED_AT_ONCE):
            some = kept[start : start + FETCHED_AT_ONCE]
            sizes += await asyncio.gather(*[_fetch_image(image.key, bucket, target) for image in some])
    except StorageError as error:
        raise Unusable(f"the images cannot be read: {error.__cause__ or error}") from error
    await asyncio.to_thread(sync_filesystem, target)
    return [size for size in sizes if size is not None]


async def _fetch_image(key: str, bucket: Bucket, target: Path) -> int | None:
    blob = await open_blob(bucket, key)
    if blob is None:
        return None
    path = target / path_of(key)
    await asyncio.to_thread(_make_folders, path)
    with closing(blob):
        try:
            async with aiofiles.open(create(path), "wb") as writing:
                for offset in range(0, blob.size, WINDOW_BYTES):
                    await writing.write(await blob.read(offset, WINDOW_BYTES))
        except StorageError:
            if await bucket.size(path_of(key)) is not None:
                raise
            await aiofiles.os.unlink(path)  # it has ended meanwhile
            return None
        return blob.size


def _make_folders(target: Path) -> None:
    for folder in (target.parent.parent, target.parent):
        folder.mkdir(mode=0o700, exist_ok=True)


def _take_image(image: Path, target: Path) -> int:
    about = image.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise FileNotFoundError
    _make_folders(target)
    try:
        os.link(image, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        copy_bytes(image, target)
    return about.st_size


def _finish(folder: Path, manifest: Manifest) -> Manifest:
    if (folder / DATABASE).exists():
        sqlite_copy.seal(folder / DATABASE)
    there = [name for name in (DATABASE, DUMP, KEY_RING, VAPID_KEY) if (folder / name).exists()]
    fault.point("before_manifest")
    whole = replace(manifest, files={name: facts(folder / name) for name in there})
    write(folder, whole)
    sync_directory(folder.parent)
    return whole
