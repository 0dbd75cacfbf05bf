# SPDX-License-Identifier: Apache-2.0
"""What should be in the store: the images that somebody may still fetch, their previews, and the pictures of open
reports.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from models.db.database import Database
from models.db.tables import image_files, report_pictures
from models.db.tables.image_files import Kept
from storage.keys import image_key, is_message_key, preview_key


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store: its key, and what should be in it."""

    key: str
    size: int
    sha256: bytes


async def in_batches(db: Database, limit: int) -> AsyncIterator[list[StoredFile]]:
    """All of them, some at a time. Raises DatabaseError."""
    after = 0
    while images := await image_files.list_kept(db, after=after, limit=limit):
        after = images[-1].message_id
        yield [file for image in images for file in files_of(image)]
    after = 0
    while pictures := await report_pictures.list_after(db, after=after, limit=limit):
        after = pictures[-1].report_id
        yield [StoredFile(picture.picture_key, picture.size, picture.sha256) for picture in pictures]


def files_of(image: Kept) -> list[StoredFile]:
    """The image itself, and its preview if it has one."""
    files = [StoredFile(image.message_key, image.size, image.sha256)]
    if image.preview_sha256 is not None:
        files.append(StoredFile(preview_key(image.message_key), image.preview_size, image.preview_sha256))
    return files


async def known(db: Database, keys: list[str]) -> set[str]:
    """Those of these keys whose file a row keeps. Raises DatabaseError."""
    images = [key for key in keys if is_message_key(key)]
    previews = [image_key(key) for key in keys if not is_message_key(key)]
    found = await image_files.list_stored_keys(db, images) | await report_pictures.list_stored_keys(db, images)
    if previews:
        found |= {preview_key(key) for key in await image_files.list_with_preview(db, previews)}
    return found
