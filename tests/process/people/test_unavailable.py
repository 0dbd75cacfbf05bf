# SPDX-License-Identifier: Apache-2.0
"""To whom an image cannot be sent: unknown and unfriendly receivers look the same and cost the same."""

import secrets

import httpx

from tests.process.people.acts import accept, alike, ask, block, discover, part
from tests.support.harness import Person, Server
from tests.support.pictures import png


def send(one: Person, **receiver: object) -> httpx.Response:
    data = {name: str(value) for name, value in receiver.items()}
    return one.request("POST", "/v1/images", data=data, files={"img_file": ("x.png", png(), "image/png")})


def test_who_is_blocked_is_not_told(ann: Person, ben: Person) -> None:
    assert send(ben, receiver_uid=ann.uid).status_code == 201
    block(ann, ben)
    blocked = [send(ben, receiver_uid=ann.uid), send(ben, receiver_phone=ann.phone_hash)]
    unknown = [send(ben, receiver_uid=2**40), send(ben, receiver_phone=secrets.token_hex(32))]
    assert [reply.status_code for reply in blocked] == [201, 201]
    assert unknown[0].json()["code"] == "recipient_unavailable"
    assert alike(*unknown)
    assert ann.request("GET", "/v1/inbox").json()["items"] == []
    assert send(ann, receiver_uid=ben.uid).status_code == 201, "a block has one direction"


def test_among_friends_unknown_people_and_strangers_look_the_same(friends_only: Server) -> None:
    ann, ben, eve = (friends_only.register(name) for name in ("Ann", "Ben", "Eve"))
    ask(ann, ben)
    asked = send(ann, receiver_uid=ben.uid)
    accept(ben, ann)
    assert send(ann, receiver_uid=ben.uid).status_code == send(ben, receiver_phone=ann.phone_hash).status_code == 201
    block(ben, ann)
    assert send(ann, receiver_phone=ben.phone_hash).status_code == 201, "a block is not told"
    stranger, unknown = send(ann, receiver_uid=eve.uid), send(ann, receiver_phone=secrets.token_hex(32))
    assert asked.status_code == 403
    assert alike(asked, stranger, unknown)


def test_a_friend_no_more_is_a_stranger(friends_only: Server) -> None:
    ann, ben = friends_only.register("Ann"), friends_only.register("Ben")
    ask(ann, ben)
    accept(ben, ann)
    part(ben, ann)
    assert alike(send(ann, receiver_uid=ben.uid), send(ann, receiver_uid=2**40))


def test_each_distinct_receiver_who_is_not_available_spends_of_the_budget(friends_only: Server) -> None:
    ann, ben = friends_only.register("Ann"), friends_only.register("Ben")
    block(ben, ann)
    tries: list[dict[str, object]] = [
        {"receiver_phone": secrets.token_hex(32)},
        {"receiver_phone": ben.phone_hash},
        {"receiver_uid": ben.uid},
        {"receiver_uid": 2**40},
    ]
    for receiver in [*tries, *tries]:
        assert send(ann, **receiver).status_code == 403
    assert discover(ann, ben.phone_hash, "0" * 64).json()["code"] == "discovery_budget", "1 is left"
    assert discover(ann, ben.phone_hash).status_code == 200
    tries.append({"receiver_uid": f"00{2**40}"})
    for receiver in tries:
        assert send(ann, **receiver).status_code == 403, "these are paid for"
    refused = [
        send(ann, receiver_phone=secrets.token_hex(32)),
        send(ann, receiver_phone=friends_only.register().phone_hash),
        send(ann, receiver_uid=2**41),
    ]
    assert refused[0].json()["code"] == "discovery_budget"
    assert int(refused[0].headers["Retry-After"]) > 0
    assert {reply.status_code for reply in refused} == {429}
    ask(ann, ben)
    friend = friends_only.register()
    ask(friend, ann)
    ask(ann, friend)
    assert send(ann, receiver_phone=friend.phone_hash).status_code == 201, "who is known already costs nothing"


def test_a_number_is_paid_for_before_anybody_looks_whose_it_is(server: Server) -> None:
    with_a_budget_of_600 = server.register()
    assert discover(with_a_budget_of_600, *(secrets.token_hex(32) for _ in range(500))).status_code == 200
    assert discover(with_a_budget_of_600, *(secrets.token_hex(32) for _ in range(100))).status_code == 200
    for number in (server.register().phone_hash, secrets.token_hex(32)):
        reply = send(with_a_budget_of_600, receiver_phone=number)
        assert (reply.status_code, reply.json()["code"]) == (429, "discovery_budget")
