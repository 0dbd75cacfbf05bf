# SPDX-License-Identifier: Apache-2.0
"""A database that is real, with something of a test's own between it and who asks it."""

from collections.abc import Callable

from models.db.database import Changed, Database, Row, Statement, T, Transaction, Unit, Value


class Interposed:
    """Passes all on to a `Database`, which is not closed with it. Subclasses step in where they need to."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.shared, self.upkeep_seconds = db.shared, db.upkeep_seconds

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        return await self._db.read(statement, **params)

    async def write(self, unit: Unit[T]) -> T:
        return await self._db.write(unit)

    async def settled(self) -> None:
        await self._db.settled()

    def tell(self, listener: Callable[[set[int]], None]) -> None:
        self._db.tell(listener)

    async def close(self) -> None:
        pass


class Noted(Transaction):
    """A transaction whose statements are noted."""

    def __init__(self, tx: Transaction, note: Callable[[Statement], None]) -> None:
        self._tx, self._note = tx, note
        self.touched = tx.touched

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self._note(statement)
        return await self._tx.read(statement, **params)

    async def execute(self, statement: Statement, **params: Value) -> Changed:
        self._note(statement)
        return await self._tx.execute(statement, **params)
