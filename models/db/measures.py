# SPDX-License-Identifier: Apache-2.0
"""What a scrape of the metrics asks of the database. Each is an index's range, read in the bulk thread."""

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from models.db.database import Reader, Statement
from models.db.schema import messages, outbox


@dataclass(frozen=True, slots=True)
class Backlog:
    """Notifications that still are to go, and when the oldest was written, in milliseconds; None without any."""

    count: int
    oldest_at: int | None


_DUE = Statement(
    select(func.count(), func.min(outbox.c.outbox_id)).where(outbox.c.state == bindparam("state")), bulk=True
)
_WRITTEN = Statement(select(outbox.c.created_at).where(outbox.c.outbox_id == bindparam("row")))
_ENDED_BYTES = Statement(
    select(func.coalesce(func.sum(messages.c.size), 0)).where(messages.c.purge_at > bindparam("after")), bulk=True
)


async def outbox_backlog(reader: Reader) -> Backlog:
    """What of the outbox is neither delivered nor given up. Ids rise with time, so the lowest is the oldest."""
    [(count, lowest)] = await reader.read(_DUE, state="due")
    oldest = await reader.read(_WRITTEN, row=lowest) if count else []
    return Backlog(int(count), int(oldest[0][0]) if oldest else None)


async def ended_bytes(reader: Reader) -> int:
    """Bytes of images that are on the disk although nobody may begin to fetch them: those in their grace."""
    return int((await reader.read(_ENDED_BYTES, after=0))[0][0])
