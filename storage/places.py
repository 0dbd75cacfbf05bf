# SPDX-License-Identifier: Apache-2.0
"""Where a server's images are, and the store that this is."""

from dataclasses import dataclass
from pathlib import Path

from models.shared_counters import SharedCounters
from storage.base import BlobStore
from storage.bucket_settings import BucketSettings
from storage.disk import DiskStore


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """A directory of images; or a bucket, and the directory for those on their way there."""

    directory: Path
    bucket: BucketSettings | None = None


def open_store(
    place: ImagePlace, *, min_free_bytes: int = 0, max_bytes: int = 0, counters: SharedCounters | None = None
) -> BlobStore:
    """The store that is there. Nothing is asked of a bucket yet. Raises OSError."""
    if place.bucket is None:
        return DiskStore(place.directory, min_free_bytes=min_free_bytes, max_bytes=max_bytes, counters=counters)
    from storage.s3 import S3Store  # noqa: PLC0415 - most servers have no bucket: they do without its client

    return S3Store(place.directory, place.bucket, min_free_bytes=min_free_bytes, max_bytes=max_bytes, counters=counters)
