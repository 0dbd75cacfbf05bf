# SPDX-License-Identifier: Apache-2.0
"""Groups as their members and others use them."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.process.groups.world import (
    accept,
    add,
    alter,
    ask,
    begin,
    code,
    crowd,
    events,
    invited,
    join,
    put,
    remove,
    roles,
    room_of,
)
from tests.support.harness import Person, Server

NOBODY = 10**15


@dataclass(frozen=True)
class Group:
    """A group with one person of every kind in it and around it."""

    group_id: int
    people: dict[str, Person]

    def of(self, who: str) -> Person:
        return self.people[who]


@pytest.fixture(scope="module")
def new_group(server: Server) -> Callable[[], Group]:
    """Makes groups of the same people: whoever is out of one is still in the next."""
    kinds = ("owner", "admin", "other admin", "member", "other member", "stranger", "ex-member")
    people = {kind: server.register(kind) for kind in kinds}

    def make() -> Group:
        group = Group(begin(*(people[kind] for kind in kinds if kind != "stranger")), people)
        for kind in ("admin", "other admin"):
            assert put(group.of("owner"), group.group_id, group.of(kind), "admin").status_code == 204
        assert remove(group.of("ex-member"), group.group_id, group.of("ex-member")).status_code == 204
        return group

    return make


# What each of owner, admin and member is answered; to all others the group is not there.
OPERATIONS: dict[str, tuple[Callable[[Person, Group], httpx.Response], tuple[int, int, int]]] = {
    "look": (lambda who, g: who.request("GET", f"/v1/groups/{g.group_id}"), (200, 200, 200)),
    "rename": (lambda who, g: who.request("PATCH", f"/v1/groups/{g.group_id}", json={"name": "x"}), (200, 200, 403)),
    "open": (lambda who, g: who.request("PATCH", f"/v1/groups/{g.group_id}", json={"join": "open"}), (200, 200, 403)),
    "end": (lambda who, g: who.request("DELETE", f"/v1/groups/{g.group_id}"), (204, 403, 403)),
    "add": (lambda who, g: put(who, g.group_id, g.of("stranger")), (204, 204, 403)),
    "add an admin": (lambda who, g: put(who, g.group_id, g.of("stranger"), "admin"), (204, 403, 403)),
    "promote": (lambda who, g: put(who, g.group_id, g.of("other member"), "admin"), (204, 403, 403)),
    "demote": (lambda who, g: put(who, g.group_id, g.of("other admin"), "member"), (204, 403, 403)),
    "demote the owner": (lambda who, g: put(who, g.group_id, g.of("owner"), "member"), (403, 403, 403)),
    "remove a member": (lambda who, g: remove(who, g.group_id, g.of("other member")), (204, 204, 403)),
    "remove an admin": (lambda who, g: remove(who, g.group_id, g.of("other admin")), (204, 403, 403)),
    "remove the owner": (lambda who, g: remove(who, g.group_id, g.of("owner")), (204, 403, 403)),
    "remove nobody": (lambda who, g: remove(who, g.group_id, g.of("ex-member")), (404, 404, 403)),
    "leave": (lambda who, g: remove(who, g.group_id, who), (204, 204, 204)),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_each_role_may_do(operation: str, new_group: Callable[[], Group]) -> None:
    act, expected = OPERATIONS[operation]
    group = new_group()
    nothing = Group(NOBODY, group.people)
    for who in ("stranger", "ex-member"):
        unknown, refused = act(group.of(who), nothing), act(group.of(who), group)
        assert code(refused) == (404, "not_found")
        assert {**refused.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    before = roles(group.of("owner"), group.group_id)
    for who, status in zip(("member", "admin", "owner"), reversed(expected), strict=True):
        reply = act(group.of(who), group)
        assert reply.status_code == status, f"{who}: {reply.text}"
        if status == 403:
            assert reply.json()["code"] == "forbidden"
            assert roles(group.of("owner"), group.group_id) == before
        elif who != "owner":
            group = new_group()
            before = roles(group.of("owner"), group.group_id)


def test_a_group_is_begun_looked_at_listed_and_changed(ann: Person, ben: Person, cat: Person) -> None:
    body = {"name": "  Climbing ", "members": [ben.uid, ben.uid, ann.uid]}
    made = ann.request("POST", "/v1/groups", json=body).json()
    assert re.fullmatch("[A-Za-z0-9]{8}", made["room_gid"])
    group_id = made["group_id"]
    accept(ben, group_id)
    seen = ben.request("GET", f"/v1/groups/{group_id}").json()
    assert (seen["name"], seen["join"], seen["room_gid"]) == ("Climbing", "invite", made["room_gid"])
    assert [(m["uid"], m["nickname"], m["role"]) for m in seen["members"]] == [
        (ann.uid, "Ann", "owner"),
        (ben.uid, "Ben", "member"),
    ]
    changed = ann.request("PATCH", f"/v1/groups/{group_id}", json={"name": "Bouldering"}).json()
    assert changed == {**seen, "name": "Bouldering"}
    assert ann.request("PATCH", f"/v1/groups/{group_id}", json={}).json() == changed
    others = [begin(ann), begin(cat, ann, ben), begin(ann, cat, join="open")]
    first = ann.request("GET", "/v1/groups", params={"limit": 3}).json()
    second = ann.request("GET", "/v1/groups", params={"limit": 3, "after": first["next"]}).json()
    assert second["next"] is None
    pages = [page["items"] for page in (first, second)]
    assert [[(i["group_id"], i["role"], i["member_count"], i["join"]) for i in page] for page in pages] == [
        [(group_id, "owner", 2, "invite"), (others[0], "owner", 1, "invite"), (others[1], "member", 3, "invite")],
        [(others[2], "owner", 2, "open")],
    ]
    assert [event["change"] for event in events(ben)] == ["member_added", "updated", "member_added"]
    assert [event["by"] for event in events(ben, "group_invited")] == [ann.uid, cat.uid]


BAD_NAMES: list[Any] = [None, "", " \t ", "x" * 65, "a\nb", 7, ["x"], "\u2028"]
BAD_MEMBERS: list[Any] = [[0], [-1], ["x"], [1.0], [True], [None], [[1]], [2**63], {}, "12", 7, None]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *(({"name": name}, "name") for name in BAD_NAMES),
        *(({"name": "x", "members": members}, "members") for members in BAD_MEMBERS),
        ({"name": "x", "members": [NOBODY]}, "members"),
        *(({"name": "x", "join": wrong}, "join") for wrong in ("closed", 1, ["open"])),
        ({"name": "x", "owner": 1}, "owner"),
    ],
)
def test_a_group_that_cannot_be_is_refused_by_field(body: dict[str, Any], field: str, server: Server) -> None:
    eve = server.register("Eve")
    reply = eve.request("POST", "/v1/groups", json=body)
    assert code(reply) == (422, "invalid_field")
    assert [error["field"] for error in reply.json()["errors"]] == [field]
    assert eve.request("GET", "/v1/groups").json()["items"] == []


def test_what_is_named_without_a_value_stays_as_it_is(ann: Person) -> None:
    group_id = ann.begin_group(name="Climbing", join="open")
    kept = ann.request("PATCH", f"/v1/groups/{group_id}", json={"name": None, "join": None}).json()
    assert (kept["name"], kept["join"]) == ("Climbing", "open")
    renamed = ann.request("PATCH", f"/v1/groups/{group_id}", json={"name": "Bouldering", "join": None}).json()
    assert renamed == {**kept, "name": "Bouldering"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "", {"name": ""}, 422),
        ("PATCH", "", {"join": "closed"}, 422),
        ("PATCH", "", {"room_gid": "12345678"}, 422),
        ("PUT", "/members/{me}", {"role": "owner"}, 422),
        ("PUT", "/members/{me}", {"role": 1}, 422),
        ("PUT", "/members/{me}", {"as": "admin"}, 422),
        ("PUT", "/members/0", {}, 404),
        ("PUT", "/members/-1", {}, 404),
        ("PUT", "/members/x", {}, 404),
        ("PUT", f"/members/{2**63}", {}, 404),
        ("PUT", f"/members/{NOBODY}", {}, 404),
        ("DELETE", f"/members/{NOBODY}", None, 404),
        ("DELETE", "/members/%00", None, 404),
    ],
)
def test_what_is_wrong_about_a_group_is_refused(
    method: str, path: str, body: dict[str, Any] | None, status: int, ann: Person
) -> None:
    group_id = begin(ann)
    before = ann.request("GET", f"/v1/groups/{group_id}").json()
    reply = ann.request(method, f"/v1/groups/{group_id}{path.format(me=ann.uid)}", json=body)
    assert reply.status_code == status, reply.text
    assert ann.request("GET", f"/v1/groups/{group_id}").json() == before


@pytest.mark.parametrize("group_id", ["0", "-1", "x", str(2**63), "1.0", "%2e%2e", "٣"])
def test_no_group_has_such_an_id(group_id: str, ann: Person) -> None:
    assert code(ann.request("GET", f"/v1/groups/{group_id}")) == (404, "not_found")


def test_who_cannot_be_asked_looks_like_nobody(server: Server, ann: Person, cat: Person) -> None:
    alter(server, "UPDATE users SET disabled_at = 1 WHERE uid = ?", cat.uid)
    group_id = begin(ann)
    told = []
    for uid in (NOBODY, cat.uid):
        refused = ann.request("POST", "/v1/groups", json={"name": "x", "members": [ann.uid, uid]})
        added = ann.request("PUT", f"/v1/groups/{group_id}/members/{uid}", json={})
        told.append([{**reply.json(), "request_id": ""} for reply in (refused, added)])
    assert told[0] == told[1]
    assert [problem["code"] for problem in told[0]] == ["invalid_field", "not_found"]
    assert [item["group_id"] for item in ann.request("GET", "/v1/groups").json()["items"]] == [group_id]
    assert roles(ann, group_id) == {ann.uid: "owner"}


def test_an_open_group_is_joined_by_its_room_gid(ann: Person, ben: Person, cat: Person) -> None:
    group_id = begin(ann, join="open")
    room = room_of(ann, group_id)
    for _ in range(2):
        joined = join(ben, room)
        assert joined.status_code == 200
        assert joined.json() == ben.request("GET", f"/v1/groups/{group_id}").json()
    assert [event["change"] for event in events(ann)] == ["created", "member_added"]
    ann.request("PATCH", f"/v1/groups/{group_id}", json={"join": "invite"})
    assert join(ben, room).status_code == 200, "who is in stays in"
    refusals = [join(cat, wrong).json() for wrong in (room, "00000000", room + " ", "", "x" * 5000, "\0")]
    assert {refusal["code"] for refusal in refusals} == {"not_found"}
    assert len({refusal["detail"] for refusal in refusals}) == 1
    for malformed in (7, None, [room]):
        assert code(join(cat, malformed)) == (422, "invalid_field")
    assert roles(ann, group_id) == {ann.uid: "owner", ben.uid: "member"}


def test_a_group_has_at_most_256_members_whoever_comes_at_once(server: Server, ann: Person) -> None:
    uids = crowd(server, 256)
    refused = ann.request("POST", "/v1/groups", json={"name": "x", "members": uids})
    assert code(refused) == (422, "group_too_large")
    made = ann.request("POST", "/v1/groups", json={"name": "x", "members": uids[:249], "join": "open"})
    group_id = made.json()["group_id"]
    callers = [server.register() for _ in range(6)]
    added = [server.register() for _ in range(6)]
    room = made.json()["room_gid"]
    with ThreadPoolExecutor(12) as pool:
        joins = [pool.submit(join, caller, room) for caller in callers]
        puts = [pool.submit(put, ann, group_id, other) for other in added]
        codes = [each.result() for each in (*joins, *puts)]
    refusals = [reply for reply in codes if reply.status_code == 422]
    assert len(refusals) == 6
    assert {reply.json()["code"] for reply in refusals} == {"group_too_large"}
    members = {**roles(ann, group_id), **invited(ann, group_id)}
    assert len(members) == 256
    inside = [each for each in (*callers, *added) if each.uid in members]
    outside = [each for each in (*callers, *added) if each.uid not in members]
    assert code(put(ann, group_id, outside[0])) == (422, "group_too_large")
    assert remove(ann, group_id, inside[0]).status_code == 204
    assert join(outside[0], room).status_code == 200


def test_ownership_passes_on_until_nobody_is_left(ann: Person, ben: Person, cat: Person, dan: Person) -> None:
    group_id = begin(ann, ben)
    for late in (cat, dan):
        add(ann, group_id, late)
    for admin in (dan, cat):
        assert put(ann, group_id, admin, "admin").status_code == 204
    assert remove(ann, group_id, ann).status_code == 204
    assert roles(ben, group_id) == {ben.uid: "member", cat.uid: "owner", dan.uid: "admin"}
    assert put(cat, group_id, dan, "member").status_code == 204
    assert remove(cat, group_id, cat).status_code == 204
    assert roles(dan, group_id) == {ben.uid: "owner", dan.uid: "member"}
    told = [(e["change"], e.get("uid"), e.get("role")) for e in events(dan)]
    assert told == [
        ("member_added", dan.uid, "member"),
        ("role_changed", dan.uid, "admin"),
        ("role_changed", cat.uid, "admin"),
        ("member_removed", ann.uid, None),
        ("role_changed", cat.uid, "owner"),
        ("role_changed", dan.uid, "member"),
        ("member_removed", cat.uid, None),
        ("role_changed", ben.uid, "owner"),
    ]
    assert events(ann)[-1] == {"group_id": group_id, "change": "member_removed", "uid": ann.uid, "by": ann.uid}
    for last in (ben, dan):
        assert remove(last, group_id, last).status_code == 204
    assert ask(ann, "SELECT * FROM `groups` WHERE group_id = ?", group_id) == []
    assert code(dan.request("GET", f"/v1/groups/{group_id}")) == (404, "not_found")
