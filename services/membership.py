# SPDX-License-Identifier: Apache-2.0
"""How people come into a group and go, and how all who are in it learn of that.

All but `leave_all` is part of a caller's transaction that has locked the group; who may do it is decided there.
"""

from collections.abc import Callable, Collection

from models import rules
from models.db.database import Database, Transaction
from models.db.tables import events, group_members, groups, invitations
from models.errors import GroupTooLarge
from models.group import GroupId, Role
from models.user import UserId
from services.expiry import release

MAX_MEMBERS = 256
"""An image or text to a group writes a row, a counter and pushes for each member in one transaction."""
INVITATION_DAYS = 30
"""An invitation that nobody has answered for so long ends."""
BATCH_RELEASES = 500
"""Images that wait for the members of a group which ends are released about this many to a transaction."""


async def tell(
    tx: Transaction, uids: Collection[UserId], group_id: GroupId, change: str, *, now: int, **more: object
) -> None:
    """The event `group_changed` to these people."""
    data = {"group_id": group_id, "change": change, **more}
    await events.append_for_all(tx, uids=uids, kind="group_changed", at=now, data=data)


async def check_room(tx: Transaction, group_id: GroupId, members: Collection[UserId]) -> None:
    """Whether one more may be asked, or come, beside these members. Raises GroupTooLarge."""
    if len(members) + await invitations.count(tx, group_id) >= MAX_MEMBERS:
        raise GroupTooLarge(fields=[("group_id", "the group is full")])


async def invite(
    tx: Transaction,
    group_id: GroupId,
    uids: Collection[UserId],
    role: Role,
    *,
    by: UserId,
    now: int,
    members: Collection[UserId] = (),
) -> None:
    """Ask these people, whom the caller has locked, into the group; they and its members are told, each of their part.

    Whoever blocks the one who asks learns nothing of it.
    """
    for uid in uids if members else ():
        await tell(tx, members, group_id, "member_invited", now=now, uid=uid, by=by, role=role.value)
    await invitations.insert_invitations(tx, group_id, uids, role=role, by=by, now=now)
    told = await invitations.list_seen(tx, group_id, uids)
    data = {"group_id": group_id, "by": by, "role": role.value}
    await events.append_for_all(tx, uids=told, kind="group_invited", at=now, data=data)


async def uninvite(tx: Transaction, group_id: GroupId, uid: UserId, *, by: UserId, now: int) -> bool:
    """One invitation fewer, declined or taken back. False when there was none."""
    if not await invitations.delete_one(tx, group_id, uid):
        return False
    members = await group_members.list_uids(tx, group_id)
    await tell(tx, members, group_id, "invitation_ended", now=now, uid=uid, by=by)
    return True


async def add(
    tx: Transaction, group_id: GroupId, members: Collection[UserId], uid: UserId, role: Role, *, now: int
) -> None:
    """One more, by their own will, beside these members."""
    await tell(tx, [*members, uid], group_id, "member_added", now=now, uid=uid, by=uid, role=role.value)
    await invitations.delete_one(tx, group_id, uid)
    await group_members.insert_members(tx, group_id, [uid], role=role, now=now)


async def remove(tx: Transaction, group_id: GroupId, uid: UserId, *, by: UserId, now: int) -> None:
    """One member fewer. What they have not fetched is released; ownership passes on; without anybody the group ends.

    `by` is the same person when they leave.
    """
    members = await group_members.list_members(tx, group_id)
    await events.lock_counters(tx, [member.uid for member in members])
    await release(tx, uid=uid, group_id=group_id, now=now)
    await group_members.delete_members(tx, group_id, [uid])
    await tell(tx, [member.uid for member in members], group_id, "member_removed", now=now, uid=uid, by=by)
    left = [member for member in members if member.uid != uid]
    heir = rules.heir(left)
    if heir is None:
        await _end(tx, group_id)
    elif all(member.role is not Role.OWNER for member in left):
        await set_role(tx, group_id, heir.uid, Role.OWNER, by=by, now=now)


async def set_role(tx: Transaction, group_id: GroupId, uid: UserId, role: Role, *, by: UserId, now: int) -> None:
    """Give a member of the group this role, and tell everybody in it."""
    await group_members.set_role(tx, group_id, uid, role)
    everybody = await group_members.list_uids(tx, group_id)
    await tell(tx, everybody, group_id, "role_changed", now=now, uid=uid, by=by, role=role.value)


async def end_some(tx: Transaction, group_id: GroupId, owner: UserId, *, now: int) -> bool:
    """Put out members of a group that ends, as many as one transaction may take; true when that was everybody.

    The owner goes last, with the group itself: cut off in between, the group is smaller and can be ended again.
    """
    members = await group_members.list_uids(tx, group_id)
    await events.lock_counters(tx, members)
    gone: list[UserId] = []
    released = 0
    for uid in sorted(members, key=lambda uid: (uid == owner, uid)):
        released += await release(tx, uid=uid, group_id=group_id, now=now)
        gone.append(uid)
        if released >= BATCH_RELEASES:
            break
    await group_members.delete_members(tx, group_id, gone)
    await tell(tx, gone, group_id, "deleted", now=now, by=owner)
    if len(gone) < len(members):
        return False
    await _end(tx, group_id)
    return True


async def leave_all(db: Database, uid: UserId, clock: Callable[[], int]) -> None:
    """Take this person out of every group, as if they had left each: for accounts that end. `clock` in milliseconds."""
    for group_id in await group_members.list_groups(db, uid):

        async def unit(tx: Transaction, group_id: GroupId = group_id) -> None:
            await groups.lock(tx, group_id)
            if await group_members.find_role(tx, group_id, uid) is not None:
                await remove(tx, group_id, uid, by=uid, now=clock())

        await db.write(unit)


async def _end(tx: Transaction, group_id: GroupId) -> None:
    await invitations.delete_all(tx, group_id)
    await groups.delete_group(tx, group_id)
