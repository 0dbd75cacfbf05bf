# SPDX-License-Identifier: Apache-2.0
"""Small images made durable together: one visit to a thread takes all that wait, so that they share the disk's commits
and each directory is synced once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.threads import DiskThreads
from storage.tree import NewImage, Tree

AT_ONCE = 32
"""Images in one turn: whoever comes first waits for all of them."""


class Source(Protocol):
    """Whose bytes become an image. In a thread: `prepare`, and if that returned `settle`."""

    def prepare(self) -> NewImage: ...

    def settle(self, *, published: bool) -> None: ...


@dataclass(slots=True)
class Waiting:
    """One image until it is durable, or `error` says why it is not there."""

    source: Source
    done: asyncio.Future[None]
    error: BaseException | None = None


class Publisher(Protocol):
    """Where files become images. Belongs to one event loop."""

    async def publish(self, source: Source, *, alone: bool = False) -> None:
        """Make it an image. Raises what its own steps raised; if the caller is cancelled, it goes on to its end.

        `alone`: it is large, and would keep others waiting.
        """
        ...

    async def withdraw(self, key: str) -> None:
        """What was published is to be no image any more."""
        ...


class DiskPublisher:
    """Links files into the tree. At most one visit runs; what comes meanwhile is the next turn's."""

    def __init__(self, tree: Tree, threads: DiskThreads) -> None:
        self._tree = tree
        self._threads = threads
        self._waiting: deque[Waiting] = deque()
        self._visiting = False

    async def publish(self, source: Source, *, alone: bool = False) -> None:
        """As `Publisher`."""
        if alone:
            await self._threads.run(self._publish_alone, source)
            return
        loop = asyncio.get_running_loop()
        waiting = Waiting(source, loop.create_future())
        self._waiting.append(waiting)
        self._begin_visit(loop)
        await asyncio.shield(waiting.done)

    async def withdraw(self, key: str) -> None:
        """As `Publisher`."""
        await self._threads.run(self._tree.remove, [key])

    def _publish_alone(self, source: Source) -> None:
        published = False
        image = source.prepare()
        try:
            self._tree.publish(image.file, image.key)
            published = True
        finally:
            source.settle(published=published)

    def _begin_visit(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._visiting:
            self._visiting = True
            self._threads.start(self._visit, loop).add_done_callback(lambda _: self._end_visit(loop))

    def _end_visit(self, loop: asyncio.AbstractEventLoop) -> None:
        self._visiting = False
        self._begin_visit(loop)  # what came after its last look

    def _visit(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            self._publish(turn)
            loop.call_soon_threadsafe(_tell, turn)

    def _publish(self, turn: Sequence[Waiting]) -> None:
        prepared: list[tuple[Waiting, NewImage]] = []
        for each in turn:
            try:
                prepared.append((each, each.source.prepare()))
            except BaseException as error:  # noqa: BLE001 - it is its caller's
                each.error = error
        for (each, _), failed in zip(prepared, self._published([image for _, image in prepared]), strict=True):
            each.error = failed
            each.source.settle(published=failed is None)
        for each in turn:
            if isinstance(each.error, OSError):
                each.error = self._threads.refused(each.error)

    def _published(self, images: Sequence[NewImage]) -> Sequence[BaseException | None]:
        try:
            return self._tree.publish_all(images)
        except BaseException as error:  # noqa: BLE001 - nobody may be left waiting
            return [error] * len(images)


def _tell(turn: Sequence[Waiting]) -> None:
    for each in turn:
        if each.error is None:
            each.done.set_result(None)
        else:
            each.done.set_exception(each.error)
