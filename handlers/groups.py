# SPDX-License-Identifier: Apache-2.0
"""Groups, as `operations/groups.yaml` describes them."""

from handlers import paging
from handlers.base import BaseHandler
from handlers.route import PERSON, Route
from models.errors import NotFound
from models.ids import parse_id
from services.groups import MEMBER, read_changes, read_new_group, read_role, read_room_gid


class GroupsHandler(BaseHandler):
    """POST and GET /v1/groups."""

    async def post(self) -> None:
        group = await self.services.groups.create(self.uid, read_new_group(self.fields(), self.uid))
        self.reply(201, {"group_id": group.group_id, "room_gid": group.room_gid})

    async def get(self) -> None:
        query = self.query("state", "after", "before", "limit")
        page = await self.services.groups.list_groups(self.uid, query.get("state", MEMBER), paging.cursor(query))
        self.reply(200, {"items": page.items, "next": page.next})


class GroupHandler(BaseHandler):
    """GET, PATCH and DELETE /v1/groups/{group_id}."""

    async def get(self, group_id: str) -> None:
        self.reply(200, await self.services.groups.get(self.uid, _id(group_id)))

    async def patch(self, group_id: str) -> None:
        self.reply(200, await self.services.groups.update(self.uid, _id(group_id), read_changes(self.fields())))

    async def delete(self, group_id: str) -> None:
        await self.services.groups.delete(self.uid, _id(group_id))
        self.reply(204)


class GroupMemberHandler(BaseHandler):
    """PUT and DELETE /v1/groups/{group_id}/members/{uid}."""

    async def put(self, group_id: str, uid: str) -> None:
        await self.services.groups.put_member(self.uid, _id(group_id), _id(uid), read_role(self.fields()))
        self.reply(204)

    async def delete(self, group_id: str, uid: str) -> None:
        await self.services.groups.remove_member(self.uid, _id(group_id), _id(uid))
        self.reply(204)


class GroupJoinHandler(BaseHandler):
    """POST /v1/groups/join."""

    async def post(self) -> None:
        self.reply(200, await self.services.groups.join(self.uid, read_room_gid(self.fields())))


def _id(text: str) -> int:
    """An id from a path. Raises NotFound."""
    number = parse_id(text)
    if number is None:
        raise NotFound
    return number


ROUTES = (
    Route("POST", "/v1/groups", GroupsHandler, PERSON, "group", "createGroup"),
    Route("GET", "/v1/groups", GroupsHandler, PERSON, "default", "listGroups"),
    Route("POST", "/v1/groups/join", GroupJoinHandler, PERSON, "group", "joinGroup"),
    Route("GET", "/v1/groups/{group_id}", GroupHandler, PERSON, "default", "getGroup"),
    Route("PATCH", "/v1/groups/{group_id}", GroupHandler, PERSON, "message", "patchGroup"),
    Route("DELETE", "/v1/groups/{group_id}", GroupHandler, PERSON, "default", "deleteGroup"),
    Route("PUT", "/v1/groups/{group_id}/members/{uid}", GroupMemberHandler, PERSON, "message", "putGroupMember"),
    Route("DELETE", "/v1/groups/{group_id}/members/{uid}", GroupMemberHandler, PERSON, "message", "deleteGroupMember"),
)
