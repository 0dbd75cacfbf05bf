# SPDX-License-Identifier: Apache-2.0
"""The Sendbird sample's sign-up, as its document describes it."""

import json
from typing import Any

import pytest

from tests.process.samples.world import Hosted, new_name
from tests.support.harness import Server


def newcomer(**changes: Any) -> dict[str, Any]:
    fields = {
        "email": f"{new_name('user')}@example.com",
        "nickname": "USER_NICKNAME",
        "password": "abc",
        "device_token": new_name("token"),
        "device_type": "IOS",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


@pytest.mark.parametrize("device_type", ["IOS", "ANDROID", "WEB"])
def test_a_newcomer_gets_a_session_and_a_name_at_sendbird(server: Server, device_type: str) -> None:
    body = newcomer(device_type=device_type)
    reply = server.client.post("/signup", json=body)
    assert reply.status_code == 200
    said = reply.json()
    assert (said["nickname"], said["email"]) == ("USER_NICKNAME", body["email"])
    assert body["email"].partition("@")[0] not in said["sendbird_id"]
    tokens = server.client.post("/v1/tokens/refresh", json={"refresh_token": said["session"]}).json()
    devices = server.client.get("/v1/devices", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()
    assert [device["device_type"] for device in devices["items"]] == [device_type]


def test_a_client_that_names_no_content_type_and_no_nickname_is_understood(server: Server) -> None:
    body = newcomer(nickname=None, device_token=None, device_type=None)
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl -d says
    said = server.client.post("/signup", content=json.dumps(body), headers=form).json()
    assert said["nickname"] == body["email"].partition("@")[0]


def test_an_email_is_one_person_s_and_lets_them_in_natively_as_well(server: Server) -> None:
    body = newcomer()
    assert server.client.post("/signup", json=body).status_code == 200
    again = server.client.post("/signup", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "taken")
    credentials = {"email": body["email"], "password": body["password"]}
    assert server.client.post("/v1/login", json=credentials).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": None}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": None, "login": "ann"}, "email"),
        ({"password": "ab"}, "password"),
        ({"password": None}, "password"),
        ({"device_type": "PAGER"}, "device_type"),
        ({"device_token": "x" * 5000}, "device_token"),
        ({"nickname": "x" * 65}, "nickname"),
    ],
)
def test_what_is_wrong_is_named(server: Server, changes: dict[str, Any], field: str) -> None:
    refused = server.client.post("/signup", json=newcomer(**changes))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
    assert [error["field"] for error in refused.json()["errors"]] == [field]


def test_a_configured_sendbird_has_the_account_at_once_or_with_its_first_token(hosted: Hosted) -> None:
    first = hosted.server.client.post("/signup", json=newcomer()).json()
    [account] = hosted.sendbird.ask("inbox")[first["sendbird_id"]]
    assert account["nickname"] == "USER_NICKNAME"
    hosted.sendbird.tell("fault", kind="502").raise_for_status()
    second = hosted.server.client.post("/signup", json=newcomer())
    assert second.status_code == 200
    assert second.json()["sendbird_id"] not in hosted.sendbird.ask("inbox")
    refreshed = {"refresh_token": second.json()["session"]}
    tokens = hosted.server.client.post("/v1/tokens/refresh", json=refreshed).json()
    given = hosted.server.client.post(
        "/v1/chat/token",
        json={"provider": "sendbird"},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    ).json()
    assert given["chat_username"] == second.json()["sendbird_id"]
