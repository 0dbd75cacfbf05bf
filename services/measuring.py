# SPDX-License-Identifier: Apache-2.0
"""What is looked up only when the metrics are asked for: how the parts stand now. Counting is done where it happens."""

from collections.abc import Callable, Mapping

from models.db import measures
from models.db.database import Database, DatabaseError
from storage.disk import DiskStore
from telemetry import metrics


class Measuring:
    """Asks the storage, the relay and the database. `breakers` gives each provider's state by name."""

    def __init__(
        self,
        *,
        db: Database,
        store: DiskStore,
        breakers: Callable[[], Mapping[str, str]],
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
        for provider, state in self._breakers().items():
            metrics.push_breaker(provider, state)
        try:
            await self._ask_database()
        except DatabaseError:
            metrics.database_silent()

    async def _ask_database(self) -> None:
        backlog = await measures.outbox_backlog(self._db)
        ended = await measures.ended_bytes(self._db)
        age_ms = 0 if backlog.oldest_at is None else self._clock() - backlog.oldest_at
        metrics.database_answered(
            due=backlog.count,
            oldest_seconds=max(0, age_ms) / 1000,
            pending_bytes=max(0, self._store.stored_bytes - ended),
        )
