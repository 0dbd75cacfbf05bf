# SPDX-License-Identifier: Apache-2.0
"""Finding people by the hashes of their numbers."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ops.users import users
from tests.ops.commands import asked
from tests.process.people.acts import block, discover
from tests.process.people.conftest import PER_DAY
from tests.process.people.test_unavailable import send
from tests.support.harness import Person, Server, phone_number
from tests.support.pictures import png


def unknown(count: int) -> list[str]:
    return [secrets.token_hex(32) for _ in range(count)]


def test_people_are_found_by_ascending_hash_and_never_the_caller(server: Server, ann: Person) -> None:
    others = [server.register(f"No. {number}") for number in range(5)]
    wanted = [*unknown(3), *(other.phone_hash for other in others), ann.phone_hash]
    reply = discover(ann, *wanted, *wanted)
    assert reply.status_code == 200
    matches = reply.json()["matches"]
    assert matches == [
        {"phone_hash": other.phone_hash, "uid": other.uid, "nickname": f"No. {others.index(other)}"}
        for other in sorted(others, key=lambda other: other.phone_hash)
    ]


def test_who_is_hidden_or_disabled_is_not_found_whoever_blocks_whom(server: Server, ann: Person) -> None:
    hidden, disabled, blocking, blocked = people = [server.register() for _ in range(4)]
    hashes = [person.phone_hash for person in people]
    assert len(discover(ann, *hashes).json()["matches"]) == 4
    hidden.request("PATCH", "/v1/me", json={"discoverable": False})
    asked(users, server.data_dir, "disable", disabled.uid)
    block(blocking, ann)
    block(ann, blocked)
    for asking in (ann, server.register()):
        found = {match["uid"] for match in discover(asking, *hashes).json()["matches"]}
        assert found == {blocking.uid, blocked.uid}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"phone_hashes": []},
        {"phone_hashes": None},
        {"phone_hashes": "0" * 64},
        {"phone_hashes": {"0" * 64: 1}},
        {"phone_hashes": ["0" * 63]},
        {"phone_hashes": ["0" * 65]},
        {"phone_hashes": ["A" * 64]},
        {"phone_hashes": ["0" * 63 + "\n"]},
        {"phone_hashes": ["٠" * 64]},
        {"phone_hashes": ["0" * 64, 7]},
        {"phone_hashes": [["0" * 64]]},
        {"phone_hashes": ["+8613800138000"]},
        {"phone_hashes": ["0" * 64] * 501},
        {"phone_hashes": ["0" * 64], "limit": 1},
    ],
)
def test_what_is_no_list_of_hashes_is_refused_and_costs_nothing(ann: Person, body: Any) -> None:
    reply = ann.request("POST", "/v1/contacts/discover", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert [error["field"] for error in reply.json()["errors"]] == ["phone_hashes"]


def test_a_day_has_a_budget_of_distinct_hashes_and_a_refusal_costs_nothing(server: Server, ann: Person) -> None:
    friend = server.register()
    twice = unknown(250)
    assert discover(ann, *twice, *twice).status_code == 200
    assert discover(ann, *unknown(PER_DAY - 250 - 1)).status_code == 200
    for _ in range(3):
        refused = discover(ann, *unknown(2))
        assert (refused.status_code, refused.json()["code"]) == (429, "discovery_budget")
        assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert len(discover(ann, friend.phone_hash).json()["matches"]) == 1
    assert discover(ann, friend.phone_hash).status_code == 429
    assert discover(friend, ann.phone_hash).status_code == 200, "the budget is an account's own"


def test_requests_at_the_same_time_spend_no_more_than_there_is(ann: Person) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: discover(ann, *unknown(100)).status_code, range(12)))
    assert sorted(replies) == [200] * (PER_DAY // 100) + [429] * (12 - PER_DAY // 100)


def test_numbers_as_people_type_them_are_named_as_they_were_given(server: Server, ann: Person) -> None:
    numbers = [phone_number(), phone_number()]
    ben, eve = (server.register(phone_num=number) for number in numbers)
    dashed = "-".join((numbers[0][:3], numbers[0][3:7], numbers[0][7:]))
    typed = [dashed, f"+86 {numbers[1]}", "110", "nonsense", ""]
    body = {"region_num": "86", "phone_nums": typed}
    matches = ann.request("POST", "/v1/contacts/discover", json=body).json()["matches"]
    assert {match["uid"]: match["phone_num"] for match in matches} == {ben.uid: typed[0], eve.uid: typed[1]}
    assert ann.request("POST", "/v1/contacts/discover", json={"phone_nums": ["110"]}).json() == {"matches": []}
    wrongs: list[dict[str, Any]] = [
        {"phone_nums": []},
        {"phone_nums": [7]},
        {"phone_nums": ["1"] * 501},
        {**body, "phone_hashes": []},
    ]
    for wrong in wrongs:
        assert ann.request("POST", "/v1/contacts/discover", json=wrong).status_code == 422


def test_a_number_with_a_plus_is_found_from_any_country(server: Server, ann: Person) -> None:
    number = phone_number()
    ben = server.register(phone_num=number)
    body = {"region_num": "44", "phone_nums": [f"+86 {number}", "07911 123456"]}
    [match] = ann.request("POST", "/v1/contacts/discover", json=body).json()["matches"]
    assert (match["uid"], match["phone_num"]) == (ben.uid, f"+86 {number}")


def test_who_has_no_phone_finds_nobody_by_number(server: Server, ann: Person) -> None:
    login = {"login": f"nophone{secrets.token_hex(4)}", "password": "correct horse"}
    account = server.client.post("/v1/signup", json=login).json()
    bearer = {"Authorization": f"Bearer {account['access_token']}"}
    asked = server.client.post("/v1/contacts/discover", json={"phone_hashes": [ann.phone_hash]}, headers=bearer)
    assert (asked.status_code, asked.json()["code"]) == (403, "phone_required")
    picture = {"img_file": ("x.png", png(), "image/png")}
    for number in (ann.phone_hash, secrets.token_hex(32)):
        form = {"receiver_phone": number}
        refused = server.client.post("/v1/images", headers=bearer, data=form, files=picture)
        assert refused.json()["code"] == "phone_required", "whether or not the number is known"
    assert send(ann, receiver_uid=account["uid"]).status_code == 201
    form = {"receiver_phone": ann.phone_hash}
    assert server.client.post("/v1/images", headers=bearer, data=form, files=picture).status_code == 201, (
        "they have met"
    )
