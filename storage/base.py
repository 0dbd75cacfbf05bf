# SPDX-License-Identifier: Apache-2.0
"""What services may ask of a store of images, wherever it keeps them: on a disk (`storage.disk`) or in a bucket
(`storage.s3`). Knows no person and no database.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from storage.space import Reservation
from storage.upload_files import UploadFiles
from storage.writer import Data, DiskWriter, Mend

__all__ = ["BATCH_KEYS", "PARTS", "Blob", "BlobStore", "Data", "DiskWriter", "Mend", "Reservation"]

PARTS = 256
"""Of a store, by the first two digits of a key."""
BATCH_KEYS = 500  # asked of the database at once


class Blob(Protocol):
    """One open image; `size` in bytes. End by `close`, which may be called again."""

    size: int

    @property
    def file(self) -> int:
        """The descriptor, for who has the kernel copy from it; -1 where there is none."""
        ...

    async def cache(self, offset: int, n: int) -> bool:
        """Have these bytes in the page cache; False where they are not to be had there: `read` them then. One call at
        a time, of this or `read`. Raises StorageError.
        """
        ...

    async def read(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`, fewer only at the end, none behind it; one call at a time. Raises StorageError, also
        after `close`.
        """
        ...

    def close(self) -> None: ...


class BlobStore(Protocol):
    """Images under their keys. Belongs to one event loop.

    What comes in is written to a file of this machine first, so every store has a directory. Every method that takes a
    key raises ValueError for an invalid key, and StorageError where the store fails.
    """

    uploads: UploadFiles

    @property
    def healthy(self) -> bool:
        """False from an error until `probe` succeeds."""
        ...

    @property
    def stored_bytes(self) -> int:
        """The bytes of all images: what `set_stored_bytes` said, and what was stored and removed since."""
        ...

    def set_stored_bytes(self, n_bytes: int) -> None:
        """Say how many bytes the images have; the ceiling counts from there. One process alone may say so."""
        ...

    @property
    def receiving(self) -> bool:
        """Whether an upload runs in any process of this machine: from its reservation until its release."""
        ...

    def reserve(self, n_bytes: int) -> Reservation:
        """Reserve space for one upload; `with` releases what is not stored. Raises StorageFull."""
        ...

    async def create(self, reservation: Reservation) -> DiskWriter:
        """A writer for one image, using this reservation. Opens no file yet."""
        ...

    async def open(self, key: str) -> Blob | None:
        """The image, or None."""
        ...

    async def address(self, key: str, seconds: float) -> str | None:
        """A URL by which whoever has it may fetch the image for so long; None where there are none, or no image."""
        ...

    async def link(self, key: str, name: str) -> bool:
        """Give an image a second key, under which its bytes stay when the first is removed; whether it was there.

        Durable when this returns. Raises StorageError also where the second key is taken.
        """
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Store a small file whole. Durable when this returns; raises StorageFull, and StorageError also where the key
        is taken.
        """
        ...

    async def remove(self, key: str) -> bool:
        """Remove an image for good; whether it was there."""
        ...

    async def remove_many(self, keys: Iterable[str]) -> int:
        """Remove images for good; how many were there."""
        ...

    async def quarantine(self, key: str) -> bool:
        """Move an image that is not what it should be to `corrupt`; whether it was there."""
        ...

    async def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """The bytes of each of these images that is there; one that is missing is not in the answer."""
        ...

    async def digest(self, key: str) -> bytes | None:
        """SHA-256 of a stored image, or None when it is not there."""
        ...

    def sweep_candidates(self, older_than_seconds: float) -> AsyncIterator[list[str]]:
        """The keys of all files last written that long ago, up to 500 at a time; never the whole store at once."""
        ...

    async def old_keys(self, number: int, older_than_seconds: float) -> list[str]:
        """The keys in one of the store's PARTS whose files were last written that long ago."""
        ...

    async def remove_strays(self, *, written_before: float) -> int:
        """Remove what broken uploads have left on this machine before then (seconds since the epoch); how many."""
        ...

    async def probe(self) -> bool:
        """Try a small durable write; whether the store is healthy now. A full store says nothing of health."""
        ...

    def close(self) -> None:
        """Wait for what runs in the threads and end. Writers and blobs are ended before."""
        ...
