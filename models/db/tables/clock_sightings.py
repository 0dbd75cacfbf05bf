# SPDX-License-Identifier: Apache-2.0
"""Statements of `clock_sightings`, whose one row says when the wall clock was last seen to be right."""

from sqlalchemy import bindparam, insert, select, update

from models.clock import Sighting
from models.db.database import Reader, Statement, Transaction, UniqueViolation
from models.db.schema import clock_sightings

THE_ROW = 1
_IS_THE_ROW = clock_sightings.c.sighting_id == THE_ROW
_FIND = Statement(
    select(clock_sightings.c.wall, clock_sightings.c.boot, clock_sightings.c.since_boot).where(_IS_THE_ROW)
)
_SET = Statement(
    update(clock_sightings)
    .where(_IS_THE_ROW)
    .values(wall=bindparam("at"), boot=bindparam("of"), since_boot=bindparam("after"))
)
_INSERT = Statement(insert(clock_sightings))


async def find(reader: Reader) -> Sighting | None:
    """The last one; None before the first."""
    rows = await reader.read(_FIND)
    return Sighting(*rows[0]) if rows else None


async def record(tx: Transaction, sighting: Sighting) -> None:
    """Make this the last one."""
    if not (await tx.execute(_SET, at=sighting.wall, of=sighting.boot, after=sighting.since_boot)).count:
        try:
            await tx.execute(
                _INSERT,
                sighting_id=THE_ROW,
                wall=sighting.wall,
                boot=sighting.boot,
                since_boot=sighting.since_boot,
            )
        except UniqueViolation:  # another process was quicker, at the same moment
            return
