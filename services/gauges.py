# SPDX-License-Identifier: Apache-2.0
"""What is looked up only when the metrics are asked for: how the parts stand now. Counting is done where it happens."""

from collections.abc import Callable, Mapping

from models.db.database import Database, DatabaseError
from models.db.tables import measures
from storage.disk import DiskStore
from telemetry import metrics


class Gauges:
    """Asks the storage, the relay and the database. `breakers` gives each one's state by provider and app."""

    def __init__(
        self,
        *,
        db: Database,
        store: DiskStore,
        breakers: Callable[[], Mapping[tuple[str, str], str]],
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._store = store
        self._breakers = breakers
        self._clock = clock

    async def measure(self) -> None:
        """Bring the gauges up to date. Raises nothing: a part that does not answer is a number too."""
        metrics.STORAGE_HEALTHY.set(self._store.healthy)
        metrics.STORED_BYTES.set(self._store.stored_bytes)
        for (provider, app), state in self._breakers().items():
            metrics.push_breaker(provider, app, state)
        try:
            await self._ask_database()
        except DatabaseError:
            metrics.database_silent()

    async def _ask_database(self) -> None:
        backlogs = await measures.list_backlogs(self._db)
        ended = await measures.ended_bytes(self._db)
        now = self._clock()
        due = {(lane.provider, lane.app): (lane.count, max(0, now - lane.oldest_at) / 1000) for lane in backlogs}
        metrics.database_answered(due=due, pending_bytes=max(0, self._store.stored_bytes - ended))
