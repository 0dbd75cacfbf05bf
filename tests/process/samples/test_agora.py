# SPDX-License-Identifier: Apache-2.0
"""The Agora sample's three calls, as its document describes them."""

from typing import Any

import httpx
import pytest

from tests.process.samples.world import Hosted, new_name
from tests.support.engines import NewFolder
from tests.support.harness import Server, running

REGISTER, LOGIN = "/app/user/register", "/app/user/login"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def post(server: Server, path: str, account: str, password: str = "123") -> httpx.Response:
    body = {"userAccount": account, "userPassword": password}
    return server.client.post(path, json=body, headers=HEADERS)


def token(server: Server, account: str, session: str | None = None, **more: str) -> httpx.Response:
    query = {"userAccount": account, "channelName": "lobby", **more}
    headers = {"Authorization": f"Bearer {session}"} if session else {}
    return server.client.get("/token", params=query, headers={"Accept": "application/json", **headers})


def failure(reply: httpx.Response) -> tuple[int, str]:
    """What a failure says, which must be the sample's shape and nothing more."""
    assert reply.json().keys() == {"code", "errorInfo"}
    assert reply.json()["code"] == reply.status_code
    return reply.status_code, reply.json()["errorInfo"]


@pytest.mark.parametrize("account", ["jack", "jack@example.org", "+8613800138000"])
def test_who_registers_logs_in_with_a_token_that_the_service_takes(hosted: Hosted, account: str) -> None:
    registered = post(hosted.server, REGISTER, account)
    assert (registered.status_code, registered.json()) == (200, {"code": 200})
    said = post(hosted.server, LOGIN, account).json()
    assert said.keys() == {"code", "accessToken", "expireTimestamp", "chatUserName"}
    assert said["code"] == 200
    assert said["expireTimestamp"] > 1_600_000_000_000
    taken = hosted.agora.tell("login", username=said["chatUserName"], token=said["accessToken"])
    assert taken.status_code == 200
    assert hosted.agora.ask("inbox")[said["chatUserName"]][0]["nickname"] == account.partition("@")[0]


def test_a_token_opens_the_channel_for_who_listens_or_publishes(hosted: Hosted) -> None:
    account = new_name("jill")
    post(hosted.server, REGISTER, account)
    for query, rights in (({}, "1"), ({"publisherRole": "false"}, "1"), ({"publisherRole": "true"}, "1234")):
        said = token(hosted.server, account, **query).json()
        assert said.keys() == {"code", "accessToken", "expireTimestamp", "chatUserName", "agoraUid"}
        allowed = hosted.agora.tell("login", username=said["chatUserName"], token=said["accessToken"]).json()
        assert allowed["services"]["RTC"][0] == ["lobby", said["agoraUid"]]
        assert allowed["services"]["RTC"][1].keys() == set(rights)


def test_while_the_service_is_down_one_registers_and_logs_in_later(hosted: Hosted) -> None:
    account = new_name("late")
    hosted.agora.tell("fault", kind="502").raise_for_status()
    assert post(hosted.server, REGISTER, account).json() == {"code": 200}
    hosted.agora.tell("fault", kind="502").raise_for_status()
    refused = post(hosted.server, LOGIN, account)
    assert failure(refused) == (503, "unavailable")
    assert "Retry-After" in refused.headers
    assert post(hosted.server, LOGIN, account).status_code == 200


def test_without_credentials_for_agora_only_registering_works(server: Server) -> None:
    account = new_name("jack")
    assert post(server, REGISTER, account).json() == {"code": 200}
    assert failure(post(server, LOGIN, account)) == (404, "provider_not_configured")
    assert failure(token(server, account)) == (404, "provider_not_configured")
    assert failure(token(server, new_name("nobody"))) == (404, "provider_not_configured")
    assert failure(post(server, LOGIN, account, "124")) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("path", "request_", "status", "code"),
    [
        (REGISTER, {"json": {"userAccount": "jo", "userPassword": "123"}}, 422, "invalid_field"),
        (REGISTER, {"json": {"userAccount": "jack9", "userPassword": "12"}}, 422, "invalid_field"),
        (REGISTER, {"json": {"userAccount": ["jack9"], "userPassword": "123"}}, 422, "invalid_field"),
        (REGISTER, {"json": {"userAccount": "jack9", "userPassword": 123}}, 422, "invalid_field"),
        (REGISTER, {"json": {}}, 422, "invalid_field"),
        (REGISTER, {"content": b'{"userAccount": "jack9"'}, 400, "malformed_request"),
        (REGISTER, {"content": b"x" * 300_000}, 413, "too_large"),
        (REGISTER, {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_type"),
        (REGISTER, {"content": b"{}", "headers": {"Content-Encoding": "gzip"}}, 415, "unsupported_type"),
        (LOGIN, {"json": {"userAccount": "nobody", "userPassword": "123"}}, 401, "unauthenticated"),
        (LOGIN, {"json": {"userAccount": "nobody"}}, 422, "invalid_field"),
    ],
)
def test_failures_keep_the_shape(server: Server, path: str, request_: dict[str, Any], status: int, code: str) -> None:
    request = {**request_, "headers": {**HEADERS, **request_.get("headers", {})}}
    assert failure(server.client.post(path, **request)) == (status, code)


def test_a_taken_account_keeps_its_password(server: Server) -> None:
    account = new_name("jack")
    post(server, REGISTER, account)
    assert failure(post(server, REGISTER, account, "456")) == (409, "taken")
    assert failure(post(server, LOGIN, account, "456")) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"userAccount": "nobody-here"}, 404, "not_found"),
        ({"channelName": ""}, 422, "invalid_field"),
        ({"channelName": "späti"}, 422, "invalid_field"),
        ({"publisherRole": "maybe"}, 422, "invalid_field"),
        ({"uid": "7"}, 422, "invalid_field"),
        ({"userAccount": None}, 422, "invalid_field"),
        ({"channelName": None}, 422, "invalid_field"),
    ],
)
def test_a_question_that_is_wrong_is_answered_in_the_shape(
    hosted: Hosted, query: dict[str, str | None], status: int, code: str
) -> None:
    account = new_name("jack")
    post(hosted.server, REGISTER, account)
    asked = {"userAccount": account, "channelName": "lobby", **query}
    reply = hosted.server.client.get(
        "/token", params={name: value for name, value in asked.items() if value is not None}
    )
    assert failure(reply) == (status, code)


def test_closed_tokens_are_for_who_has_logged_in_and_a_rate_limit_keeps_the_shape(
    new_folder: NewFolder, hosted: Hosted
) -> None:
    settings = {
        "samples": {"agora_open_token": False, "room_socket_port": 0},
        "chat": hosted.agora.config["chat"],
        "limits": {"rates": {"per_address": {"register": "2/day"}}},
    }
    with running(new_folder("closed"), settings) as closed:
        for account in ("jack", "jill"):
            post(closed, REGISTER, account)
        assert failure(post(closed, REGISTER, "jock")) == (429, "rate_limited")
        logged_in = post(closed, LOGIN, "jack")
        session = logged_in.headers["X-Session-Token"]
        assert token(closed, "jack", session, publisherRole="true").json()["code"] == 200
        assert failure(token(closed, "jill", session)) == (404, "not_found")
        assert failure(token(closed, "nobody", session)) == (404, "not_found")
        for wrong in (None, "x", logged_in.json()["accessToken"], session[:-1] + "g"):
            assert failure(token(closed, "jack", wrong)) == (401, "unauthenticated")
        assert closed.failures() == []
