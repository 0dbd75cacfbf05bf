# SPDX-License-Identifier: Apache-2.0
"""What an operator does on the page, by the functions that `python -m ops` goes by; each act is on record."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from models.db.database import Database
from models.db.tables import outbox_summary, users
from models.db.tables.audit import Act
from models.db.tables.outbox import State
from models.db.tables.outbox_summary import OutboxRow, Wanted
from models.db.tables.reports import Report
from models.errors import InvalidField, NotFound
from models.keys import KeyRing
from models.version import VERSION
from push.lane import Outage
from services import operating, reports
from services.accounts.account_deletion import AccountDeletion
from services.accounts.export import Export
from services.audit import list_acts
from services.health import Health
from services.operating import About
from services.reports import ShownReport
from storage.base import Blob, BlobStore

PAGE = "page"
"""Who did it, in the record of what is done on the page: whoever has its token."""
MAX_IDS = 1000
"""Notifications that one request may name."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One provider's app: its breaker's state, what waits there and what was given up. Times are in milliseconds.

    The state is None where this process has no such provider; `outage` says why it is not closed. `paused_until` is
    when the provider may be asked again that has asked for a pause.
    """

    provider: str
    app: str
    breaker: str | None
    outage: Outage | None
    paused_until: int | None
    due: int
    oldest_at: int | None
    dead: int


@dataclass(frozen=True, slots=True)
class Overview:
    """How a server is. `failing` names its parts that do not work; `disks` gives what is free, in bytes."""

    version: str
    now: int
    accounts: int
    disabled: int
    failing: list[str]
    disks: dict[str, int]
    stored_bytes: int
    lanes: list[Lane]


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class OperatorPage:
    """The use cases of the page. `breakers` gives each one's state by provider and app, `clock` milliseconds.

    `outages` says of those that are not closed why, `pauses` for how many seconds more each provider has asked to be
    left alone.
    """

    db: Database
    store: BlobStore
    keys: KeyRing
    account_deletion: AccountDeletion
    export: Export
    health: Health
    breakers: Callable[[], Mapping[tuple[str, str], str]]
    outages: Callable[[], Mapping[tuple[str, str], Outage]]
    pauses: Callable[[], Mapping[tuple[str, str], float]]
    wake_relay: Callable[[], None]
    give_up_ms: int
    clock: Callable[[], int]

    async def overview(self) -> Overview:
        """Raises DatabaseError."""
        accounts, disabled = await users.count(self.db)
        return Overview(
            version=VERSION,
            now=self.clock(),
            accounts=accounts,
            disabled=disabled,
            failing=await self.health.failing(),
            disks={name: floor.free() for name, floor in self.health.floors.items()},
            stored_bytes=self.store.stored_bytes,
            lanes=await self._lanes(),
        )

    async def _lanes(self) -> list[Lane]:
        breakers, outages = self.breakers(), self.outages()
        pauses = {lane: self.clock() + int(1000 * seconds) for lane, seconds in self.pauses().items() if seconds}
        found = {(each.provider, each.app, each.state): each for each in await outbox_summary.list_summaries(self.db)}
        lanes = []
        for provider, app in sorted({*breakers, *((name, app) for name, app, _ in found)}):
            due, dead = found.get((provider, app, State.DUE.value)), found.get((provider, app, State.DEAD.value))
            lanes.append(
                Lane(
                    provider,
                    app,
                    breakers.get((provider, app)),
                    outages.get((provider, app)),
                    pauses.get((provider, app)),
                    due.count if due else 0,
                    due.oldest_at if due else None,
                    dead.count if dead else 0,
                )
            )
        return lanes

    # -- people --

    async def find_people(self, what: str, *, before: int, limit: int) -> list[About]:
        """Whoever has this uid, number, phone hash or part of a nickname; everybody for no text."""
        if not what:
            return await operating.list_people(self.db, before=before, limit=limit)
        return await operating.search(self.db, what, keys=lambda _: self.keys, before=before, limit=limit)

    async def describe(self, uid: int) -> About:
        """Raises NotFound."""
        return await operating.describe(self.db, uid)

    async def set_disabled(self, uid: int, *, disabled: bool) -> bool:
        """Shut a person out, or let them in again; False when it was so already. Raises NotFound."""
        return await operating.set_disabled(self.db, uid, disabled=disabled, operator=PAGE, now=self.clock())

    async def what_would_go(self, uid: int) -> dict[str, int]:
        """How many rows the end of an account would erase, by table and column. Raises NotFound."""
        return await self.account_deletion.dry_run(uid)

    async def delete(self, uid: int) -> None:
        """End an account for good. Raises NotFound."""
        await users.get(self.db, uid)
        await operating.delete_person(self.db, self.account_deletion, uid, operator=PAGE, now=self.clock())

    def export_of(self, uid: int) -> AsyncIterator[str]:
        """All that is kept about a person, as text in pieces. Raises NotFound before the first."""
        return operating.export_person(self.db, self.export, uid, operator=PAGE, now=self.clock())

    # -- reports --

    async def list_reports(self, *, only_open: bool, before: int, limit: int) -> list[Report]:
        return await reports.list_reports(self.db, only_open=only_open, before=before, limit=limit)

    async def show_report(self, report_id: int) -> ShownReport:
        """Raises NotFound."""
        return await reports.show_report(self.db, report_id)

    async def open_picture(self, report_id: int) -> tuple[Blob, str]:
        """A report's picture, on record, and its filetype. Raises NotFound where there is none."""
        picture = (await reports.show_report(self.db, report_id)).picture
        blob = await self.store.open(picture.picture_key) if picture else None
        if picture is None or blob is None:
            raise NotFound
        await reports.record_sight(self.db, report_id, operator=PAGE, now=self.clock())
        return blob, picture.filetype

    async def resolve(self, report_id: int, note: str) -> bool:
        """Say what became of a report; False when that was said already. Raises NotFound, InvalidField."""
        return await reports.resolve_report(self.db, report_id, note=note, operator=PAGE, now=self.clock())

    # -- notifications --

    async def list_outbox(
        self, state: str | None, provider: str | None, app: str | None, *, before: int, limit: int
    ) -> list[OutboxRow]:
        """Notifications, the newest first; None takes any. Raises InvalidField for a state that there is not."""
        if state is not None and state not in set(State):
            raise InvalidField(fields=[("state", " | ".join(State))])
        wanted = Wanted(State(state) if state else None, provider, app)
        return await outbox_summary.list_some(self.db, wanted, before=before, limit=limit)

    async def retry(self, ids: list[int]) -> int:
        """Send again what was given up; how many were. Raises InvalidField for too many."""
        done = await operating.retry_pushes(
            self.db, _bounded(ids), operator=PAGE, now=self.clock(), give_up_ms=self.give_up_ms
        )
        self.wake_relay()
        return done

    async def retry_all(self, provider: str, app: str) -> int:
        """Send again all that was given up of one provider's app; how many."""
        ids = await operating.list_pushes(self.db, Wanted(State.DEAD, provider, app))
        done = await operating.retry_pushes(self.db, ids, operator=PAGE, now=self.clock(), give_up_ms=self.give_up_ms)
        self.wake_relay()
        return done

    async def drop(self, ids: list[int]) -> int:
        """End notifications unsent; how many waited. Raises InvalidField for too many."""
        return await operating.drop_pushes(self.db, _bounded(ids), operator=PAGE, now=self.clock())

    # -- the record --

    async def list_acts(self, *, before: int, limit: int) -> list[Act]:
        return await list_acts(self.db, before=before, limit=limit)


def _bounded(ids: list[int]) -> list[int]:
    if len(ids) > MAX_IDS:
        raise InvalidField(fields=[("ids", f"at most {MAX_IDS}")])
    return ids
