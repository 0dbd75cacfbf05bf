# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.round_trips`: how often each request waits for the database, whichever engine answers.

Every statement counts one, and every transaction one more for its COMMIT. The calls are those of the handlers, with
authentication; to keep the figures apart no relay and no retention run beside them.
"""

import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from models.access_token import AccessTokens
from models.db.database import Changed, Database, Row, Statement, Transaction, Unit, Value
from models.db.tables import credentials, phone_index
from models.ids import MAX_ID
from models.keys import new_secret, secret_digest
from models.paging import IdRange
from models.phone import phone_hash
from models.user import UserId
from services.authentication import Authentication, Caller
from services.history import Conversation, History
from services.sending import SentImage
from tests.services.town import Town, open_town
from tests.support.engines import SqliteEngine

T = TypeVar("T")

PAGE = IdRange(0, MAX_ID, 50)
MEMBERS = 5


class CountedTransaction(Transaction):
    """One whose statements are counted."""

    def __init__(self, tx: Transaction, count: Callable[[], None]) -> None:
        self._tx = tx
        self._count = count
        self.touched = tx.touched

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self._count()
        return await self._tx.read(statement, **params)

    async def execute(self, statement: Statement, **params: Value) -> Changed:
        self._count()
        return await self._tx.execute(statement, **params)


class CountedDatabase:
    """A database that counts the times it is waited for: `trips`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.shared = db.shared
        self.trips = 0

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self._count()
        return await self._db.read(statement, **params)

    async def write(self, unit: Unit[T]) -> T:
        async def counted(tx: Transaction) -> T:
            return await unit(CountedTransaction(tx, self._count))

        self._count()
        return await self._db.write(counted)

    def _count(self) -> None:
        self.trips += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class Requests:
    """What people ask for, as the handlers pass it on. Ann sends to Ben, and to a group in which Ben is."""

    def __init__(self, town: Town, counted: CountedDatabase) -> None:
        self._town, self._counted = town, counted
        self._authentication = Authentication(
            db=town.db,
            keys=town.keys,
            access_tokens=AccessTokens(town.keys),
            limits=town.limits,
            clock=town.clock,
        )
        self._history = History(db=town.db, clock=town.clock)
        self._ukeys: dict[UserId, str] = {}
        self._keys = 0

    async def prepare(self) -> None:
        self.ann, self.ben, *others = await self._town.newcomers(MEMBERS)
        await self._town.equip(self.ann, self.ben, *others)
        self.group = await self._town.group(self.ann, self.ben, *others)
        for uid in (self.ann, self.ben):
            await self._town.db.write(partial(self._let_in, uid))
            await self._caller(uid)

    async def _let_in(self, uid: UserId, tx: Transaction) -> None:
        digests = self._town.keys.phone_digests(_phone(uid))
        await phone_index.insert_digests(tx, uid=uid, digests=digests)
        self._ukeys[uid] = new_secret()
        await credentials.insert_ukey(tx, uid=uid, digest=secret_digest(self._ukeys[uid]), now=self._town.clock())

    async def _caller(self, uid: UserId) -> Caller:
        """As for an operation that asks whether the credential still stands by itself: known from a moment ago."""
        proof = self._ukeys[uid]
        caller = self._authentication.recall(proof) or await self._prove(uid)
        self._authentication.remember(proof, caller)
        self._town.callers[uid] = caller
        return caller

    async def _prove(self, uid: UserId) -> Caller:
        return await self._authentication.basic(_phone(uid), self._ukeys[uid], "127.0.0.1")

    def new_key(self) -> str:
        self._keys += 1
        return f"key {self._keys}"

    async def image(self, key: str | None = None, **addressee: Any) -> SentImage:
        await self._caller(self.ann)
        if key is not None:
            assert not await self._town.sending.find_earlier(self.ann, key)
        return await self._town.send(self.ann, key=key, **addressee)

    async def image_by_phone(self, key: str | None = None) -> SentImage:
        return await self.image(key, receiver_phone=_phone(self.ben))

    async def text(self, key: str | None = None, **addressee: Any) -> None:
        await self._caller(self.ann)
        await self._town.say(self.ann, key=key, **addressee)

    async def fetch(self, image: SentImage) -> None:
        caller = await self._caller(self.ben)
        reading = self._town.reading
        opened = await reading.open_image(await reading.find_image_for(caller, image.message_key))
        await reading.finish_image(opened, 60_000)
        reading.close_image(opened)

    async def fetch_oldest(self) -> None:
        caller = await self._prove(self.ben)
        reading = self._town.reading
        opened = await reading.open_image(await reading.find_oldest(caller, _phone(self.ann), _phone(self.ben)))
        await reading.finish_image(opened, 60_000)
        reading.close_image(opened)

    async def delete(self, uid: UserId, image: SentImage) -> None:
        await self._prove(uid)
        await self._town.reading.acknowledge(uid, image.message_key)

    async def status(self, image: SentImage) -> None:
        await self._prove(self.ann)
        await self._town.reading.status(self.ann, image.message_key)

    async def inbox(self) -> None:
        await self._town.reading.inbox(await self._caller(self.ben), PAGE)

    async def history(self, conversation: Conversation) -> None:
        await self._prove(self.ann)
        found = await self._history.find(self.ann, conversation, PAGE)
        await self._history.entries(self.ann, [each.message_id for each in found])

    async def trips(self, request: Awaitable[object]) -> int:
        before = self._counted.trips
        await request
        return self._counted.trips - before


def _phone(uid: UserId) -> str:
    return phone_hash(f"+86139{uid:08}")


async def measure(town: Town, counted: CountedDatabase) -> list[tuple[str, int]]:
    """What is asked for, and its round trips."""
    asked = Requests(town, counted)
    await asked.prepare()
    ann, ben, group = asked.ann, asked.ben, asked.group
    fetched, taken = await asked.image(receiver_uid=ben), await asked.image(receiver_uid=ben)
    shared, recalled = await asked.image(group_id=group), await asked.image(receiver_uid=ben)
    requests: list[tuple[str, Awaitable[object]]] = [
        ("send an image to a uid", asked.image(receiver_uid=ben)),
        ("… with an Idempotency-Key", asked.image(asked.new_key(), receiver_uid=ben)),
        ("send an image to a phone", asked.image_by_phone()),
        ("… with an Idempotency-Key", asked.image_by_phone(asked.new_key())),
        (f"send an image to a group of {MEMBERS}", asked.image(group_id=group)),
        ("… with an Idempotency-Key", asked.image(asked.new_key(), group_id=group)),
        ("send a text", asked.text(receiver_uid=ben)),
        ("… with an Idempotency-Key", asked.text(asked.new_key(), receiver_uid=ben)),
        (f"send a text to a group of {MEMBERS}", asked.text(group_id=group)),
        ("the inbox", asked.inbox()),
        ("fetch an image and consume it", asked.fetch(fetched)),
        ("fetch a group's image and consume it", asked.fetch(shared)),
        ("DELETE by the receiver", asked.delete(ben, taken)),
        ("DELETE by the sender", asked.delete(ann, recalled)),
        ("fetch the oldest image of a phone and consume it", asked.fetch_oldest()),
        ("the status of an image", asked.status(fetched)),
        ("a page of the history with a person", asked.history(Conversation(ben, None))),
        ("a page of a group's history", asked.history(Conversation(None, group))),
    ]
    return [(name, await asked.trips(request)) for name, request in requests]


async def run(folder: Path) -> list[tuple[str, int]]:
    async with open_town(SqliteEngine(folder / "glimpse.db"), folder) as town:
        counted = CountedDatabase(town.db)
        town.db, town.max_pending = counted, 100
        return await measure(town, counted)


@click.command()
def main() -> None:
    """Count and print."""
    with tempfile.TemporaryDirectory() as folder:
        for name, trips in uvloop.run(run(Path(folder))):
            click.echo(f"{trips:3}  {name}")


if __name__ == "__main__":
    main()
