# SPDX-License-Identifier: Apache-2.0
"""Everybody's log of events, as it is followed.

A reader keeps nothing but a cursor. It is woken by commits and reads on from there, so that whoever reads slowly holds
up nobody and costs no memory.
"""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from models.db.database import Database, DatabaseError
from models.db.tables import events, history
from models.db.tables.events import Logged
from models.errors import CursorExpired, InvalidField, RateLimited, Unauthenticated, Unavailable
from models.event import Event
from models.message import MessageId
from models.paging import fitting
from models.shared_counters import SharedCounter
from models.user import UserId
from services.authentication import Authentication, Caller
from services.history import deleted, shown_as_event

BATCH = 100
"""Events that one reply or one turn of a stream holds at most."""
BATCH_BYTES = 64 * 1024
"""No more is rendered once so much is there: who is slow to take it must not cost much memory."""
READERS_PER_PERSON = 20
"""As many as devices (`services/devices.py`): one account must not take the readers of all."""
CONFIRM_SECONDS = 10.0
"""How long a stream may outlive the credential that opened it; each look is a read."""
BUSY_RETRY_SECONDS = 5
"""Streams end all the time."""
POLL_SECONDS = 1.0
"""How late an event is that another machine wrote: one read for all the readers here."""
FRESH_SECONDS = 0.1
"""How long after a commit what it added may be told as it was read then: a message can be deleted at any time."""
PEOPLE_PER_READ = 1000
"""In one list parameter: one statement must not hold up the event loop for long."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False, slots=True)
class Reader:
    """One way in which a person follows their log, from `cursor` on. End it with `close`."""

    owner: "Events"
    caller: Caller
    cursor: int
    closed: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    confirmed_at: float = field(default_factory=_loop_time)

    async def next(self, seconds: float, limit: int = BATCH) -> list[Event]:
        """The next events, none when there are none for so long or when the reader has been closed. Of large events
        fewer than `limit`, though more are there.

        Raises Unauthenticated within seconds of the credential's end, and CursorExpired when what comes next
        has been erased.
        """
        deadline = _loop_time() + seconds
        while True:
            self.woken.clear()
            await self.confirm()
            found = await self.owner.read(self, limit)
            left = deadline - _loop_time()
            if found or self.closed or left <= 0:
                return found
            try:
                async with asyncio.timeout(min(left, CONFIRM_SECONDS)):
                    await self.woken.wait()
            except TimeoutError:
                pass

    def close(self) -> None:
        """End what waits in `next`. May be called again."""
        if not self.closed:
            self.closed = True
            self.woken.set()
            self.owner.forget(self)

    async def confirm(self) -> None:
        """Raises Unauthenticated when the credential has ended; asks no more often than it needs to."""
        now = _loop_time()
        if now >= self.confirmed_at + CONFIRM_SECONDS:
            await self.owner.confirm(self.caller)
            self.confirmed_at = now


@dataclass(eq=False, slots=True)
class Round:
    """What commits have added to the logs of several readers, one event each: read and rendered once for all."""

    uids: set[int]
    ends_at: float
    found: dict[int, Event] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Events:
    """The readers of this process. `clock` gives milliseconds.

    `max_readers` bounds the readers of all people together, in all processes that share the counter `readers`;
    `tell_workers` is called, after each commit here, with the people whose logs have grown.
    """

    def __init__(
        self,
        *,
        db: Database,
        authentication: Authentication,
        max_readers: int,
        clock: Callable[[], int],
        readers: SharedCounter | None = None,
        tell_workers: Callable[[set[int]], None] | None = None,
    ) -> None:
        self._db = db
        self._authentication = authentication
        self._max_readers = max_readers
        self._clock = clock
        self._readers: defaultdict[int, set[Reader]] = defaultdict(set)
        self._newest: dict[int, int] = {}
        self._counter = readers or SharedCounter()
        self._tell_workers = tell_workers
        self._round = Round(set(), 0)
        self._stopped = self._lets_go = False
        db.tell(self._grown_by_commit)

    @property
    def readers(self) -> int:
        """How many follow their log in this process now."""
        return self._counter.own

    async def open(self, caller: Caller, after: int | None) -> Reader:
        """A reader behind the event `after`: None from now on, 0 from the oldest kept.

        Raises CursorExpired, InvalidField for an event that has not been, RateLimited, Unavailable.
        """
        if self._stopped or self._counter.total >= self._max_readers:
            raise Unavailable("Too many follow their events here.", retry_after=BUSY_RETRY_SECONDS)
        if len(self._readers.get(caller.uid, ())) >= READERS_PER_PERSON:
            raise RateLimited(f"One account has at most {READERS_PER_PERSON} at once.", retry_after=BUSY_RETRY_SECONDS)
        newest, oldest = await events.find_position(self._db, uid=caller.uid)
        reader = Reader(self, caller, _start(after, newest, oldest))
        self._readers[caller.uid].add(reader)
        self._newest.setdefault(caller.uid, newest)
        self._counter.add(1)
        if self._lets_go:
            reader.close()
        return reader

    async def read(self, reader: Reader, limit: int) -> list[Event]:
        """What comes next for this reader, whose cursor moves on. Raises CursorExpired."""
        newest = await self._read_for_all(reader.caller.uid)
        if newest is not None and newest.event_id == reader.cursor + 1:
            reader.cursor = newest.event_id
            return [newest]
        logged = await events.list_after(self._db, uid=reader.caller.uid, after=reader.cursor, limit=limit)
        if not logged:
            return []
        if logged[0].event_id != reader.cursor + 1:
            await self._check_nothing_erased(reader)
        wanted = fitting(logged, BATCH_BYTES, attrgetter("size"))
        found = await self._rendered(reader.caller.uid, wanted)
        reader.cursor = wanted[-1].event_id
        return found

    async def _read_for_all(self, uid: int) -> Event | None:
        """The newest event of a person to whom, and to others, a commit has just added one."""
        current = self._round
        if uid not in current.uids or _loop_time() > current.ends_at:
            return None
        async with current.lock:
            if current.found is None:
                current.found = await self._newest_of(current.uids)
        return current.found.get(uid)

    async def _newest_of(self, uids: Collection[int]) -> dict[int, Event]:
        """The newest event of each of these people, but of those whose event says something of their own."""
        newest = await events.newest_of_all(self._db, uids)
        ids = {each.message_id for each in newest.values() if each.message_id is not None}
        received = await history.list_received(self._db, uids=newest, message_ids=ids) if ids else {}
        said = {id_: (_text(shown_as_event(entry)), who) for id_, (entry, who) in received.items()}
        found = {}
        for uid, each in newest.items():
            data, who = (each.data, {uid}) if each.message_id is None else said.get(each.message_id, ("", set()))
            if uid in who:
                found[uid] = Event(each.event_id, each.type, each.at, data)
        return found

    async def _rendered(self, uid: UserId, logged: Sequence[Logged]) -> list[Event]:
        """What the log says, with what the messages say that it names."""
        ids = {each.message_id for each in logged if each.message_id is not None}
        entries = await history.list_entries(self._db, me=uid, message_ids=ids) if ids else []
        said = {entry.message.message_id: shown_as_event(entry) for entry in entries}
        return [Event(each.event_id, each.type, each.at, _data(each, said)) for each in logged]

    async def confirm(self, caller: Caller) -> None:
        """Raises Unauthenticated when what let the caller in has ended."""
        if caller.expires_at is not None and caller.expires_at <= self._clock():
            raise Unauthenticated
        await self._authentication.confirm(caller)

    def wake(self, uids: Iterable[int]) -> None:
        """Say that these people's logs have grown. Called on the event loop's thread; never waits."""
        for uid in uids:
            for reader in self._readers.get(uid, ()):
                reader.woken.set()

    def forget(self, reader: Reader) -> None:
        """The reader has ended."""
        of_person = self._readers[reader.caller.uid]
        of_person.discard(reader)
        self._counter.add(-1)
        if not of_person:
            del self._readers[reader.caller.uid], self._newest[reader.caller.uid]

    async def follow_elsewhere(self) -> None:
        """Wake readers whose logs have grown by commits of which nobody tells here, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._db.shared:
                with suppress(DatabaseError):  # whoever asks next is told
                    await self.look_elsewhere()

    async def look_elsewhere(self) -> None:
        """Ask once how far the logs are that are followed here, and wake those who are behind. Raises DatabaseError."""
        uids = list(self._readers)
        for start in range(0, len(uids), PEOPLE_PER_READ):
            found = await events.list_newest(self._db, uids[start : start + PEOPLE_PER_READ])
            for uid, newest in found.items():
                if newest > self._newest.get(uid, newest):
                    self._newest[uid] = newest
                    self._wake_behind(uid, newest)

    def _grown_by_commit(self, uids: set[int]) -> None:
        self._begin_round(uids)
        self.wake(uids)
        if self._tell_workers is not None:
            self._tell_workers(uids)

    def _begin_round(self, uids: set[int]) -> None:
        """Have one read for all, where several wait for what was committed; what was read before it is old."""
        followed = {uid for uid in uids if uid in self._readers}
        shared = sum(len(self._readers[uid]) for uid in followed) > 1 and len(followed) <= PEOPLE_PER_READ
        self._round = Round(followed if shared else set(), _loop_time() + FRESH_SECONDS)

    def _wake_behind(self, uid: int, newest: int) -> None:
        for reader in self._readers.get(uid, ()):
            if reader.cursor < newest:
                reader.woken.set()

    async def _check_nothing_erased(self, reader: Reader) -> None:
        """Tell what was erased behind the cursor from ids that were skipped after a restore: what is erased are the
        oldest events, so none was while one up to the cursor is kept. Raises CursorExpired.
        """
        _, oldest = await events.find_position(self._db, uid=reader.caller.uid)
        if oldest is None or oldest > reader.cursor:
            raise CursorExpired

    def let_go(self, seconds: float) -> None:
        """End every reader at a random moment within so many seconds, and new ones with what there is: they are to
        come back to another process, and not all at once. Called on the event loop.
        """
        self._lets_go = True
        loop = asyncio.get_running_loop()
        for reader in self._all_readers():
            loop.call_later(random.uniform(0, seconds), reader.close)  # noqa: S311 - nobody gains by guessing it

    def stop(self) -> None:
        """End every reader and take no new one."""
        self._stopped = True
        for reader in self._all_readers():
            reader.close()

    def _all_readers(self) -> list[Reader]:
        return [reader for readers in self._readers.values() for reader in readers]


def _data(logged: Logged, said: Mapping[MessageId, dict[str, Any]]) -> str:
    message_id = logged.message_id
    if message_id is None:
        return logged.data
    return _text(said.get(message_id) or deleted(message_id))


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)


def _start(after: int | None, newest: int, oldest: int | None) -> int:
    if after is None:
        return newest
    if after > newest:
        raise InvalidField(fields=[("after", "an event that has been")])
    if after == 0:
        return newest if oldest is None else oldest - 1
    if after < (newest if oldest is None else oldest - 1):
        raise CursorExpired
    return after
