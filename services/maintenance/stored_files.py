# SPDX-License-Identifier: Apache-2.0
"""What should be in the store: the images that somebody may still fetch, and the pictures of open reports."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from models.db.database import Database
from models.db.tables import image_files, report_pictures


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
        yield [StoredFile(image.message_key, image.size, image.sha256) for image in images]
    after = 0
    while pictures := await report_pictures.list_after(db, after=after, limit=limit):
        after = pictures[-1].report_id
        yield [StoredFile(picture.picture_key, picture.size, picture.sha256) for picture in pictures]


async def known(db: Database, keys: list[str]) -> set[str]:
    """Those of these keys whose file a row keeps. Raises DatabaseError."""
    return await image_files.list_stored_keys(db, keys) | await report_pictures.list_stored_keys(db, keys)
