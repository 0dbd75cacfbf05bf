# SPDX-License-Identifier: Apache-2.0
"""The threads that wait for the disk, and the translation of the system's errors into ours."""

import asyncio
import errno
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from models.errors import AppError, StorageError, StorageFull
from telemetry import metrics

log = logging.getLogger("glimpse.storage")

THREADS = 4
"""A write waits for the disk, not for a core; more at once do not make one disk faster."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DiskThreads:
    """A small pool of its own, so that a slow disk delays only the store.

    `healthy` is false from an I/O error until a probe write has succeeded.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self.healthy = True

    async def run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking call in a thread. If the caller is cancelled, the call still runs to its end.

        Raises StorageFull and StorageError for what the system refuses.
        """
        return await asyncio.shield(self.start(call, *args))

    def start(self, call: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As `run`, for callers that must learn the result even after they stop waiting."""
        return asyncio.get_running_loop().run_in_executor(self._pool, self._explained, call, *args)

    def close(self) -> None:
        """Wait for the running calls; no new ones are taken."""
        self._pool.shutdown()

    def _explained(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        try:
            return call(*args)
        except OSError as error:
            raise self.refused(error) from error

    def refused(self, error: OSError) -> AppError:
        """What to raise for it. Any thread may call."""
        name = errno.errorcode.get(error.errno or 0, "unknown")
        metrics.storage_refused(full=error.errno in FULL)
        if error.errno in FULL:
            log.error("the disk is full", extra={"errno": name})
            return StorageFull()
        log.error("the disk failed", extra={"errno": name})
        # A key that is taken says nothing of the disk.
        self.healthy = self.healthy and error.errno == errno.EEXIST
        return StorageError()
