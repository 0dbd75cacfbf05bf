# SPDX-License-Identifier: Apache-2.0
"""What people do with groups, over HTTP, and what the server's own files say of it."""

from typing import Any
from uuid import uuid4

import httpx

from tests.support.harness import Person, Server
from tests.support.rows import insert


def begin(owner: Person, *others: Person, join: str = "invite", name: str = "Climbing") -> int:
    """A group that all of these people are in; its id."""
    return owner.begin_group(*others, join=join, name=name)


def invite(owner: Person, *others: Person, join: str = "invite", name: str = "Climbing") -> int:
    """A group that these others are asked into; its id."""
    members = [other.uid for other in others]
    reply = owner.request("POST", "/v1/groups", json={"name": name, "members": members, "join": join})
    assert reply.status_code == 201, reply.text
    group_id: int = reply.json()["group_id"]
    return group_id


def accept(invited: Person, group_id: int) -> None:
    assert put(invited, group_id, invited).status_code == 204


def add(person: Person, group_id: int, other: Person, role: str | None = None) -> None:
    """Ask somebody into the group, who comes."""
    assert put(person, group_id, other, role).status_code == 204
    accept(other, group_id)


def invited(person: Person, group_id: int) -> dict[int, str]:
    """Who is asked into the group, as this member sees it."""
    group = person.request("GET", f"/v1/groups/{group_id}").json()
    return {each["uid"]: each["role"] for each in group["invited"]}


def roles(person: Person, group_id: int) -> dict[int, str]:
    """Who is in the group, as this member sees it."""
    group = person.request("GET", f"/v1/groups/{group_id}").json()
    return {member["uid"]: member["role"] for member in group["members"]}


def put(person: Person, group_id: int, other: Person, role: str | None = None) -> httpx.Response:
    body = {} if role is None else {"role": role}
    return person.request("PUT", f"/v1/groups/{group_id}/members/{other.uid}", json=body)


def remove(person: Person, group_id: int, other: Person) -> httpx.Response:
    return person.request("DELETE", f"/v1/groups/{group_id}/members/{other.uid}")


def join(person: Person, room_gid: object) -> httpx.Response:
    return person.request("POST", "/v1/groups/join", json={"room_gid": room_gid})


def room_of(person: Person, group_id: int) -> str:
    gid: str = person.request("GET", f"/v1/groups/{group_id}").json()["room_gid"]
    return gid


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def send(
    sender: Person, group_id: object, image: bytes, headers: dict[str, str] | None = None, **fields: str
) -> httpx.Response:
    """POST /v1/images to a group."""
    return sender.request(
        "POST",
        "/v1/images",
        data={"group_id": str(group_id), **fields},
        files={"img_file": ("x.jpg", image, "image/jpeg")},
        headers=headers,
    )


def sent(reply: httpx.Response) -> str:
    assert reply.status_code == 201, reply.text
    return reply.headers["Message-Key"]


def inbox(person: Person) -> list[str]:
    return [item["message_key"] for item in person.request("GET", "/v1/inbox").json()["items"]]


def states(sender: Person, message_key: str) -> dict[int, str]:
    """How each receiver stands with an image, as its sender sees it."""
    return {each["uid"]: each["state"] for each in sender.status(message_key)["receivers"]}


def events(person: Person, kind: str = "group_changed") -> list[dict[str, Any]]:
    """The data of this person's events of a kind, oldest first; their log must have no gap."""
    page: dict[str, Any] = {"items": [None], "next": 0}
    found: list[dict[str, Any]] = []
    while page["items"]:
        page = person.request("GET", f"/v1/events?after={page['next']}&limit=200").json()
        found += page["items"]
    assert [event["id"] for event in found] == list(range(1, len(found) + 1))
    return [event["data"] for event in found if event["type"] == kind]


def ask(person: Person, question: str, *values: object) -> list[tuple[Any, ...]]:
    """What the server's database answers."""
    return person.server.database.rows(question, *values)


def counters(person: Person) -> tuple[int, int]:
    """What the counters of this person's inbox say."""
    [(count, size)] = ask(person, "SELECT pending_count, pending_bytes FROM users WHERE uid = ?", person.uid)
    return count, size


def alter(server: Server, statement: str, *values: object) -> None:
    """Write to the database beside the server: time that passes, operators, people who never call."""
    server.database.execute(statement, *values)


def let_in(server: Server, group_id: int) -> None:
    """Those who never call come into the group that they were asked into."""
    columns = "group_id, uid, role, invited_at, 0"
    asked = f"SELECT {columns} FROM invitations WHERE group_id = ?"
    alter(server, f"INSERT INTO group_members (group_id, uid, role, joined_at, joined_after) {asked}", group_id)
    alter(server, "DELETE FROM invitations WHERE group_id = ?", group_id)


def crowd(server: Server, count: int) -> list[int]:
    """The uids of people who have an account and never call."""
    nickname = uuid4().hex
    insert(server.database, "users", "nickname, phone_cipher, reg_time, seen_at", [(nickname, b"\0", 0, 0)] * count)
    return [uid for (uid,) in server.database.rows("SELECT uid FROM users WHERE nickname = ?", nickname)]
