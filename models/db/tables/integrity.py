# SPDX-License-Identifier: Apache-2.0
"""Where the database contradicts itself: damage, counters that do not add up, pushes of no message. For operators."""

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, or_, select, text, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from models.db.database import InList, Reader, Row, Statement, Transaction, as_list
from models.db.schema import deliveries, messages, metadata, outbox, users
from models.db.tables.messages import IS_IMAGE
from models.db.tables.outbox import Kind
from models.message import DeliveryState

DAMAGES_LISTED = 20
"""One is enough to condemn a database; the rest is for whoever looks into it."""


def _of_pending(total: ColumnElement[int]) -> ColumnElement[int]:
    """A total over the images that wait for a person."""
    return (
        select(total)
        .select_from(deliveries)
        .join(messages, messages.c.message_id == deliveries.c.message_id)
        .where(deliveries.c.receiver_uid == users.c.uid, deliveries.c.state == DeliveryState.PENDING.value, IS_IMAGE)
        .correlate(users)
        .scalar_subquery()
    )


_COUNT = _of_pending(func.count())
_BYTES = _of_pending(func.coalesce(func.sum(messages.c.size), 0))


class _Check(ClauseElement):
    """What each engine calls a look at all tables, and at all indexes too unless it is `quick`."""

    inherit_cache = False

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick


@compiles(_Check, "sqlite")
def _check_sqlite(element: _Check, _compiler: SQLCompiler, **_kw: object) -> str:
    return f"PRAGMA {'quick' if element.quick else 'integrity'}_check({DAMAGES_LISTED})"


@compiles(_Check, "mysql")
def _check_mysql(element: _Check, _compiler: SQLCompiler, **_kw: object) -> str:
    tables = ", ".join(f"`{table.name}`" for table in metadata.sorted_tables)
    return f"CHECK TABLE {tables} {'QUICK' if element.quick else 'MEDIUM'}"


_INTEGRITY_CHECK = Statement(_Check(quick=False), bulk=True)
_QUICK_CHECK = Statement(_Check(quick=True), bulk=True)
_SQLITE_VERSION = Statement(text("SELECT sqlite_version()"))
_LIST_MISCOUNTED = Statement(
    select(users.c.uid)
    .where(users.c.uid > bindparam("after"), or_(users.c.pending_count != _COUNT, users.c.pending_bytes != _BYTES))
    .order_by(users.c.uid)
    .limit(bindparam("limit")),
    bulk=True,
)
_HOLD = Statement(
    select(users.c.uid).where(InList(users.c.uid, bindparam("ids"))).order_by(users.c.uid).with_for_update()
)
_RECOUNT = Statement(
    update(users).values(pending_count=_COUNT, pending_bytes=_BYTES).where(InList(users.c.uid, bindparam("ids")))
)
_LIST_PUSHES_OF_NOTHING = Statement(
    select(outbox.c.outbox_id)
    .where(
        outbox.c.outbox_id > bindparam("after"),
        outbox.c.kind == Kind.MESSAGE.value,
        ~exists().where(messages.c.message_id == outbox.c.message_id),
    )
    .order_by(outbox.c.outbox_id)
    .limit(bindparam("limit")),
    bulk=True,
)
_DELETE_PUSHES = Statement(delete(outbox).where(InList(outbox.c.outbox_id, bindparam("ids"))))


async def list_damages(reader: Reader) -> list[str]:
    """What the engine finds wrong with the database, at most 20 lines; empty when all is well.

    Source: https://www.sqlite.org/pragma.html#pragma_integrity_check,
    https://mariadb.com/docs/server/reference/sql-statements/table-statements/check-table
    """
    return _damages(await reader.read(_INTEGRITY_CHECK))


async def list_gross_damages(reader: Reader) -> list[str]:
    """As `list_damages`, but indexes are not held against their tables: a fraction of its time.

    Source: https://www.sqlite.org/pragma.html#pragma_quick_check
    """
    return _damages(await reader.read(_QUICK_CHECK))


async def sqlite_version(reader: Reader) -> tuple[int, ...]:
    """The version of SQLite that runs, as (major, minor, patch)."""
    [(version,)] = await reader.read(_SQLITE_VERSION)
    return tuple(int(part) for part in version.split("."))


def _damages(rows: list[Row]) -> list[str]:
    """SQLite's rows are one line each; MySQL's name the table first and end with what is said of it."""
    lines = [(row[0], row[-1]) for row in rows if str(row[-1]).lower() != "ok"]
    return [line if table == line else f"{table}: {line}" for table, line in lines][:DAMAGES_LISTED]


async def list_miscounted(reader: Reader, *, after: int, limit: int) -> list[int]:
    """People behind `after` whose inbox's counters are not what a recount of the same moment gives."""
    return [uid for (uid,) in await reader.read(_LIST_MISCOUNTED, after=after, limit=limit)]


async def recount(tx: Transaction, uids: list[int]) -> None:
    """Set the counters of these people's inboxes to what waits there."""
    # In a statement of its own: what whoever held them has committed is seen by the next one.
    await tx.read(_HOLD, ids=as_list(uids))
    await tx.execute(_RECOUNT, ids=as_list(uids))


async def list_pushes_of_nothing(reader: Reader, *, after: int, limit: int) -> list[int]:
    """Outbox rows behind `after` whose message is not there."""
    return [row for (row,) in await reader.read(_LIST_PUSHES_OF_NOTHING, after=after, limit=limit)]


async def delete_pushes(tx: Transaction, outbox_ids: list[int]) -> None:
    await tx.execute(_DELETE_PUSHES, ids=as_list(outbox_ids))
