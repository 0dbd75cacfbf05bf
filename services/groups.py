# SPDX-License-Identifier: Apache-2.0
"""Groups of people who send each other images.

Whoever is not in a group is told that there is none. Who changes a group pays for the events of those who are told, as
for messages; who comes in or asks somebody pays for the way out too, so that leaving is never refused.
"""

import asyncio
import secrets
import string
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import Any
from weakref import WeakValueDictionary

from models import rules
from models.db.database import Database, Transaction, write_retrying
from models.db.tables import group_members, groups, invitations, users
from models.errors import GroupTooLarge, InvalidField, NotFound, Unauthenticated
from models.group import Group, GroupId, JoinPolicy, Role
from models.ids import read_id
from models.paging import IdRange, Page, page_of
from models.user import UserId
from services import membership
from services.fields import raise_if_any, read_name, read_one_of, unknown
from services.limits import Limits
from services.membership import MAX_MEMBERS

ROOM_LETTERS = string.ascii_letters + string.digits
ROOM_CHARACTERS = 8
"""Of 62 letters and digits: 2.2e14 rooms, and guesses are limited by the rate class `group`."""
POLICIES = tuple(policy.value for policy in JoinPolicy)
ROLES = (Role.ADMIN.value, Role.MEMBER.value)
MEMBER, INVITED = STATES = ("member", "invited")
"""How a person may stand with the groups that they ask for."""


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group that somebody wants to begin with these other people."""

    name: str
    join: JoinPolicy
    others: frozenset[int]


@dataclass(frozen=True, slots=True)
class GroupChanges:
    """What somebody wants to change about a group; None where it stays as it is."""

    name: str | None
    join: JoinPolicy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """What people do with groups. `clock` gives milliseconds; `wake_retention` is called when images may have ended."""

    db: Database
    limits: Limits
    policy: rules.SendPolicy
    wake_retention: Callable[[], None]
    clock: Callable[[], int]
    _turns: WeakValueDictionary[UserId, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """A group that hundreds are asked into takes the database 10 ms: of one account, one at a time is begun, so that
    everybody else's writes come between two.
    """

    async def create(self, uid: UserId, wanted: NewGroup, *, shared_history: bool = False) -> Group:
        """A group that the caller owns, and into which the others are asked.

        With `shared_history`, rooms show newcomers what was said before them. Raises InvalidField when somebody named
        is unknown or disabled, or no friend where that is required; RateLimited.
        """
        self._charge(uid, len(wanted.others))

        async def unit(tx: Transaction) -> Group:
            now = self.clock()
            others = await self._invitable(tx, uid, wanted.others)
            if len(others) < len(wanted.others):
                raise InvalidField(fields=[("members", "somebody among them cannot be invited")])
            room_gid = new_room_gid()
            group_id = await groups.insert_group(
                tx, room_gid=room_gid, name=wanted.name, join=wanted.join, shared_history=shared_history, now=now
            )
            await group_members.insert_members(tx, group_id, [uid], role=Role.OWNER, now=now)
            await membership.tell(tx, [uid], group_id, "created", now=now, by=uid)
            if others:
                await membership.invite(tx, group_id, others, Role.MEMBER, by=uid, now=now)
            return Group(group_id, room_gid, wanted.name, wanted.join, now)

        # One account's one after the other, so that the messages of others come between.
        async with self._turns.setdefault(uid, asyncio.Lock()):
            return await write_retrying(self.db, unit)

    async def list_groups(self, uid: UserId, state: str, wanted: IdRange) -> Page[dict[str, Any]]:
        """The groups that the caller is in, or `invited` into, oldest first. Raises InvalidField."""
        if state not in STATES:
            raise InvalidField(fields=[("state", " or ".join(STATES))])
        table = invitations if state == INVITED else groups
        found = await table.list_of_person(
            self.db, uid, after=wanted.after, before=wanted.before, limit=wanted.limit + 1
        )
        items = [{**_shown(each.group), "role": each.role.value, "member_count": each.member_count} for each in found]
        return page_of(items, wanted.limit, itemgetter("group_id"))

    async def get(self, uid: UserId, group_id: int) -> dict[str, Any]:
        """A group and everybody in it. Raises NotFound."""
        group = await groups.find(self.db, group_id)
        members = await group_members.list_members(self.db, group_id)
        if group is None or all(member.uid != uid for member in members):
            raise NotFound
        people = [
            {
                "uid": member.uid,
                "nickname": member.nickname,
                "role": member.role.value,
                "joined_at": member.joined_at,
            }
            for member in members
        ]
        invited = [
            {**asdict(each), "role": each.role.value} for each in await invitations.list_invited(self.db, group_id)
        ]
        return {**_shown(group), "members": people, "invited": invited}

    async def update(self, uid: UserId, group_id: int, changes: GroupChanges) -> dict[str, Any]:
        """Change what is named and leave the rest; the group as it is then. Raises NotFound, Forbidden, RateLimited."""

        async def unit(tx: Transaction) -> None:
            group, role = await _enter(tx, group_id, uid)
            rules.check_may_manage(role)
            changed = (changes.name or group.name, changes.join or group.join)
            if changed != (group.name, group.join):
                everybody = await group_members.list_uids(tx, group_id)
                self._charge(uid, len(everybody))
                await groups.update_group(tx, group.group_id, name=changed[0], join=changed[1])
                await membership.tell(tx, everybody, group.group_id, "updated", now=self.clock(), by=uid)

        await self.db.write(unit)
        return await self.get(uid, group_id)

    async def delete(self, uid: UserId, group_id: int) -> None:
        """End a group for everybody in it. Raises NotFound, Forbidden."""

        async def unit(tx: Transaction) -> bool:
            group, role = await _enter(tx, group_id, uid)
            rules.check_may_manage(role, admins_too=False)
            return await membership.end_some(tx, group.group_id, uid, now=self.clock())

        while not await self.db.write(unit):
            self.wake_retention()
        self.wake_retention()

    async def put_member(self, uid: UserId, group_id: int, other: int, role: Role | None) -> None:
        """Ask somebody into the group, give a member or somebody who was asked another role; or come in oneself.

        Without a role a member stays as they are, and new people are asked as plain members. Raises Forbidden,
        GroupTooLarge, RateLimited; NotFound also for somebody who cannot be asked.
        """

        async def unit(tx: Transaction) -> None:
            if other == uid and await self._accept(tx, uid, group_id):
                return
            group, actor = await _enter(tx, group_id, uid)
            before = await group_members.find_role(tx, group_id, other)
            if before is None:
                await self._ask(tx, group.group_id, other, uid=uid, actor=actor, role=role)
                return
            if other == uid and role is None:
                return  # they have come in before
            after = role or before
            rules.check_may_set_role(actor, before, after)
            if before is not after:
                self._charge(uid, 1 + await group_members.count_others(tx, group_id, uid))
                await membership.set_role(tx, group.group_id, UserId(other), after, by=uid, now=self.clock())

        await self.db.write(unit)

    async def remove_member(self, uid: UserId, group_id: int, other: int) -> None:
        """Put a member out, or leave; end an invitation, or decline it. Raises NotFound, Forbidden."""

        async def unit(tx: Transaction) -> None:
            if other == uid and await self._decline(tx, uid, group_id):
                return
            group, actor = await _enter(tx, group_id, uid)
            if other != uid:
                rules.check_may_manage(actor)
                target = await group_members.find_role(tx, group_id, other)
                if target is None:
                    if not await membership.uninvite(tx, group.group_id, UserId(other), by=uid, now=self.clock()):
                        raise NotFound
                    return
                rules.check_may_remove(actor, target)
            await membership.remove(tx, group.group_id, UserId(other), by=uid, now=self.clock())

        await self.db.write(unit)
        self.wake_retention()

    async def join(self, uid: UserId, room_gid: str) -> dict[str, Any]:
        """Come into an open group by its room_gid; the group as it is then. Members may repeat it.

        Raises GroupTooLarge, RateLimited; NotFound for no such group and for one that is not open.
        """

        async def unit(tx: Transaction) -> GroupId:
            group = await groups.lock_by_room(tx, room_gid)
            if group is None:
                raise NotFound
            members = await group_members.list_uids(tx, group.group_id)
            if uid not in members:
                if group.join is not JoinPolicy.OPEN:
                    raise NotFound
                role = await invitations.find_role(tx, group.group_id, uid)
                if role is None:
                    await membership.check_room(tx, group.group_id, members)
                self._charge(uid, 2 * len(members))
                await membership.add(tx, group.group_id, members, uid, role or Role.MEMBER, now=self.clock())
            return group.group_id

        return await self.get(uid, await self.db.write(unit))

    def _charge(self, uid: UserId, told: int) -> None:
        """Count so many who are told of a change against who causes it. Raises RateLimited."""
        self.limits.charge("delivery", uid, membership.deliveries(told))

    async def _accept(self, tx: Transaction, uid: UserId, group_id: int) -> bool:
        """Come into a group that one has been asked into; False for who has not been, as far as they may know."""
        group = await groups.lock(tx, group_id)
        role = await invitations.find_seen_role(tx, group_id, uid) if group else None
        if group is None or role is None:
            return False
        members = await group_members.list_uids(tx, group_id)
        self._charge(uid, 2 * len(members))
        await membership.add(tx, group.group_id, members, uid, role, now=self.clock())
        return True

    async def _decline(self, tx: Transaction, uid: UserId, group_id: int) -> bool:
        group = await groups.lock(tx, group_id)
        if group is None or await invitations.find_seen_role(tx, group_id, uid) is None:
            return False
        return await membership.uninvite(tx, group.group_id, uid, by=uid, now=self.clock())

    async def _ask(
        self, tx: Transaction, group_id: GroupId, other: int, *, uid: UserId, actor: Role, role: Role | None
    ) -> None:
        before = await invitations.find_role(tx, group_id, other)
        after = role or before or Role.MEMBER
        rules.check_may_set_role(actor, before, after)
        if before is None:
            members = await group_members.list_uids(tx, group_id)
            if not await self._invitable(tx, uid, [other], members):
                raise NotFound
            await membership.check_room(tx, group_id, members)
            self._charge(uid, 1 + 2 * len(members))
            await membership.invite(tx, group_id, [UserId(other)], after, by=uid, now=self.clock(), members=members)
        elif before is not after:
            await invitations.set_role(tx, group_id, UserId(other), after)

    async def _invitable(
        self, tx: Transaction, uid: UserId, others: Collection[int], members: Collection[UserId] = ()
    ) -> list[UserId]:
        """Those of these people whom the caller may ask into a group. They, and all who will be told, are locked.

        Raises Unauthenticated for a caller whose account has been erased meanwhile.
        """
        people = await users.lock_recipients(tx, {uid, *others, *members}, uid)
        if uid not in people:
            raise Unauthenticated
        found = [people[UserId(other)] for other in others if other in people]
        return [person.uid for person in found if rules.can_be_invited(person, self.policy)]


def new_room_gid() -> str:
    """47 random bits."""
    return "".join(secrets.choice(ROOM_LETTERS) for _ in range(ROOM_CHARACTERS))


def read_new_group(fields: Mapping[str, Any], uid: UserId) -> NewGroup:
    """Raises InvalidField with every field that is wrong, and GroupTooLarge."""
    problems = unknown(fields, ("name", "members", "join"))
    name = read_name("name", fields.get("name"), problems)
    join = read_one_of("join", fields.get("join"), POLICIES, JoinPolicy.INVITE.value, problems)
    named = fields.get("members", [])
    others = [read_id(member) for member in named] if isinstance(named, list) else [None]
    if None in others:
        problems.append(("members", "must be a list of positive integers"))
    raise_if_any(problems)
    wanted = frozenset(other for other in others if other is not None) - {uid}
    if len(wanted) >= MAX_MEMBERS:
        raise GroupTooLarge(fields=[("members", f"at most {MAX_MEMBERS - 1} beside the owner")])
    return NewGroup(name, JoinPolicy(join), wanted)


def read_changes(fields: Mapping[str, Any]) -> GroupChanges:
    """Raises InvalidField with every field that is wrong."""
    problems = unknown(fields, ("name", "join"))
    name = None if fields.get("name") is None else read_name("name", fields["name"], problems)
    join = read_one_of("join", fields.get("join"), POLICIES, "", problems)
    raise_if_any(problems)
    return GroupChanges(name, JoinPolicy(join) if join else None)


def read_role(fields: Mapping[str, Any]) -> Role | None:
    """The role to give, if one is named. Raises InvalidField."""
    problems = unknown(fields, ("role",))
    role = read_one_of("role", fields.get("role"), ROLES, "", problems)
    raise_if_any(problems)
    return Role(role) if role else None


def read_room_gid(fields: Mapping[str, Any]) -> str:
    """Raises InvalidField."""
    problems = unknown(fields, ("room_gid",))
    room_gid = fields.get("room_gid")
    if not isinstance(room_gid, str):
        problems.append(("room_gid", f"must be {ROOM_CHARACTERS} letters and digits"))
    raise_if_any(problems)
    return str(room_gid)


async def _enter(tx: Transaction, group_id: int, uid: UserId) -> tuple[Group, Role]:
    """The group, locked, and what the caller is in it. Raises NotFound."""
    group = await groups.lock(tx, group_id)
    role = await group_members.find_role(tx, group_id, uid) if group else None
    if group is None or role is None:
        raise NotFound
    return group, role


def _shown(group: Group) -> dict[str, Any]:
    return {
        "group_id": group.group_id,
        "room_gid": group.room_gid,
        "name": group.name,
        "join": group.join.value,
        "created_at": group.created_at,
    }
