# SPDX-License-Identifier: Apache-2.0
"""What every store has on this machine, wherever its images end up: the files that come in, their room, the threads
that write them.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from models.shared_counters import SharedCounters
from storage.base import BATCH_KEYS, PARTS
from storage.publishing import Publisher
from storage.space import Reservation, Space
from storage.threads import DiskThreads
from storage.tree import Tree
from storage.upload_files import Machine, UploadFiles
from storage.writer import DiskWriter


class ReceivingStore(ABC):
    """The part of a `BlobStore` that is the same for each; `BlobStore` says what its methods do.

    `published_by` makes what turns whole files into images. `min_free_bytes` (or 5 % of the filesystem, if that is
    less) stays free; `max_bytes` is the ceiling on what is stored, 0 for none; `counters` are shared by the processes
    for which both hold together.
    """

    def __init__(
        self,
        root: Path,
        published_by: Callable[[Tree, DiskThreads], Publisher],
        *,
        min_free_bytes: int = 0,
        max_bytes: int = 0,
        counters: SharedCounters | None = None,
    ) -> None:
        self._tree = Tree(root)
        self._space = Space(root, min_free_bytes=min_free_bytes, max_bytes=max_bytes, counters=counters)
        self._threads = DiskThreads()
        self._publisher = published_by(self._tree, self._threads)
        self._machine = Machine(self._tree, self._space, self._threads, self._publisher)
        self.uploads = UploadFiles(self._machine)

    @property
    def stored_bytes(self) -> int:
        return self._space.stored

    def set_stored_bytes(self, n_bytes: int) -> None:
        self._space.counters.stored.add(n_bytes - self._space.counters.stored.total)

    @property
    def receiving(self) -> bool:
        return self._space.uploads > 0

    def reserve(self, n_bytes: int) -> Reservation:
        return self._space.reserve(n_bytes)

    async def create(self, reservation: Reservation) -> DiskWriter:
        return DiskWriter(self._tree, self._threads, self._publisher, reservation)

    async def sweep_candidates(self, older_than_seconds: float) -> AsyncIterator[list[str]]:
        for number in range(PARTS):
            keys = await self.old_keys(number, older_than_seconds)
            for start in range(0, len(keys), BATCH_KEYS):
                yield keys[start : start + BATCH_KEYS]

    @abstractmethod
    async def old_keys(self, number: int, older_than_seconds: float) -> list[str]: ...

    async def remove_strays(self, *, written_before: float) -> int:
        return await self._threads.run(self._tree.remove_strays, written_before)

    def close(self) -> None:
        self._threads.close()
        self._tree.close()
