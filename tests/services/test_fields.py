# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a request's fields is told of all at once, in order, and fit for a reply."""

from collections.abc import Callable

import pytest

from models.addressee import Addressee, ToGroup, ToPerson, ToPhone
from models.errors import InvalidField
from models.group import GroupId
from models.user import UserId
from services.chat import read_wanted
from services.fields import addressed_by, raise_if_any, read_addressee, unknown
from services.groups import read_new_group
from services.messaging import read_draft

NAMES = ("receiver_uid", "receiver_phone", "group_id")
HASH = "ab" * 32


def test_every_unknown_name_is_told_in_order() -> None:
    assert unknown({"b": 1, "known": 2, "a": 3}, {"known"}) == [("a", "unknown"), ("b", "unknown")]


def test_a_strangers_name_is_cut_and_has_no_half_of_a_character() -> None:
    assert unknown(["x" * 100, "\ud800"], ()) == [("?", "unknown"), ("x" * 64, "unknown")]


def test_nothing_wrong_is_no_refusal() -> None:
    raise_if_any([])


@pytest.mark.parametrize(
    ("read", "given"),
    [
        (read_wanted, {"provider": "agora", "z": 1, "\ud800": 2}),
        (read_draft, {"kind": "text", "text": "x", "group_id": 1, "z": 1, "\ud800": 2}),
        (lambda fields: read_new_group(fields, UserId(1)), {"name": "x", "z": 1, "\ud800": 2}),
    ],
)
def test_readers_tell_of_unknown_names_alike(
    read: Callable[[dict[str, object]], object], given: dict[str, object]
) -> None:
    with pytest.raises(InvalidField) as refused:
        read(given)
    assert refused.value.fields == (("?", "unknown"), ("z", "unknown"))


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"receiver_uid": "7"}, ToPerson(UserId(7))),
        ({"receiver_uid": 7, "group_id": None}, ToPerson(UserId(7))),
        ({"receiver_uid": "007"}, ToPerson(UserId(7))),
        ({"group_id": "5"}, ToGroup(GroupId(5))),
        ({"receiver_phone": HASH}, ToPhone(HASH)),
    ],
)
def test_an_addressee_is_a_person_a_number_or_a_group(fields: dict[str, object], to: Addressee) -> None:
    assert read_addressee(fields, NAMES) == to


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, ("receiver_uid", "exactly one of receiver_uid, receiver_phone, group_id")),
        (
            {"receiver_uid": "1", "group_id": "1"},
            ("receiver_uid", "exactly one of receiver_uid, receiver_phone, group_id"),
        ),
        ({"receiver_uid": "-1"}, ("receiver_uid", "a positive integer")),
        ({"receiver_uid": ""}, ("receiver_uid", "a positive integer")),
        ({"group_id": True}, ("group_id", "a positive integer")),
        ({"receiver_phone": HASH.upper()}, ("receiver_phone", "64 lower-case hex digits")),
        ({"receiver_phone": 7}, ("receiver_phone", "64 lower-case hex digits")),
    ],
)
def test_what_is_no_addressee_is_told(fields: dict[str, object], problem: tuple[str, str]) -> None:
    with pytest.raises(InvalidField) as refused:
        read_addressee(fields, NAMES)
    assert refused.value.fields == (problem,)


def test_a_message_has_no_receiver_by_number() -> None:
    with pytest.raises(InvalidField):
        addressed_by({"receiver_phone": HASH}, ("receiver_uid", "group_id"))
