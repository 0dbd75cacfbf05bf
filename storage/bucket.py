# SPDX-License-Identifier: Apache-2.0
"""One bucket of an object store that speaks S3, by `obstore`: what is asked of it, and what its errors mean.

A read is tried again for some seconds, a write only where the store says that it has not taken it. Nothing is asked
before the first call: the client's threads must not be there when workers are forked.
"""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store as Client

from models.errors import StorageError, StorageFull
from storage.bucket_settings import BucketSettings
from telemetry import metrics

if TYPE_CHECKING:
    from obstore.store import S3Config

log = logging.getLogger("glimpse.storage")

MARK = "probe"
"""An object that every server writes: it shows that this is the bucket of a server, and what its clock says."""
WHOLE_BYTES = 16 * 1024 * 1024
"""Up to here an object is put in one request, which is refused where the key is taken; above in parts."""
PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
"""As much as an image in one request takes of memory."""
ASKED_AT_ONCE = 32
"""Of a batch of keys, each a request of its own."""
QUICK = timedelta(seconds=8)
"""For a request that carries little. A store that hangs is given up after it."""
LONG = timedelta(seconds=60)
"""For 16 MiB on their way."""
CONNECTING = timedelta(seconds=2)
MOST_RETRIES = 3
RETRYING = timedelta(seconds=6)
FULL = frozenset({"QuotaExceeded", "ServiceQuotaExceededException", "XMinioStorageFull"})
REASONS = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "the keys may not do this in the bucket",
    "AllAccessDisabled": "the keys may not do this in the bucket",
    "InvalidAccessKeyId": "it does not know the access key",
    "SignatureDoesNotMatch": "the secret key is not the access key's, or something on the way changes requests",
    "RequestTimeTooSkewed": "its clock and this machine's differ too much",
    "AuthorizationHeaderMalformed": "the region is another",
    "PermanentRedirect": "the region or the endpoint is another",
    "SlowDown": "it is asked too much",
    "ServiceUnavailable": "it cannot answer now",
    "InternalError": "it failed",
}
_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)")
_STATUS = re.compile(r"status code: (\d{3})")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of an object, and the bytes of the whole."""

    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An object: its name, its bytes, and when it was written by the store's clock."""

    name: str
    size: int
    written_at: datetime


class Refused(Exception):
    """What the bucket answered, in words for an operator."""


class Bucket:
    """Every method raises StorageError, whose cause is a `Refused`, and those that write StorageFull.

    `trouble` says what was wrong last; it is empty after `succeeded`.
    """

    def __init__(self, settings: BucketSettings) -> None:
        self._settings = settings
        self.trouble = ""

    def __str__(self) -> str:
        return f"{self._settings.endpoint or 's3:/'}/{self._settings.bucket}/{self._settings.prefix}".rstrip("/")

    def succeeded(self) -> None:
        """It works again."""
        self.trouble = ""

    @cached_property
    def _quick(self) -> Client:
        return _client(self._settings, QUICK)

    @cached_property
    def _long(self) -> Client:
        return _client(self._settings, LONG)

    async def put(self, name: str, data: bytes, *, replace: bool = False) -> None:
        """Durable when this returns. Raises StorageError also for a name that is taken, unless it may be replaced."""
        client = self._quick if len(data) < PART_BYTES else self._long
        with self._explained():
            await obstore.put_async(client, name, data, mode="overwrite" if replace else "create", use_multipart=False)

    async def put_file(self, name: str, fd: int, *, replace: bool = False) -> None:
        """All that is in the file. As `put`; a name of a large file is taken to be free. Leaves the file open."""
        size = os.fstat(fd).st_size
        if size <= WHOLE_BYTES:
            await self.put(name, await asyncio.to_thread(os.pread, fd, size, 0), replace=replace)
            return
        with self._explained():
            await obstore.put_async(
                self._long, name, _parts(fd, size), chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    async def get(self, name: str, start: int, end: int) -> Part | None:
        """These bytes of it, fewer at its end; None where there is no such object."""
        with self._explained():
            try:
                found = await obstore.get_async(self._quick, name, options={"range": (start, end)})
                return Part(bytes(await found.bytes_async()), found.meta["size"])
            except FileNotFoundError as error:
                _raise_unless_absent(error)
                return None

    async def size(self, name: str) -> int | None:
        """Its bytes, None where there is no such object."""
        with self._explained():
            try:
                return (await obstore.head_async(self._quick, name))["size"]
            except FileNotFoundError:
                pass
        # The answer to HEAD has no body that would tell a missing object from a missing bucket.
        part = await self.get(name, 0, 1)
        return part.size if part else None

    async def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """The bytes of each that is there."""
        turns = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(name: str) -> int | None:
            async with turns:
                return await self.size(name)

        found = await asyncio.gather(*[ask(name) for name in names])
        return {name: size for name, size in zip(names, found, strict=True) if size is not None}

    async def written_at(self, name: str) -> datetime:
        """When this object, which is there, was written by the store's clock."""
        with self._explained():
            return (await obstore.head_async(self._quick, name))["last_modified"]

    async def signed(self, name: str, seconds: float) -> str:
        """A URL by which whoever has it may GET the object for so long."""
        with self._explained():
            return await obstore.sign_async(self._quick, "GET", name, timedelta(seconds=seconds))

    async def is_used(self) -> bool:
        """Whether a server has its images here; nothing is written."""
        return await self.get(MARK, 0, 1) is not None

    async def copy(self, source: str, target: str) -> bool:
        """Within the store; whether there was such an object."""
        with self._explained():
            try:
                await obstore.copy_async(self._long, source, target)
            except FileNotFoundError as error:
                _raise_unless_absent(error)
                return False
        return True

    async def remove(self, names: Iterable[str]) -> None:
        """Those that are not there are removed already."""
        with self._explained():
            await obstore.delete_async(self._quick, list(names))

    async def list_folder(self, folder: str) -> AsyncIterator[list[Listed]]:
        """All objects whose names begin with `folder/`, some at a time."""
        listing = aiter(obstore.list(self._quick, folder, chunk_size=1000))
        while True:
            with self._explained():
                batch = await anext(listing, None)
            if batch is None:
                return
            yield [Listed(entry["path"], entry["size"], entry["last_modified"]) for entry in batch]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except AlreadyExistsError as error:
            # That says nothing of the bucket.
            raise StorageError from Refused(str(error).partition("\n")[0])
        except (BaseError, OSError) as error:
            code = _code(error)
            metrics.storage_refused(full=code in FULL)
            reason = REASONS.get(code) or _plain(error)
            log.error("the bucket refused", extra={"answer": code or "unknown", "reason": reason})
            if code in FULL:
                raise StorageFull from Refused(reason)
            self.trouble = reason
            raise StorageError from Refused(f"{self}: {reason}")


def _client(settings: BucketSettings, patience: timedelta) -> Client:
    config: S3Config = {"region": settings.region, "virtual_hosted_style_request": not settings.path_style}
    endpoint = settings.endpoint
    if endpoint:
        host = endpoint if settings.path_style else endpoint.replace("://", f"://{settings.bucket}.", 1)
        config["endpoint"] = host
    if settings.access_key_id:
        config["access_key_id"], config["secret_access_key"] = settings.access_key_id, settings.secret_access_key
    return Client(
        settings.bucket,
        prefix=settings.prefix or None,
        config=config,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": CONNECTING,
            "timeout": patience,
        },
        retry_config={"max_retries": MOST_RETRIES, "retry_timeout": RETRYING},
    )


async def _parts(fd: int, size: int) -> AsyncIterator[bytes]:
    for at in range(0, size, PART_BYTES):
        yield await asyncio.to_thread(os.pread, fd, PART_BYTES, at)


def _raise_unless_absent(error: FileNotFoundError) -> None:
    """A bucket that is not there is no answer to whether an object is."""
    if _code(error) == "NoSuchBucket":
        raise error


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return next(filter(None, found.groups())) if found else ""


def _plain(error: Exception) -> str:
    """What is to be said of an error without a code of S3's."""
    text = str(error).partition("\n")[0]
    status = _STATUS.search(text)
    if status and status.group(1) == "403":
        return "the keys may not do this in the bucket, or are wrong"
    if status:
        return f"it answered {status.group(1)}"
    return "it does not answer, or cannot be reached: " + text.rpartition(" - ")[2]
