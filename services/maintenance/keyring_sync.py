# SPDX-License-Identifier: Apache-2.0
"""Keeps a running process's key ring in step with its file, and its row in `servers` up to date: the ring's generation
and a heartbeat.

The file is looked at rather than a signal waited for: what every process can see needs nobody to know which ones there
are, and none is forgotten. Whoever changes the file waits for the word in `servers`.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiofiles.os

from models.db.database import Database, DatabaseError, Transaction
from models.db.tables import heartbeats
from models.keys import KeyRing, KeyRingError, read_key_ring
from services.leader import DEAD_SECONDS, FailureDetector
from storage.ownership import ProcessLock, forget_process, list_processes

POLL_SECONDS = 0.5
"""Each step of a rotation waits for every server to have looked. One `stat` costs next to nothing."""
HEARTBEAT_SECONDS = 2.0
"""Fifteen in DEAD_SECONDS: a server misses many before it is taken for dead. Each is a write."""

LOOK_SECONDS = 1.0
"""Between two looks for dead processes. The pushes that a process had claimed wait for this look, and for DEAD_SECONDS
before it if the process was another machine's. Shorter than HEARTBEAT_SECONDS, whose length would come on top.
"""

log = logging.getLogger("glimpse.keys")


class KeyringSync:
    """Follows one file for one ring. `clock` gives milliseconds, `monotonic` seconds that never jump."""

    def __init__(
        self,
        *,
        db: Database,
        keys: KeyRing,
        path: Path,
        server_id: str,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._keys = keys
        self._path = path
        self._server_id = server_id
        self._lock = ProcessLock(path.parent, server_id)
        self._clock = clock
        self._monotonic = monotonic
        self._seen: tuple[int, int, int] | None = None
        self._told = 0
        self._heartbeat_sent_at = self._looked_at = 0.0
        self._failures = FailureDetector(DEAD_SECONDS, monotonic)
        self._complaint = ""

    async def enter(self) -> None:
        """Register this process with the generation of its ring. Raises KeyRingError, DatabaseError, OSError."""
        generation, now = self._keys.generation, self._clock()
        self._lock.take()
        await self._db.write(partial(heartbeats.enter, server_id=self._server_id, key_generation=generation, now=now))
        self._told, self._heartbeat_sent_at = generation, self._monotonic()
        await self.remove_ended()
        # From here on whoever changes the file waits for this server; an earlier change is found by this look.
        await self.look()

    async def run(self) -> None:
        """Follow the file until cancelled. A file that cannot be read leaves the ring as it is."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.keep_presence()
                await self.look()
            except (KeyRingError, DatabaseError, OSError) as error:
                self._complain(f"{type(error).__name__}: {error}")
            else:
                self._complaint = ""

    async def leave(self) -> None:
        """Deregister: nobody waits for this process any more."""
        try:
            await self._db.write(partial(heartbeats.leave, server_id=self._server_id))
            self._lock.release()
        except (DatabaseError, OSError):
            log.warning("this server has ended and still stands in the database")

    async def look(self) -> None:
        """Adopt the file's ring if it has changed, and confirm it. Raises KeyRingError, DatabaseError, OSError."""
        about = await aiofiles.os.stat(self._path)
        mark = (about.st_ino, about.st_mtime_ns, about.st_size)
        if mark != self._seen:
            self._keys.adopt(await asyncio.to_thread(read_key_ring, self._path))
            self._seen = mark
        generation = self._keys.generation
        if generation == self._told:
            return
        await self._db.settled()  # writes that used the ring before
        await self._db.write(
            partial(heartbeats.set_key_generation, server_id=self._server_id, key_generation=generation)
        )
        self._told = generation
        log.info("the key ring has changed", extra={"generation": generation})

    async def send_heartbeat(self) -> None:
        """Record that this process lives. Raises DatabaseError."""

        async def unit(tx: Transaction) -> bool:
            alive = await heartbeats.count_up(tx, server_id=self._server_id)
            if not alive:
                await heartbeats.enter(tx, server_id=self._server_id, key_generation=self._told, now=self._clock())
            return alive

        if not await self._db.write(unit):
            log.warning("this server was taken for dead")

    async def remove_ended(self) -> None:
        """Remove the processes of this data directory that have ended, at once. Raises DatabaseError, OSError."""
        found = list_processes(self._path.parent)
        if not self._db.shared:
            # All that use this database have their files here; others are of a time before there were such files.
            await self._db.write(partial(heartbeats.remove_others, alive=found.alive))
        for server_id in found.ended:
            await self._db.write(partial(heartbeats.leave, server_id=server_id))
            forget_process(self._path.parent, server_id)
            log.warning("a process has ended without leaving", extra={"server": server_id})

    async def remove_dead(self) -> None:
        """Remove the processes of all machines without a heartbeat for DEAD_SECONDS. Raises DatabaseError."""
        found = {server.server_id: server for server in await heartbeats.list_all(self._db)}
        for server_id in self._failures.of({name: server.heartbeats for name, server in found.items()}):
            await self._db.write(partial(heartbeats.remove_dead, server=found[server_id]))
            log.warning("another server has died", extra={"server": server_id})

    async def keep_presence(self) -> None:
        """Send a heartbeat and look for dead processes when either is due. Raises DatabaseError, OSError."""
        now = self._monotonic()
        if self._db.shared and now - self._heartbeat_sent_at >= HEARTBEAT_SECONDS:
            self._heartbeat_sent_at = now
            await self.send_heartbeat()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            if list_processes(self._path.parent).ended:
                await self.remove_ended()
            if self._db.shared:
                await self.remove_dead()

    def _complain(self, complaint: str) -> None:
        """Log each problem once, not twice a second."""
        if complaint != self._complaint:
            log.error("the key ring cannot be followed", extra={"error": complaint})
            self._complaint = complaint
