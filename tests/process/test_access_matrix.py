# SPDX-License-Identifier: Apache-2.0
"""Every operation of the route table against everybody who might try it.

Without a live credential all operations of a person answer one and the same 401. With one, what is somebody else's
answers exactly as what is not there. An operation without a line in ACCESS fails.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from handlers.routes import ROUTES, Route
from handlers.shared import Who
from models.access_token import AccessTokens
from models.keys import open_key_ring
from models.user import UserId
from tests.harness import Person, Server, running
from tests.pictures import jpeg

BY_NAME = {route.operation_id: route for route in ROUTES}
NOBODY_HAS = {
    "image": "0" * 64,
    "group_image": "0" * 64,
    "group": "987654321",
    "device": "987654321",
    "message": "987654321",
    "ann": "987654321",
    "ann_hash": "0" * 64,
    "request_to_ann": "987654321",
}
PEOPLE = ("ann", "admin", "member", "stranger", "blocked", "ex_friend", "ex_member")
"""`ann` owns the group, has sent the images, and has the device. `ex_member` was there when the group's came."""


@dataclass(frozen=True)
class Access:
    """One way to ask for an operation, and who gets what. Values in braces are of the world.

    `may` get through and `forbidden` are told 403, since they know of the thing; to all others it is not there.
    `spent_by_use`: what is asked for is gone or changed afterwards, so nobody who may is let try.
    """

    at: Mapping[str, str] = field(default_factory=dict)
    send: Mapping[str, Any] = field(default_factory=dict)
    may: tuple[str, ...] = PEOPLE
    forbidden: tuple[str, ...] = ()
    spent_by_use: bool = False


GROUP = {"group_id": "{group}"}
MEMBER = {**GROUP, "uid": "{stranger_uid}"}
DEVICE = {"device_id": "{device}"}
ANN = {"uid": "{ann}"}
ANY = {"activation_id": "0" * 32}
INSIDE = ("ann", "admin", "member")
OPEN = Access()
OWN = Access()
"""Of nobody but the caller: there is nothing of others to be asked for."""

ACCESS: dict[str, tuple[Access, ...]] = {
    **dict.fromkeys(("root", "healthz", "headHealthz", "readyz", "headReadyz", "openapi", "docs", "vapidKey"), (OPEN,)),
    **dict.fromkeys(("register", "activate", "resendCode", "signUp", "logIn", "refreshTokens"), (OPEN,)),
    **dict.fromkeys(
        (
            "getMe",
            "inbox",
            "listFriends",
            "listBlocks",
            "listGroups",
            "listDevices",
            "exportMe",
            "listEvents",
            "streamEvents",
            "socketEvents",
        ),
        (OWN,),
    ),
    **dict.fromkeys(
        (
            "patchMe",
            "deleteMe",
            "renewUkey",
            "openSession",
            "logOut",
            "changePassword",
            "putCredentials",
            "discoverContacts",
            "createGroup",
            "registerDevice",
            "chatToken",
        ),
        (replace(OWN, spent_by_use=True),),
    ),
    "getUser": (Access(ANN),),
    # The blocked side cannot tell: to them and to strangers it is the same request.
    "befriend": (Access(send={"json": {"uid": "{ann}"}}, spent_by_use=True),),
    "acceptFriend": (Access({"uid": "{request_to_ann}"}, may=("ann",), spent_by_use=True),),
    "deleteFriend": (Access(ANN, may=(), spent_by_use=True),),
    "blockPerson": (Access(ANN, spent_by_use=True),),
    "unblockPerson": (Access(ANN, may=(), spent_by_use=True),),
    "report": (Access(send={"json": {"message_id": "{message}", "reason": "x"}}, may=("member",)),),
    "joinGroup": (Access(send={"json": {"room_gid": "{room}"}}, may=INSIDE),),
    "getGroup": (Access(GROUP, may=INSIDE),),
    "patchGroup": (
        Access(GROUP, {"json": {"name": "Three"}}, may=("ann", "admin"), forbidden=("member",)),
        Access(GROUP, {"json": {}}, may=("ann", "admin"), forbidden=("member",)),
    ),
    "deleteGroup": (Access(GROUP, may=("ann",), forbidden=("admin", "member"), spent_by_use=True),),
    "putGroupMember": (
        Access(MEMBER, {"json": {"role": "member"}}, may=("ann", "admin"), forbidden=("member",), spent_by_use=True),
        Access(MEMBER, {"json": {"role": "admin"}}, may=("ann",), forbidden=("admin", "member"), spent_by_use=True),
    ),
    "deleteGroupMember": (
        Access({**GROUP, "uid": "{ann}"}, may=("ann",), forbidden=("admin", "member"), spent_by_use=True),
    ),
    "sendImage": (Access(send={"data": {"receiver_uid": "{ann}"}, "files": {"img_file": jpeg()}}, spent_by_use=True),),
    "fetchOldestImage": (
        Access(send={"params": {"sender_phone": "{ann_hash}", "receiver_phone": "{member_hash}"}}, may=("member",)),
    ),
    "headOldestImage": (
        Access(send={"params": {"sender_phone": "{ann_hash}", "receiver_phone": "{member_hash}"}}, may=("member",)),
    ),
    "fetchImage": (
        Access({"message_key": "{image}"}, {"params": {"ack": "manual"}}, may=("member",)),
        Access({"message_key": "{group_image}"}, {"params": {"ack": "manual"}}, may=("admin", "member")),
    ),
    "headImage": (
        Access({"message_key": "{image}"}, may=("member",)),
        Access({"message_key": "{group_image}"}, may=("admin", "member")),
    ),
    "deleteImage": (
        Access({"message_key": "{image}"}, may=("ann", "member"), spent_by_use=True),
        Access({"message_key": "{group_image}"}, may=("ann", "admin", "member"), spent_by_use=True),
    ),
    "imageStatus": (
        Access({"message_key": "{image}"}, may=("ann",)),
        Access({"message_key": "{group_image}"}, may=("ann",)),
    ),
    "replaceDeviceToken": (
        Access(DEVICE, {"json": {"token": "new"}}, may=("ann",)),
        Access(DEVICE, {"json": {}}, may=("ann",), spent_by_use=True),
    ),
    "deleteDevice": (Access(DEVICE, may=("ann",), spent_by_use=True),),
    "testPush": (Access(DEVICE, may=("ann",)),),
    "listPushes": (Access(DEVICE, may=("ann",)),),
}
TELLS_NOBODY = {"befriend", "blockPerson", "getUser", "deleteFriend", "unblockPerson", "sendImage"}
"""Asked of a person, not of a thing that is somebody's; what they tell is looked at below."""


@dataclass(frozen=True)
class World:
    server: Server
    people: dict[str, Person]
    values: dict[str, str]
    dead: dict[str, dict[str, str]]

    def ask(
        self, headers: Mapping[str, str], route: Route, access: Access, values: Mapping[str, str]
    ) -> httpx.Response:
        path = route.path.format(**(filled(access.at, values) or ANY))
        return self.server.client.request(
            route.method,
            path,
            headers={**headers},
            **{name: filled(value, values) for name, value in access.send.items()},
        )

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
    headers = {name: value for name, value in reply.headers.items() if name not in ("x-request-id", "date")}
    return reply.status_code, reply.text.replace(request_id, ""), headers


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def dead_credentials(server: Server) -> dict[str, dict[str, str]]:
    """Headers that let nobody in, most of which have let somebody in before."""
    old = server.register("Old")
    renewed = replace(old, ukey=old.request("POST", "/v1/me/ukey").json()["ukey"])
    assert renewed.request("GET", "/v1/me").status_code == 200
    session = renewed.request("POST", "/v1/tokens").json()
    assert server.client.post("/v1/logout", headers=bearer(session["access_token"])).status_code == 204
    living = renewed.request("POST", "/v1/tokens").json()["access_token"]
    ring = AccessTokens(open_key_ring(server.data_dir / "keys.json", sealed=None))
    read = ring.read(living, time.time_ns() // 1_000_000)
    assert read
    expired, _ = ring.sign(UserId(renewed.uid), read.family, time.time_ns() // 1_000_000 - 3_600_000)
    gone = server.register("Gone")
    left_with = gone.request("POST", "/v1/tokens").json()["access_token"]
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
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        server = stack.enter_context(running(tmp_path_factory.mktemp("matrix"), {"limits": {"enabled": False}}))
        people = {name: server.register(name, cid=f"cid-of-{name}") for name in PEOPLE}
        ann, member = people["ann"], people["member"]
        befriended = people["ex_friend"]
        for one, other in ((ann, befriended), (befriended, ann)):
            one.request("POST", "/v1/friends", json={"uid": other.uid})
        assert ann.request("DELETE", f"/v1/friends/{befriended.uid}").status_code == 204
        asking = server.register("asking")
        asking.request("POST", "/v1/friends", json={"uid": ann.uid})
        others = [people[name].uid for name in ("admin", "member", "ex_member")]
        group = ann.request("POST", "/v1/groups", json={"name": "Two", "members": others}).json()
        members = f"/v1/groups/{group['group_id']}/members"
        ann.request("PUT", f"{members}/{people['admin'].uid}", json={"role": "admin"})
        group_image = ann.request(
            "POST", "/v1/images", data={"group_id": group["group_id"]}, files={"img_file": jpeg()}
        ).headers["Message-Key"]
        left = people["ex_member"].request("DELETE", f"{members}/{people['ex_member'].uid}")
        assert left.status_code == 204
        image = ann.send(member, jpeg()).headers
        ann.request("PUT", f"/v1/blocks/{people['blocked'].uid}")
        values = {
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
        replies = {
            why: told(world.ask(headers, BY_NAME[name], asked, world.values)) for why, headers in world.dead.items()
        }
        assert {reply[0] for reply in replies.values()} == {401}, {why: reply[0] for why, reply in replies.items()}
        assert len({reply[1] for reply in replies.values()}) == 1
        assert [why for why, reply in replies.items() if reply != replies["nothing"]] == []


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


def test_who_is_blocked_is_answered_as_a_stranger_and_an_unknown_receiver_as_either(world: World) -> None:
    ann, stranger, blocked = (world.people[name] for name in ("ann", "stranger", "blocked"))
    nobody = replace(ann, uid=int(NOBODY_HAS["ann"]))
    assert told(blocked.send(ann, jpeg())) == told(stranger.send(nobody, jpeg()))
    assert blocked.send(ann, jpeg()).json()["code"] == "recipient_unavailable"
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
