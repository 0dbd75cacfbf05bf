# SPDX-License-Identifier: Apache-2.0
"""POST /v1/chat/token on the real server, with both services' emulators beside it as processes of their own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running
from tests.support.vendors import HostedVendor, vendor


@pytest.fixture(scope="module")
def agora() -> Iterator[HostedVendor]:
    with vendor("agora") as started:
        yield started


@pytest.fixture(scope="module")
def sendbird() -> Iterator[HostedVendor]:
    with vendor("sendbird") as started:
        yield started


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, agora: HostedVendor, sendbird: HostedVendor) -> Iterator[Server]:
    settings = {"chat": {**agora.config["chat"], **sendbird.config["chat"]}, "limits": {"enabled": False}}
    with running(new_folder("chat"), settings) as server:
        yield server
        assert server.failures() == []


def ask(person: Person, **wanted: Any) -> httpx.Response:
    return person.request("POST", "/v1/chat/token", json=wanted)


def test_an_agora_token_logs_its_person_in_and_opens_the_channel(server: Server, agora: HostedVendor) -> None:
    ann = server.register("Ann")
    given = ask(ann, provider="agora", channel="lobby", publisher=True).json()
    allowed = agora.tell("login", username=given["chat_username"], token=given["token"]).json()["services"]
    assert allowed["CHAT"] == [[given["chat_username"]], {"1": 86_400}]
    assert allowed["RTM"] == [[given["chat_username"]], {"1": 86_400}]
    assert allowed["RTC"] == [["lobby", given["agora_uid"]], dict.fromkeys("1234", 86_400)]
    heard = ask(ann, provider="agora", channel="lobby").json()
    allowed = agora.tell("login", username=heard["chat_username"], token=heard["token"]).json()["services"]
    assert allowed["RTC"][1] == {"1": 86_400}
    assert heard["chat_username"] == given["chat_username"]
    [account] = agora.ask("inbox")[given["chat_username"]]
    assert account["nickname"] == "Ann"
    assert ann.phone_hash not in str(account)
    ben = ask(server.register("Ben"), provider="agora").json()
    assert agora.tell("login", username=ben["chat_username"], token=given["token"]).status_code == 401
    assert agora.tell("login", username=ben["chat_username"], token=ben["token"]).json()["services"].keys() == {
        "CHAT",
        "RTM",
    }


def test_a_sendbird_token_is_the_one_that_sendbird_gave(server: Server, sendbird: HostedVendor) -> None:
    given = ask(server.register("Ann"), provider="sendbird").json()
    account, issued = sendbird.ask("inbox")[given["chat_username"]]
    assert account["nickname"] == "Ann"
    assert (issued["token"], issued["expires_at"]) == (given["token"], given["expires_at"])


@pytest.mark.parametrize("provider", ["agora", "sendbird"])
def test_first_uses_at_the_same_time_make_one_account(
    server: Server, request: pytest.FixtureRequest, provider: str
) -> None:
    ann, emulator = server.register("Ann"), request.getfixturevalue(provider)
    before = len(emulator.ask("inbox"))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: ask(ann, provider=provider), range(8)))
    assert [reply.status_code for reply in replies] == [200] * 8
    assert len({reply.json()["chat_username"] for reply in replies}) == 1
    assert len(emulator.ask("inbox")) == before + 1


@pytest.mark.parametrize(
    ("provider", "fault"),
    [
        ("agora", "502"),
        ("agora", "reset_after"),
        ("agora", "truncated"),
        ("agora", "redirect"),
        ("agora", "huge"),
        ("agora", "reach_limit"),
        ("agora", "forbidden_op"),
        ("sendbird", "502"),
        ("sendbird", "reset_after"),
        ("sendbird", "truncated"),
        ("sendbird", "500910"),
        ("sendbird", "400306"),
    ],
)
def test_a_service_that_fails_is_503_and_the_next_try_gives_a_token(
    server: Server, request: pytest.FixtureRequest, provider: str, fault: str
) -> None:
    ann, emulator = server.register("Ann"), request.getfixturevalue(provider)
    emulator.tell("fault", kind=fault).raise_for_status()
    refused = ask(ann, provider=provider)
    # A reply of 200 that is cut short still says that the account was made.
    assert refused.status_code == (200 if fault == "truncated" else 503)
    assert ask(ann, provider=provider).status_code == 200


def test_a_session_token_that_arrives_cut_short_is_none(server: Server, sendbird: HostedVendor) -> None:
    ann = server.register("Ann")
    sendbird.tell("fault", kind="truncated", after=1).raise_for_status()
    assert ask(ann, provider="sendbird").status_code == 503
    assert ask(ann, provider="sendbird").status_code == 200


def test_an_app_token_that_agora_no_longer_takes_is_made_anew(server: Server, agora: HostedVendor) -> None:
    agora.tell("fault", kind="unauthorized").raise_for_status()
    assert ask(server.register("Ann"), provider="agora").status_code == 200


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "provider"),
        ({"provider": "irc"}, "provider"),
        ({"provider": ["agora"]}, "provider"),
        ({"provider": "agora", "channel": ""}, "channel"),
        ({"provider": "agora", "channel": "c" * 65}, "channel"),
        ({"provider": "agora", "channel": "späti"}, "channel"),
        ({"provider": "agora", "channel": 7}, "channel"),
        ({"provider": "agora", "publisher": "yes"}, "publisher"),
        ({"provider": "agora", "uid": 7}, "uid"),
    ],
)
def test_what_is_wrong_is_named(server: Server, wanted: dict[str, Any], field: str) -> None:
    refused = ask(server.register("Ann"), **wanted)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
    assert [error["field"] for error in refused.json()["errors"]] == [field]


def test_without_credentials_there_is_no_such_provider(new_folder: NewFolder) -> None:
    with running(new_folder("bare")) as bare:
        refused = ask(bare.register("Ann"), provider="agora")
        assert (refused.status_code, refused.json()["code"]) == (404, "provider_not_configured")
