# SPDX-License-Identifier: Apache-2.0
"""What became of a device's pushes: the `outbox` table as the device's owner may see it."""

from dataclasses import dataclass

from sqlalchemy import bindparam, exists, select

from models.db.database import Reader, Statement
from models.db.schema import deliveries, devices, outbox
from models.db.tables.messages import IS_HIDDEN
from models.user import UserId


@dataclass(frozen=True, slots=True)
class PastPush:
    """One notification and how far it has come. `message_id` is null where it tells of no message. Times are in ms."""

    message_id: int | None
    kind: str
    state: str
    reason: str
    attempts: int
    created_at: int
    settled_at: int | None


_LATEST = Statement(
    select(
        outbox.c.message_id,
        outbox.c.kind,
        outbox.c.state,
        outbox.c.reason,
        outbox.c.attempts,
        outbox.c.created_at,
        outbox.c.settled_at,
    )
    .select_from(outbox.join(devices, devices.c.device_id == outbox.c.device_id))
    .where(
        outbox.c.device_id == bindparam("device"),
        devices.c.uid == bindparam("person"),
        ~exists().where(
            deliveries.c.message_id == outbox.c.message_id, deliveries.c.receiver_uid == bindparam("person"), IS_HIDDEN
        ),
    )
    .order_by(outbox.c.outbox_id.desc())
    .limit(bindparam("at_most"))
)


async def list_latest(reader: Reader, *, uid: UserId, device_id: int, limit: int) -> list[PastPush]:
    """The latest notifications of this device of the person, newest first, though the device may have ended."""
    return [PastPush(*row) for row in await reader.read(_LATEST, person=uid, device=device_id, at_most=limit)]
