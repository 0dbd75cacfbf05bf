# SPDX-License-Identifier: Apache-2.0
"""A server's side of previews: one child, asked one image at a time, killed when it takes too long, and replaced."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from previewing.protocol import ANSWER, MAX_PREVIEW_BYTES, READY, REQUEST
from telemetry import metrics

SECONDS = 5.0
"""An image arrives no later for want of its preview."""
TURN_SECONDS = 0.5
"""How long an image waits for others: behind a bomb all go on without."""
BLAME_SECONDS = 600.0
"""So long nothing is made for somebody whose image has cost a child its life."""
BLAMED = 10_000
"""People remembered so; more are forgotten, the first first."""
MAX_PLACEHOLDER_BYTES = 48
"""64 characters of base64, which a sender may give too."""
ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "previewing.child")

log = logging.getLogger("glimpse.previews")


@dataclass(frozen=True, slots=True)
class Made:
    """A JPEG, and the ThumbHash of the same picture."""

    preview: bytes
    placeholder: bytes


class PreviewMaker:
    """Makes previews between `start` and `close`. Belongs to one event loop. `command` is the child's."""

    def __init__(
        self,
        *,
        command: tuple[str, ...] = COMMAND,
        seconds: float = SECONDS,
        turn_seconds: float = TURN_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._command = command
        self._seconds = seconds
        self._turn_seconds = turn_seconds
        self._clock = clock
        self._turn = asyncio.Lock()  # one child, one image at a time: what decoding may take of a machine is bounded
        self._child: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._blamed: dict[int, float] = {}
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the child that waits for work or does it."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Have a child ready soon. Without one there are no previews, and nothing waits."""
        if self._starting is None and not self._closed:
            self._starting = asyncio.create_task(self._start())

    async def close(self) -> None:
        """End the child."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._end()

    async def make(self, whose: int, size: int, pieces: AsyncIterator[bytes]) -> Made | None:
        """The preview of an image of `size` bytes, None when there is none within seconds, whatever the reason.

        `whose` is who sent it. Raises what `pieces` raises.
        """
        if self._is_blamed(whose) or self._child is None:
            metrics.preview_made("skipped")
            return None
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self._turn.acquire()
        except TimeoutError:
            metrics.preview_made("skipped")
            return None
        try:
            made = await self._ask(whose, size, pieces)
        finally:
            self._turn.release()
        return made

    async def _ask(self, whose: int, size: int, pieces: AsyncIterator[bytes]) -> Made | None:
        child = self._child
        if child is not None and _is_gone(child):  # while it had nothing to do: nobody's fault
            await self._end()
            self.start()
            child = None
        if child is None:
            metrics.preview_made("skipped")
            return None
        whole = False
        try:
            async with asyncio.timeout(self._seconds - self._turn_seconds):
                made = await _exchange(child, size, pieces)
            whole = True
        except (TimeoutError, OSError, EOFError):
            self._blame(whose)
            log.warning("a preview cost its process", extra={"uid": whose})
            metrics.preview_made("killed")
            return None
        finally:
            if not whole:
                await self._end()
                self.start()
        metrics.preview_made("made" if made else "refused")
        return made

    def _is_blamed(self, whose: int) -> bool:
        until = self._blamed.get(whose)
        if until is not None and until <= self._clock():
            del self._blamed[whose]
            return False
        return until is not None

    def _blame(self, whose: int) -> None:
        while len(self._blamed) >= BLAMED:
            del self._blamed[next(iter(self._blamed))]
        self._blamed[whose] = self._clock() + BLAME_SECONDS

    async def _start(self) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=ROOT, env=_environment()
            )
        except OSError as error:
            log.error("previews cannot be made", extra={"error": type(error).__name__})
            self._starting = None
            return
        try:
            assert child.stdout
            ready = await child.stdout.readexactly(len(READY))
        except (EOFError, asyncio.CancelledError) as error:
            await _kill(child)
            if isinstance(error, asyncio.CancelledError):
                raise
            ready = b""
        self._starting = None
        if ready == READY:
            self._child = child
        else:
            log.error("previews cannot be made", extra={"error": "the child does not start"})

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await _kill(child)


async def _exchange(child: Process, size: int, pieces: AsyncIterator[bytes]) -> Made | None:
    """Raises EOFError, OSError for a child that is gone."""
    assert child.stdin
    assert child.stdout
    _give(child, REQUEST.pack(size))
    async for piece in pieces:
        _give(child, piece)
        await child.stdin.drain()
    lengths = ANSWER.unpack(await child.stdout.readexactly(ANSWER.size))
    if lengths[0] > MAX_PREVIEW_BYTES or lengths[1] > MAX_PLACEHOLDER_BYTES:
        raise EOFError
    preview = await child.stdout.readexactly(lengths[0])
    placeholder = await child.stdout.readexactly(lengths[1])
    return Made(preview, placeholder) if preview else None


def _is_gone(child: Process) -> bool:
    assert child.stdin
    return child.returncode is not None or child.stdin.is_closing()


def _give(child: Process, data: bytes) -> None:
    """Raises EOFError for a child that is gone: to write there is a RuntimeError to uvloop."""
    assert child.stdin
    if child.stdin.is_closing():
        raise EOFError
    child.stdin.write(data)


async def _kill(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
    assert child.stdin
    child.stdin.close()
    await child.wait()


def _environment() -> dict[str, str]:
    """Nothing of the server's, whose secrets may be there."""
    return {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
