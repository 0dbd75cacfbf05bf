# SPDX-License-Identifier: Apache-2.0
"""Friends and blocks over the wire."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from tests.process.people.acts import accept, alike, ask, block, part, standing, told, unblock
from tests.support.harness import Person, Server

NOBODY = 2**40


def test_a_request_is_accepted_and_both_are_friends(ann: Person, ben: Person) -> None:
    asked = ask(ann, ben)
    assert (asked.status_code, asked.json()) == (201, {"state": "requested"})
    assert alike(asked, ask(ann, ben))
    assert standing(ann) == {"outgoing": [ben.uid]}
    [item] = ben.request("GET", "/v1/friends?state=incoming").json()["items"]
    assert item == {"uid": ann.uid, "nickname": "Ann", "state": "incoming", "since": item["since"]}
    assert told(ben) == [("friend_request", {"uid": ann.uid})]
    accepted = accept(ben, ann)
    assert (accepted.status_code, accepted.json()) == (200, {"state": "friends"})
    assert alike(accepted, accept(ben, ann), accept(ann, ben), ask(ann, ben), ask(ben, ann))
    assert (standing(ann), standing(ben)) == ({"friends": [ben.uid]}, {"friends": [ann.uid]})
    assert told(ann) == [("friend_accepted", {"uid": ben.uid})]
    part(ann, ben)
    part(ann, ben)
    assert standing(ann) == standing(ben) == {}
    assert len(told(ann)) == len(told(ben)) == 1


def test_asking_who_has_asked_is_accepting(ann: Person, ben: Person) -> None:
    ask(ann, ben)
    answer = ask(ben, ann)
    assert (answer.status_code, answer.json()) == (200, {"state": "friends"})
    assert (standing(ann), standing(ben)) == ({"friends": [ben.uid]}, {"friends": [ann.uid]})
    assert told(ann) == [("friend_accepted", {"uid": ben.uid})]


def test_a_request_is_withdrawn_or_declined_and_nobody_is_told(ann: Person, ben: Person) -> None:
    for one, other in ((ann, ben), (ben, ann)):
        ask(ann, ben)
        part(one, other)
        assert standing(ann) == standing(ben) == {}
        assert accept(ben, ann).json()["code"] == "not_found"
    assert told(ann) == []


def test_a_blocked_person_cannot_tell(server: Server, ann: Person, ben: Person) -> None:
    silent = server.register("does not answer")
    block(ann, ben)
    block(ann, ben)
    assert alike(ask(ben, ann), ask(ben, silent), ask(ben, ann))
    listed = ben.request("GET", "/v1/friends?state=outgoing").json()["items"]
    assert {(item["uid"], item["nickname"]) for item in listed} == {(ann.uid, "Ann"), (silent.uid, "does not answer")}
    assert standing(ann) == {"blocks": [ben.uid]}
    assert told(ann) == []
    assert alike(accept(ben, ann), accept(ben, silent), accept(ben, server.register()))
    part(ben, ann)
    assert standing(ben) == {"outgoing": [silent.uid]}


@pytest.mark.parametrize("before", ["friends", "asked", "was asked"])
def test_blocking_ends_what_was_between_them_for_who_blocks(ann: Person, ben: Person, before: str) -> None:
    if before != "was asked":
        ask(ann, ben)
    if before != "asked":
        ask(ben, ann)
    seen, events = standing(ben), told(ben)
    block(ann, ben)
    part(ann, ben)
    assert (standing(ann), standing(ben), told(ben)) == ({"blocks": [ben.uid]}, seen, events)
    unblock(ann, ben)
    unblock(ann, ben)
    assert standing(ann) == {}
    assert standing(ben) == (seen if before == "was asked" else {}), "nobody is friends alone"


def test_who_is_blocked_accepts_and_parts_alone(ann: Person, ben: Person) -> None:
    ask(ann, ben)
    block(ann, ben)
    accepted = accept(ben, ann)
    assert (accepted.json(), standing(ben)) == ({"state": "friends"}, {"friends": [ann.uid]})
    assert (standing(ann), told(ann)) == ({"blocks": [ben.uid]}, [])
    assert alike(accepted, ask(ben, ann), accept(ben, ann))
    part(ben, ann)
    assert standing(ben) == {}


def test_an_unblocking_that_ends_no_block_ends_no_friendship(ann: Person, ben: Person) -> None:
    ask(ann, ben)
    accept(ben, ann)
    unblock(ann, ben)
    assert (standing(ann), standing(ben)) == ({"friends": [ben.uid]}, {"friends": [ann.uid]})


def test_after_a_block_a_request_is_seen_when_it_is_made_again(ann: Person, ben: Person) -> None:
    block(ann, ben)
    ask(ben, ann)
    assert ask(ann, ben).json()["code"] == "conflict"
    unblock(ann, ben)
    unblock(ann, ben)
    assert standing(ann) == {}
    assert ask(ben, ann).status_code == 201
    assert standing(ann) == {"incoming": [ben.uid]}
    assert told(ann) == [("friend_request", {"uid": ben.uid})]


def test_after_a_block_asking_who_has_asked_meanwhile_is_accepting(ann: Person, ben: Person) -> None:
    block(ann, ben)
    ask(ben, ann)
    unblock(ann, ben)
    assert ask(ann, ben).status_code == 200
    assert (standing(ann), standing(ben)) == ({"friends": [ben.uid]}, {"friends": [ann.uid]})


def test_nobody_and_oneself(ann: Person) -> None:
    assert alike(ask(ann, NOBODY), ann.request("GET", f"/v1/users/{NOBODY}"))
    for method, path in (("PUT", f"/v1/blocks/{NOBODY}"), ("POST", f"/v1/friends/{NOBODY}/accept")):
        assert ann.request(method, path).json()["code"] == "not_found"
    for path in (f"/v1/friends/{NOBODY}", f"/v1/blocks/{NOBODY}"):
        assert ann.request("DELETE", path).status_code == 204
    assert ask(ann, ann).json()["code"] == "invalid_field"
    assert ann.request("PUT", f"/v1/blocks/{ann.uid}").json()["code"] == "invalid_field"
    assert accept(ann, ann).json()["code"] == "not_found"
    assert standing(ann) == {}


@pytest.mark.parametrize(
    "body", [{}, {"uid": None}, {"uid": True}, {"uid": 0}, {"uid": 2**63}, {"uid": 1.0}, {"uid": 1, "and": 2}]
)
def test_a_request_that_names_nobody_is_refused(ann: Person, body: Any) -> None:
    reply = ann.request("POST", "/v1/friends", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")


@pytest.mark.parametrize("uid", ["0", "-1", "x", "9" * 19, "1.0", "%00", "１"])
def test_a_path_that_names_nobody_is_nowhere(ann: Person, uid: str) -> None:
    for method, path in (("DELETE", "/v1/friends/{}"), ("POST", "/v1/friends/{}/accept"), ("PUT", "/v1/blocks/{}")):
        reply = ann.request(method, path.format(uid))
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


def test_a_list_goes_by_pages(server: Server, ann: Person) -> None:
    others = sorted(server.register().uid for _ in range(5))
    for uid in reversed(others):
        ask(ann, uid)
    seen: list[int] = []
    after: int | None = 0
    for _ in range(3):
        page = ann.request("GET", f"/v1/friends?state=outgoing&limit=2&after={after}").json()
        seen += [item["uid"] for item in page["items"]]
        after = page["next"]
    assert (seen, after) == (others, None)
    page = ann.request("GET", f"/v1/friends?state=outgoing&before={others[2]}").json()
    assert [item["uid"] for item in page["items"]] == others[:2]
    for query in ("state=foes", "state=", "limit=0", "limit=201", "after=x", "uid=1"):
        assert ann.request("GET", f"/v1/friends?{query}").json()["code"] == "invalid_field"


def race(*acts: Callable[[], httpx.Response]) -> list[int]:
    with ThreadPoolExecutor(len(acts)) as pool:
        return [done.result().status_code for done in [pool.submit(act) for act in acts]]


def test_a_query_is_told_of_every_name_that_is_not_known(ann: Person) -> None:
    reply = ann.request("GET", "/v1/friends?b=1&limit=2&a=3&b=4")
    assert reply.json()["errors"] == [{"field": "a", "message": "unknown"}, {"field": "b", "message": "unknown"}]


def test_who_ask_each_other_at_the_same_time_are_friends_once(server: Server) -> None:
    for _ in range(8):
        ann, ben = server.register("Ann"), server.register("Ben")
        statuses = race(*[partial(ask, ann, ben), partial(ask, ben, ann)] * 3)
        assert statuses.count(201) >= 1
        assert (standing(ann), standing(ben)) == ({"friends": [ben.uid]}, {"friends": [ann.uid]})
        assert sorted(kind for kind, _ in told(ann) + told(ben)) == ["friend_accepted", "friend_request"]


def test_racing_acceptances_count_once_and_a_block_wins(server: Server) -> None:
    for _ in range(8):
        ann, ben = server.register("Ann"), server.register("Ben")
        ask(ann, ben)
        assert set(race(*[partial(accept, ben, ann)] * 4)) == {200}
        assert told(ann) == [("friend_accepted", {"uid": ben.uid})]
        part(ann, ben)
        race(partial(ask, ann, ben), partial(block, ben, ann), partial(ask, ann, ben), partial(accept, ben, ann))
        assert standing(ben) == {"blocks": [ann.uid]}
        assert standing(ann) in ({}, {"outgoing": [ben.uid]}, {"friends": [ben.uid]})
