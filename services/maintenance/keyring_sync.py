# SPDX-License-Identifier: Apache-2.0
"""Keeps a running server's key ring what its file says, and tells the database how far it is and that it lives.

The file is looked at rather than a signal waited for: what every process can see needs nobody to know which ones there
are, and none is forgotten. Whoever changes the file waits for the word in `servers`.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiofiles.os

from models.db.database import Database, DatabaseError, Transaction
from models.db.tables import heartbeats
from models.keys import KeyRing, KeyRingError, read_key_ring
from services.leader import DEAD_SECONDS, FailureDetector

POLL_SECONDS = 0.5
"""Each step of a rotation waits for every server to have looked. One `stat` costs next to nothing."""
BEAT_SECONDS = 2.0
"""Fifteen in DEAD_SECONDS: a server misses many before it is taken for dead. Each is a write."""

log = logging.getLogger("glimpse.keys")


class KeyringSync:
    """Follows one file for one ring. `clock` gives milliseconds, `monotonic` seconds that never jump."""

    def __init__(
        self,
        *,
        db: Database,
        keys: KeyRing,
        path: Path,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._keys = keys
        self._path = path
        self._clock = clock
        self._monotonic = monotonic
        self._server_id = secrets.token_hex(16)
        self._seen: tuple[int, int, int] | None = None
        self._told = 0
        self._beat_at = 0.0
        self._failures = FailureDetector(DEAD_SECONDS, monotonic)
        self._complaint = ""

    async def enter(self) -> None:
        """Say that this server is there and by which ring it goes. Raises KeyRingError, DatabaseError, OSError."""
        generation = self._keys.generation
        enter = heartbeats.enter if self._db.shared else heartbeats.enter_alone
        await self._db.write(partial(enter, server_id=self._server_id, key_generation=generation, now=self._clock()))
        self._told, self._beat_at = generation, self._monotonic()
        # From here on whoever changes the file waits for this server; what they did before is to be found there.
        await self.look()

    async def run(self) -> None:
        """Follow the file until cancelled. A file that cannot be read leaves the ring as it is."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._beat_by_and_by()
                await self.look()
            except (KeyRingError, DatabaseError, OSError) as error:
                self._complain(f"{type(error).__name__}: {error}")
            else:
                self._complaint = ""

    async def leave(self) -> None:
        """Nobody has to wait for this server any more."""
        if not self._db.shared:
            return  # the next one finds it, and is the only one
        try:
            await self._db.write(partial(heartbeats.leave, server_id=self._server_id))
        except DatabaseError:
            log.warning("this server has ended and still stands in the database")

    async def look(self) -> None:
        """Take the file's ring if it has changed, and say so. Raises KeyRingError, DatabaseError, OSError."""
        about = await aiofiles.os.stat(self._path)
        mark = (about.st_ino, about.st_mtime_ns, about.st_size)
        if mark != self._seen:
            self._keys.adopt(await asyncio.to_thread(read_key_ring, self._path))
            self._seen = mark
        generation = self._keys.generation
        if generation == self._told:
            return
        await self._db.settled()  # what went by the ring before
        await self._db.write(
            partial(heartbeats.set_key_generation, server_id=self._server_id, key_generation=generation)
        )
        self._told = generation
        log.info("the key ring has changed", extra={"generation": generation})

    async def beat(self) -> None:
        """Show that this server lives, and remove those that have died. Raises DatabaseError."""

        async def unit(tx: Transaction) -> bool:
            alive = await heartbeats.beat(tx, server_id=self._server_id)
            if not alive:
                await heartbeats.enter(tx, server_id=self._server_id, key_generation=self._told, now=self._clock())
            return alive

        if not await self._db.write(unit):
            log.warning("this server was taken for dead")
        found = {server.server_id: server for server in await heartbeats.list_all(self._db)}
        for server_id in self._failures.of({name: server.beats for name, server in found.items()}):
            await self._db.write(partial(heartbeats.remove_silent, server=found[server_id]))
            log.warning("another server has died", extra={"server": server_id})

    async def _beat_by_and_by(self) -> None:
        if self._db.shared and self._monotonic() - self._beat_at >= BEAT_SECONDS:
            self._beat_at = self._monotonic()
            await self.beat()

    def _complain(self, complaint: str) -> None:
        """Once for each trouble, not twice a second."""
        if complaint != self._complaint:
            log.error("the key ring cannot be followed", extra={"error": complaint})
            self._complaint = complaint
