# SPDX-License-Identifier: Apache-2.0
"""What a scrape of the metrics asks of the database. Each is an index's range, read in the bulk thread."""

from dataclasses import dataclass

from sqlalchemy import bindparam, func, literal, select

from models.db.database import Reader, Statement
from models.db.schema import messages, outbox


@dataclass(frozen=True, slots=True)
class Backlog:
    """Notifications of one provider's app that still are to go, and when the oldest was written, in milliseconds."""

    provider: str
    app: str
    count: int
    oldest_at: int


# Ids rise with time, so the lowest is the oldest.
_DUE_BY_LANE = (
    select(outbox.c.provider, outbox.c.app, func.count().label("due"), func.min(outbox.c.outbox_id).label("oldest_id"))
    .where(outbox.c.state == literal("due"))
    .group_by(outbox.c.provider, outbox.c.app)
    .subquery("lanes")
)
_DUE = Statement(
    select(_DUE_BY_LANE.c.provider, _DUE_BY_LANE.c.app, _DUE_BY_LANE.c.due, outbox.c.created_at).join(
        outbox, outbox.c.outbox_id == _DUE_BY_LANE.c.oldest_id
    ),
    bulk=True,
)
_ENDED_BYTES = Statement(
    select(func.coalesce(func.sum(messages.c.size), 0)).where(messages.c.purge_at > bindparam("after")), bulk=True
)


async def list_backlogs(reader: Reader) -> list[Backlog]:
    """What of the outbox is neither delivered nor given up, by provider and app."""
    return [Backlog(*row) for row in await reader.read(_DUE)]


async def ended_bytes(reader: Reader) -> int:
    """Bytes of images that are on the disk although nobody may begin to fetch them: those in their grace."""
    return int((await reader.read(_ENDED_BYTES, after=0))[0][0])
