# SPDX-License-Identifier: Apache-2.0
"""Keeps a running server's key ring what its file says, and tells the database how far it is.

The file is looked at rather than a signal waited for: what every process can see needs nobody to know which ones there
are, and none is forgotten. Whoever changes the file waits for the word in `servers`.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from models.db import servers
from models.db.database import Database, DatabaseError, Transaction
from models.keys import KeyRing, KeyRingError, read_key_ring

POLL_SECONDS = 0.5

log = logging.getLogger("glimpse.keys")


class KeyWatch:
    """Follows one file for one ring. `clock` gives milliseconds."""

    def __init__(self, *, db: Database, keys: KeyRing, path: Path, clock: Callable[[], int]) -> None:
        self._db = db
        self._keys = keys
        self._path = path
        self._clock = clock
        self._server_id = secrets.token_hex(16)
        self._seen: tuple[int, int, int] | None = None
        self._told = 0
        self._complaint = ""

    async def enter(self) -> None:
        """Say which ring this server starts with. It has the database to itself. Raises DatabaseError."""
        generation = self._keys.generation

        async def unit(tx: Transaction) -> None:
            await servers.enter_alone(tx, server_id=self._server_id, key_generation=generation, now=self._clock())

        await self._db.write(unit)
        self._told = generation

    async def run(self) -> None:
        """Follow the file until cancelled. A file that cannot be read leaves the ring as it is."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.look()
            except (KeyRingError, DatabaseError, OSError) as error:
                self._complain(f"{type(error).__name__}: {error}")
            else:
                self._complaint = ""

    async def look(self) -> None:
        """Take the file's ring if it has changed, and say so. Raises KeyRingError, DatabaseError, OSError."""
        about = self._path.stat()
        mark = (about.st_ino, about.st_mtime_ns, about.st_size)
        if mark != self._seen:
            self._keys.adopt(read_key_ring(self._path))
            self._seen = mark
        generation = self._keys.generation
        if generation == self._told:
            return

        async def unit(tx: Transaction) -> None:
            await servers.set_key_generation(tx, server_id=self._server_id, key_generation=generation)

        # Units take their turns: when this one is committed, so are all that went by the ring before.
        await self._db.write(unit)
        self._told = generation
        log.info("the key ring has changed", extra={"generation": generation})

    def _complain(self, complaint: str) -> None:
        """Once for each trouble, not twice a second."""
        if complaint != self._complaint:
            log.error("the key ring cannot be followed", extra={"error": complaint})
            self._complaint = complaint
