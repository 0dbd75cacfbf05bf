# SPDX-License-Identifier: Apache-2.0
"""Every operation of the route table against everybody who might try it.

Without a live credential all operations of a person answer one and the same 401. With one, what is somebody else's
answers exactly as what is not there. An operation without a line in ACCESS fails.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from handlers.route import Route
from handlers.routes import ROUTES
from handlers.shared import Who
from models.access_token import AccessTokens
from models.keys import open_key_ring
from models.user import UserId
from tests.process.access import ACCESS, NO_ACTIVATION, NOBODY_HAS, OPEN, PEOPLE, TELLS_NOBODY, Access
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running
from tests.support.pictures import jpeg

BY_NAME = {route.operation_id: route for route in ROUTES}
VARYING = {"x-request-id", "date", "connection"}
"""The last: a body that need not be read any more is refused with a close."""

SMALL = jpeg(600, width=64, height=48)


@dataclass(frozen=True)
class World:
    server: Server
    people: dict[str, Person]
    values: dict[str, str]
    dead: dict[str, dict[str, str]]

    def ask(
        self, headers: Mapping[str, str], route: Route, access: Access, values: Mapping[str, str]
    ) -> httpx.Response:
        path = route.path.format(**(filled(access.at, values) or NO_ACTIVATION))
        sent = {name: filled(value, values) for name, value in access.send.items()}
        more = sent.pop("headers", {})
        return self.server.client.request(route.method, path, headers={**headers, **more}, **sent)

    def as_person(self, name: str, route: Route, access: Access, values: Mapping[str, str]) -> httpx.Response:
        return self.ask({"Authorization": self.people[name].basic}, route, access, values)


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """The value with the world's in place of what stands in braces; ids become numbers inside JSON."""
    if isinstance(value, Mapping):
        return {name: filled(each, values) for name, each in value.items()}
    return value.format(**values) if isinstance(value, str) else value


def numbers(send: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent, with ids as the numbers that JSON has for them."""
    body = send.get("json")
    if not body:
        return dict(send)
    return {**send, "json": {name: int(each) if each.isdigit() else each for name, each in body.items()}}


def told(reply: httpx.Response) -> tuple[Any, ...]:
    """All of a reply but what is another every time."""
    request_id = reply.headers["X-Request-Id"]
    headers = {name: value for name, value in reply.headers.items() if name not in VARYING}
    return reply.status_code, reply.text.replace(request_id, ""), headers


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def recalled(server: Server, headers: dict[str, str]) -> None:
    """Have the server know whom these headers let in, as it does of whoever has just sent something."""
    assert server.client.post("/v1/messages", json={}, headers=headers).status_code == 422


def dead_credentials(server: Server) -> dict[str, dict[str, str]]:
    """Headers that let nobody in, most of which have let somebody in a moment ago."""
    old = server.register("Old")
    recalled(server, {"Authorization": old.basic})
    renewed = replace(old, ukey=old.request("POST", "/v1/me/ukey").json()["ukey"])
    assert renewed.request("GET", "/v1/me").status_code == 200
    session = renewed.request("POST", "/v1/tokens").json()
    recalled(server, bearer(session["access_token"]))
    assert server.client.post("/v1/logout", headers=bearer(session["access_token"])).status_code == 204
    living = renewed.request("POST", "/v1/tokens").json()["access_token"]
    ring = AccessTokens(open_key_ring(server.data_dir / "keys.json", sealed=None))
    read = ring.read(living, time.time_ns() // 1_000_000)
    assert read
    now = time.time_ns() // 1_000_000
    fresh, _ = ring.sign(UserId(renewed.uid), read.family, now)
    assert server.client.get("/v1/me", headers=bearer(fresh)).status_code == 200
    expired, _ = ring.sign(UserId(renewed.uid), read.family, now - 3_600_000)
    gone = server.register("Gone")
    left_with = gone.request("POST", "/v1/tokens").json()["access_token"]
    recalled(server, {"Authorization": gone.basic})
    recalled(server, bearer(left_with))
    assert server.client.get("/v1/me", headers=bearer(left_with)).status_code == 200
    assert gone.request("DELETE", "/v1/me").status_code == 204
    return {
        "nothing": {},
        "a wrong ukey": {"Authorization": replace(old, ukey="A" * 43).basic},
        "an ended ukey": {"Authorization": old.basic},
        "a token that was logged out": bearer(session["access_token"]),
        "an expired token": bearer(expired),
        "a refresh token": bearer(session["refresh_token"]),
        "the ukey of who has left": {"Authorization": gone.basic},
        "the token of who has left": bearer(left_with),
    }


@pytest.fixture(scope="module")
def world(new_folder: NewFolder) -> Iterator[World]:
    with ExitStack() as stack:
        server = stack.enter_context(running(new_folder("matrix"), {"limits": {"enabled": False}}))
        people = {name: server.register(name, cid=f"cid-of-{name}") for name in PEOPLE}
        ann, member = people["ann"], people["member"]
        befriended = people["ex_friend"]
        ann.befriend(befriended)
        assert ann.request("DELETE", f"/v1/friends/{befriended.uid}").status_code == 204
        asking = server.register("asking")
        asking.request("POST", "/v1/friends", json={"uid": ann.uid})
        group_id = ann.begin_group(*(people[name] for name in ("admin", "member", "ex_member")))
        group = ann.request("GET", f"/v1/groups/{group_id}").json()
        members = f"/v1/groups/{group_id}/members"
        ann.request("PUT", f"{members}/{people['admin'].uid}", json={"role": "admin"})
        group_image = ann.request(
            "POST", "/v1/images", data={"group_id": group["group_id"]}, files={"img_file": jpeg(), "thumb_file": SMALL}
        ).headers["Message-Key"]
        left = people["ex_member"].request("DELETE", f"{members}/{people['ex_member'].uid}")
        assert left.status_code == 204
        image = ann.send(member, jpeg(), thumbnail=SMALL).headers
        ann.request("PUT", f"/v1/blocks/{people['blocked'].uid}")
        said = ann.request("POST", "/v1/messages", json={"receiver_uid": member.uid, "kind": "text", "text": "hello"})
        upload = ann.request(
            "POST", "/v1/uploads", params={"receiver_uid": member.uid}, headers={"Upload-Complete": "?0"}
        )
        values = {
            "upload": upload.headers["Location"].rpartition("/")[2],
            "ann": str(ann.uid),
            "ann_hash": ann.phone_hash,
            "member_hash": member.phone_hash,
            "stranger_uid": str(people["stranger"].uid),
            "request_to_ann": str(asking.uid),
            "group": str(group["group_id"]),
            "room": group["room_gid"],
            "image": image["Message-Key"],
            "message": image["Message-Id"],
            "group_image": group_image,
            "text": str(said.json()["message_id"]),
            "device": str(ann.request("GET", "/v1/devices").json()["items"][0]["device_id"]),
        }
        yield World(server, people, values, dead_credentials(server))
        assert server.failures() == []


def test_every_operation_has_its_line() -> None:
    assert set(ACCESS) == set(BY_NAME)
    for name, lines in ACCESS.items():
        variables = BY_NAME[name].pattern.groupindex.keys()
        for access in lines:
            if access is not OPEN and access.at:
                assert set(access.at) == set(variables), name
        if BY_NAME[name].who is not Who.ANYBODY:
            assert not variables or all(access.at for access in lines), f"{name}: of whose thing?"


@pytest.mark.parametrize("name", [name for name, route in BY_NAME.items() if route.who is not Who.ANYBODY])
def test_without_a_live_credential_all_is_closed_alike(world: World, name: str) -> None:
    for access in ACCESS.get(name, ()):
        asked = replace(access, send=numbers(filled(access.send, world.values)))
        route = BY_NAME[name]
        replies = {why: told(world.ask(headers, route, asked, world.values)) for why, headers in world.dead.items()}
        if route.who is Who.FRAME:
            del replies["nothing"]  # says who it is in its first frame
        expected = replies["a wrong ukey"]
        assert expected[0] == 401
        assert {why: reply for why, reply in replies.items() if reply != expected} == {}


@pytest.mark.parametrize("name", [name for name, route in BY_NAME.items() if route.who is Who.ANYBODY])
def test_what_is_open_asks_nobody_who_they_are(world: World, name: str) -> None:
    for access in ACCESS.get(name, ()):
        assert world.ask({}, BY_NAME[name], access, world.values).status_code not in (401, 403) or name == "logIn"


@pytest.mark.parametrize(
    "name", [name for name, lines in ACCESS.items() if any(each.at or each.send for each in lines)]
)
def test_what_is_somebody_else_s_is_not_there(world: World, name: str) -> None:
    route = BY_NAME[name]
    for access in ACCESS[name]:
        real = replace(access, send=numbers(filled(access.send, world.values)))
        nowhere = {**world.values, **NOBODY_HAS, "room": "aaaaaaaa"}
        unknown = replace(access, send=numbers(filled(access.send, nowhere)))
        for person in PEOPLE:
            if person in access.may and access.spent_by_use:
                continue
            reply = world.as_person(person, route, real, world.values)
            if person in access.may:
                assert reply.is_success, (person, reply.text)
            elif person in access.forbidden:
                assert (reply.status_code, reply.json()["code"]) == (403, "forbidden"), person
            elif name not in TELLS_NOBODY:
                assert reply.status_code == 404, (person, reply.text)
                assert told(reply) == told(world.as_person(person, route, unknown, nowhere)), person


def test_who_is_blocked_is_answered_as_a_stranger(world: World) -> None:
    ann, stranger, blocked = (world.people[name] for name in ("ann", "stranger", "blocked"))
    nobody = replace(ann, uid=int(NOBODY_HAS["ann"]))
    assert blocked.send(ann, jpeg()).status_code == 201
    assert stranger.send(nobody, jpeg()).json()["code"] == "recipient_unavailable"
    text = {"kind": "text", "text": "x"}
    assert blocked.request("POST", "/v1/messages", json={**text, "receiver_uid": ann.uid}).status_code == 201
    outside = [
        told(stranger.request("POST", "/v1/messages", json={**text, "group_id": int(group)}))
        for group in (world.values["group"], NOBODY_HAS["group"])
    ]
    assert outside[0] == outside[1]
    assert outside[0][0] == 403
    for method, path, body in (
        ("GET", f"/v1/users/{ann.uid}", None),
        ("POST", "/v1/friends", {"uid": ann.uid}),
        ("GET", "/v1/friends?state=friends", None),
        ("DELETE", f"/v1/friends/{ann.uid}", None),
        ("POST", f"/v1/friends/{ann.uid}/accept", None),
        ("POST", "/v1/contacts/discover", {"phone_hashes": ["0" * 64]}),
    ):
        answers = [told(person.request(method, path, json=body)) for person in (blocked, stranger)]
        assert answers[0] == answers[1], path
