# SPDX-License-Identifier: Apache-2.0
"""A block changes no answer that the blocked side can get.

Two pairs of people live the same life. In one of them Ann then blocks Ben, and from there on both Bens ask everything
that Ben can ask: status, headers, body and events are the same but for names, ids and times.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.process.people.acts import accept, ask, block, discover, standing
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import png

TIMES = {"at", "since", "send_time", "expires_at", "created_at", "joined_at", "invited_at", "reg_time", "seen_at"}
TIMES |= {"exported_at", "settled_at", "recalled_at", "registered_at", "consumed_at", "readable_until"}
MESSAGES = {"message_id", "up_to", "read_up_to"}
RANDOM = {"request_id", "room_gid", "sha256", "next", "phone"}
VARYING = {"date", "x-request-id", "content-length", "etag", "content-disposition"}
"""Of headers. Lengths differ by how many digits ids have; files are called by ids."""
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass
class Pair:
    """Ann, Ben, and Cat who is in their group, with what Ben knows the ids of."""

    server: Server
    ann: Person
    ben: Person
    cat: Person
    known: dict[str, Any] = field(default_factory=dict)
    aliases: defaultdict[str, dict[Any, str]] = field(default_factory=lambda: defaultdict(dict))

    def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """As Ben."""
        return self.ben.request(method, path, **kwargs)

    def image(self, name: str, **fields: Any) -> httpx.Response:
        """Ben sends one, whose key is known by this name then."""
        key = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
        data = {field: str(value) for field, value in fields.items()}
        reply = self.ask("POST", "/v1/images", data=data, files={"img_file": ("x.png", png())}, headers=key)
        self.known[name] = reply.headers.get("Message-Key")
        return reply

    def text(self, name: str, **to: int) -> httpx.Response:
        reply = self.ask("POST", "/v1/messages", json={"kind": "text", "text": "hello", **to})
        self.known[name] = reply.json().get("message_id")
        return reply

    def group(self, name: str, *members: Person) -> httpx.Response:
        reply = self.ask("POST", "/v1/groups", json={"name": name, "members": [each.uid for each in members]})
        self.known[name] = reply.json().get("group_id")
        return reply

    def said(self, reply: httpx.Response) -> tuple[int, dict[str, Any], Any]:
        """Status, headers and body; every name, id and time is called by when it was first seen."""
        headers = {name: value for name, value in reply.headers.items() if name not in VARYING}
        named = {name: self.called(name.replace("-", "_"), value) for name, value in headers.items()}
        is_json = "json" in reply.headers.get("Content-Type", "")
        return reply.status_code, named, self.called("", reply.json() if is_json else reply.content.hex(" "))

    def called(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.called(key, each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.called(name, each) for each in value]
        if value is None or isinstance(value, bool):
            return value
        return self._word(name, value) if isinstance(value, str) else self._number(name, value)

    def _number(self, name: str, value: int) -> Any:
        if name in TIMES or name in RANDOM:
            return name
        if name in MESSAGES or name == "by" or name.endswith("id"):
            aliases = self.aliases["message_id" if name in MESSAGES else name]
            people = {self.ann.uid: "Ann", self.ben.uid: "Ben", self.cat.uid: "Cat"}
            known = people.get(value) if name == "by" or "uid" in name else None
            return known or aliases.setdefault(value, f"{name} {len(aliases)}")
        return value

    def _word(self, name: str, value: str) -> Any:
        if name in RANDOM:
            return name
        if value.isdigit():
            return self._number(name, int(value))
        if value.startswith("{"):
            return self.called(name, json.loads(value))
        aliases = self.aliases["hash"]
        return HASH.sub(lambda found: aliases.setdefault(found[0], f"hash {len(aliases)}"), value)


def _friends(pair: Pair) -> None:
    ask(pair.ann, pair.ben)
    accept(pair.ben, pair.ann)


STANDINGS: dict[str, Callable[[Pair], object]] = {
    "strangers": lambda pair: standing(pair.ben),
    "friends": _friends,
    "Ben asked": lambda pair: ask(pair.ben, pair.ann),
    "Ann asked": lambda pair: ask(pair.ann, pair.ben),
}
LISTS = ["friends?state=friends", "friends?state=incoming", "friends?state=outgoing", "groups", "groups?state=invited"]
LISTS += ["inbox", "conversations", "events?after=0", "blocks", "me", "me/export"]
LOOKS: dict[str, Callable[[Pair], httpx.Response]] = {
    "who she is": lambda pair: pair.ask("GET", f"/v1/users/{pair.ann.uid}"),
    "by her number": lambda pair: discover(pair.ben, pair.ann.phone_hash),
    "their history": lambda pair: pair.ask("GET", f"/v1/messages?with_uid={pair.ann.uid}"),
    "by pages": lambda pair: pair.ask("GET", f"/v1/messages?with_uid={pair.ann.uid}&page=1&per_page=3"),
    "the group": lambda pair: pair.ask("GET", f"/v1/groups/{pair.known['group']}"),
    "its history": lambda pair: pair.ask("GET", f"/v1/messages?group_id={pair.known['group']}"),
    "an image to her": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['before']}/status"),
    "an image to all": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['to all before']}/status"),
    "the image itself": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['before']}"),
    **{path: lambda pair, path=path: pair.ask("GET", f"/v1/{path}") for path in LISTS},  # type: ignore[misc]
}
"""What changes nothing, and so is asked before and after the block too."""
MEMBERS = "/v1/groups/{}/members/{}"
ACTS: dict[str, Callable[[Pair], httpx.Response]] = {
    "an image": lambda pair: pair.image("after", receiver_uid=pair.ann.uid, key="k" * 22),
    "the same again": lambda pair: pair.image("after", receiver_uid=pair.ann.uid, key="k" * 22),
    "another with that key": lambda pair: pair.image("none", receiver_uid=pair.cat.uid, key="k" * 22),
    "an image by number": lambda pair: pair.image("by number", receiver_phone=pair.ann.phone_hash, ttl_seconds=60),
    "an image to all": lambda pair: pair.image("to all", group_id=pair.known["group"]),
    "an image to the two of them": lambda pair: pair.image("to two", group_id=pair.known["two"]),
    "its status": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['after']}/status"),
    "the status for all": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['to all']}/status"),
    "the status for the two": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['to two']}/status"),
    "recall it": lambda pair: pair.ask("DELETE", f"/v1/images/{pair.known['after']}"),
    "recall it again": lambda pair: pair.ask("DELETE", f"/v1/images/{pair.known['after']}"),
    "recall it from all": lambda pair: pair.ask("DELETE", f"/v1/images/{pair.known['to all']}"),
    "recall what came before": lambda pair: pair.ask("DELETE", f"/v1/images/{pair.known['before']}"),
    "the status then": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['before']}/status"),
    "a text": lambda pair: pair.text("text", receiver_uid=pair.ann.uid),
    "another text": lambda pair: pair.text("next", receiver_uid=pair.ann.uid),
    "a text to all": lambda pair: pair.text("text to all", group_id=pair.known["group"]),
    "take it back": lambda pair: pair.ask("DELETE", f"/v1/messages/{pair.known['text']}"),
    "take back what came before": lambda pair: pair.ask("DELETE", f"/v1/messages/{pair.known['text before']}"),
    "it is read": lambda pair: pair.ask(
        "PUT", f"/v1/conversations/{pair.ann.uid}/read", json={"up_to": pair.known["next"]}
    ),
    "her image": lambda pair: pair.ask("GET", f"/v1/images/{pair.known['hers']}"),
    "a friend?": lambda pair: ask(pair.ben, pair.ann),
    "a friend, again?": lambda pair: ask(pair.ben, pair.ann),
    "accept": lambda pair: accept(pair.ben, pair.ann),
    "part": lambda pair: pair.ask("DELETE", f"/v1/friends/{pair.ann.uid}"),
    "not a friend now": lambda pair: pair.ask("GET", "/v1/friends?state=friends"),
    "accept what is not there": lambda pair: accept(pair.ben, pair.ann),
    "ask once more": lambda pair: ask(pair.ben, pair.ann),
    "an image to a stranger": lambda pair: pair.image("to a stranger", receiver_uid=pair.ann.uid),
    "a group with her": lambda pair: pair.group("new", pair.ann),
    "who is in it": lambda pair: pair.ask("GET", f"/v1/groups/{pair.known['new']}"),
    "she as its admin": lambda pair: pair.ask(
        "PUT", MEMBERS.format(pair.known["new"], pair.ann.uid), json={"role": "admin"}
    ),
    "she not in it": lambda pair: pair.ask("DELETE", MEMBERS.format(pair.known["new"], pair.ann.uid)),
    "she in it again": lambda pair: pair.ask("PUT", MEMBERS.format(pair.known["new"], pair.ann.uid), json={}),
    "she as the group's admin": lambda pair: pair.ask(
        "PUT", MEMBERS.format(pair.known["group"], pair.ann.uid), json={"role": "admin"}
    ),
    "report her": lambda pair: pair.ask("POST", "/v1/reports", json={"uid": pair.ann.uid, "reason": "rude"}),
    "block her": lambda pair: pair.ask("PUT", f"/v1/blocks/{pair.ann.uid}"),
    "unblock her": lambda pair: pair.ask("DELETE", f"/v1/blocks/{pair.ann.uid}"),
}


def begin(server: Server, stand: Callable[[Pair], object]) -> Pair:
    ann, ben, cat = (server.register(name) for name in ("Ann", "Ben", "Cat"))
    pair = Pair(server, ann, ben, cat)
    pair.ben.befriend(pair.cat)
    stand(pair)
    pair.known["group"] = pair.ben.begin_group(pair.ann, pair.cat)
    pair.known["two"] = pair.ben.begin_group(pair.ann)
    pair.image("before", receiver_uid=pair.ann.uid)
    pair.image("to all before", group_id=pair.known["group"])
    pair.text("text before", receiver_uid=pair.ann.uid)
    pair.known["hers"] = pair.ann.send(pair.ben, png()).headers.get("Message-Key")
    return pair


def looked(pair: Pair) -> list[str]:
    """What Ben is answered, in lines."""
    found = {name: pair.said(look(pair)) for name, look in LOOKS.items()}
    return json.dumps(found, indent=1, sort_keys=True).splitlines()


@pytest.mark.parametrize("stand", STANDINGS)
def test_who_is_blocked_is_answered_as_before(server: Server, stand: str) -> None:
    free, blocked = begin(server, STANDINGS[stand]), begin(server, STANDINGS[stand])
    before = looked(blocked)
    assert looked(free) == before
    block(blocked.ann, blocked.ben)
    assert looked(blocked) == before
    told = len(events(blocked.ann))
    for name, act in ACTS.items():
        assert (name, blocked.said(act(blocked))) == (name, free.said(act(free)))
    assert looked(blocked) == looked(free)
    learned = {each["type"] for each in events(blocked.ann)[told:]}
    assert learned <= {"group_changed", "message_deleted", "image_consumed"}, "of her own, and of what is no more"


def test_a_friend_who_is_blocked_is_answered_as_before_where_only_friends_may_send(friends_only: Server) -> None:
    free, blocked = begin(friends_only, _friends), begin(friends_only, _friends)
    block(blocked.ann, blocked.ben)
    for name, act in ACTS.items():
        assert (name, blocked.said(act(blocked))) == (name, free.said(act(free)))


def test_who_blocks_sees_nothing_of_what_waited_or_comes(server: Server) -> None:
    pair = begin(server, _friends)
    block(pair.ann, pair.ben)
    for name in ("an image", "an image to all", "a text", "a text to all"):
        assert ACTS[name](pair).status_code == 201
    ann = pair.ann
    assert standing(ann) == {"blocks": [pair.ben.uid]}
    assert ann.request("GET", "/v1/inbox").json()["items"] == []
    for key in ("before", "to all before", "after", "to all"):
        assert ann.get(pair.known[key]).status_code == 404
        assert ann.request("DELETE", f"/v1/images/{pair.known[key]}").status_code == 404
    seen = ann.request("GET", f"/v1/messages?with_uid={pair.ben.uid}").json()["items"]
    assert [(each["sender_uid"], each["kind"]) for each in seen] == [(ann.uid, "image"), (pair.ben.uid, "text")]
    assert ann.request("GET", f"/v1/messages?group_id={pair.known['group']}").json()["items"] == []
    listed = ann.request("GET", "/v1/conversations").json()["items"]
    assert {each["last"] and each["last"]["sender_uid"] for each in listed} <= {None, ann.uid}
    exported = ann.request("GET", "/v1/me/export").json()
    assert [each["kind"] for each in exported["received"]] == ["text"]
    deleted = [each["data"] for each in events(ann) if each["type"] == "image"]
    assert {each.get("deleted") for each in deleted} == {True}
    cats = pair.cat.get(pair.known["to all"])
    assert cats.status_code == 200, "the others have theirs"


def test_what_is_withheld_goes_from_the_disk_and_out_of_the_inbox(server: Server) -> None:
    pair = begin(server, _friends)
    assert stored(pair, "before") == 1
    block(pair.ann, pair.ben)
    wait_until(lambda: not stored(pair, "before"), what="what nobody else waits for goes")
    sql = "SELECT pending_count, pending_bytes FROM users WHERE uid = ?"
    assert server.database.rows(sql, pair.ann.uid) == [(0, 0)]
    assert pair.image("after", receiver_uid=pair.ann.uid).status_code == 201
    wait_until(lambda: not stored(pair, "after"), what="what nobody waits for goes")
    assert stored(pair, "to all before") == 1, "somebody else waits for it"
    assert pair.ben.status(pair.known["after"])["state"] == "pending"


def stored(pair: Pair, name: str) -> int:
    return sum(path.name == pair.known[name] for path in pair.server.stored_files())


def events(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.request("GET", "/v1/events?after=0").json()["items"]
    return found
