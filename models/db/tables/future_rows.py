# SPDX-License-Identifier: Apache-2.0
"""Rows made while a clock was ahead: they would outlive all others, and are brought back to what the time is."""

from collections.abc import Mapping

from sqlalchemy import Column, bindparam, or_, select, update

from models.db.database import Statement, Transaction
from models.db.schema import messages
from models.db.tables.expired_rows import ENDED_AT

ENDS_AT: Mapping[str, Column[int]] = {
    **{name: column for name, column in ENDED_AT.items() if name not in ("events", "budgets")},
    "files": messages.c.purge_at,
}
"""When what each of them holds is over, or was. An event goes with those of its person that are older."""
_UNTIL = bindparam("until", type_=messages.c.send_time.type)
_WITH_FILE_OR_WITHOUT = or_(messages.c.stored == 0, messages.c.stored == 1)


def _list(column: Column[int]) -> Statement:
    [key] = column.table.primary_key
    found = select(key).where(column > bindparam("beyond")).limit(bindparam("at_most"))
    # Two ranges of the index, which begins with whether there is a file.
    return Statement(found.where(_WITH_FILE_OR_WITHOUT) if column is messages.c.send_time else found)


def _set(column: Column[int]) -> Statement:
    [key] = column.table.primary_key
    return Statement(
        update(key.table).where(key == bindparam("this"), column > bindparam("beyond")).values({column.name: _UNTIL})
    )


_LIST = {name: _list(column) for name, column in ENDS_AT.items()}
_SET = {name: _set(column) for name, column in ENDS_AT.items() if name != "messages"}
# MySQL goes by what an assignment before it has set: the end comes first.
_SENT_NOW = Statement(
    update(messages)
    .where(messages.c.message_id == bindparam("this"), messages.c.send_time > bindparam("beyond"))
    .ordered_values(
        (messages.c.expires_at, messages.c.expires_at - messages.c.send_time + _UNTIL),
        (messages.c.send_time, _UNTIL),
    )
)


async def bring_back(tx: Transaction, *, table: str, beyond: int, until: int, limit: int) -> int:
    """Let what is over later than `beyond` in ENDS_AT be over at `until`, and messages be sent then; how many."""
    found = await tx.read(_LIST[table], beyond=beyond, at_most=limit)
    statement = _SENT_NOW if table == "messages" else _SET[table]
    return sum([(await tx.execute(statement, this=key, beyond=beyond, until=until)).count for (key,) in found])
