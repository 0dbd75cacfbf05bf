# SPDX-License-Identifier: Apache-2.0
"""The emulators of the hosted chat services: many users at once, what is said of each, and why a login is refused."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest

from chat import agora_token
from chat.agora_token import Service, Token
from emulators import agora, sendbird

pytestmark = pytest.mark.anyio
KEYS = agora.Keys()
USERS = f"/{KEYS.org_name}/{KEYS.app_name}/users"


def token_of(
    *services: Service, certificate: str = KEYS.app_certificate, app_id: str = KEYS.app_id, ago: int = 0
) -> str:
    return agora_token.build(Token(app_id, int(time.time()) - ago, 600, 1, services), certificate)


@pytest.fixture
async def agoras(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    assert anyio_backend == "asyncio"
    bearer = {"Authorization": f"Bearer {token_of(agora_token.chat_app(600))}"}
    async with (
        agora.running() as (url, _),
        httpx.AsyncClient(base_url=url, trust_env=False, verify=False, headers=bearer) as http,
    ):
        yield http


def user(name: str, **more: Any) -> dict[str, Any]:
    return {"username": name, "password": "x", **more}


async def test_agora_takes_one_user_or_sixty_and_says_who_they_are(agoras: httpx.AsyncClient) -> None:
    one = (await agoras.post(USERS, json=user("ann", nickname="Ann"))).json()
    assert (one["action"], one["organization"], one["applicationName"]) == ("post", KEYS.org_name, KEYS.app_name)
    [entity] = one["entities"]
    assert uuid.UUID(entity["uuid"])
    assert {name: entity[name] for name in ("username", "nickname", "type", "activated")} == {
        "username": "ann",
        "nickname": "Ann",
        "type": "user",
        "activated": True,
    }
    many = await agoras.post(USERS, json=[user(f"user-{number}") for number in range(60)])
    assert (many.status_code, len(many.json()["entities"])) == (200, 60)
    assert len((await agoras.get(USERS)).json()["entities"]) == 61


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([], "illegal_argument"),
        ([user("new"), user("New")], "illegal_argument"),
        ([user("new"), user("ann")], "duplicate_unique_property_exists"),
        ([user("new"), user("new")], "duplicate_unique_property_exists"),
        ([user(f"u{number}") for number in range(61)], "illegal_argument"),
        (["new"], "illegal_argument"),
        (user("new", age=7), "illegal_argument"),
    ],
)
async def test_agora_makes_all_of_them_or_none(agoras: httpx.AsyncClient, body: Any, error: str) -> None:
    await agoras.post(USERS, json=user("ann"))
    refused = await agoras.post(USERS, json=body)
    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert list((await agoras.get("/__inbox")).json()) == ["ann"]


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (partial(token_of, agora_token.chat_user("ann", 600), certificate="0" * 32), "the signature is wrong"),
        (partial(token_of, agora_token.chat_user("ann", 600), app_id="0" * 32), "another app's"),
        (partial(token_of, agora_token.chat_user("ann", 600), ago=700), "expired"),
        (partial(token_of, agora_token.chat_user("ann", 60), ago=70), "the privilege has expired"),
        (partial(token_of, agora_token.chat_app(600)), "not a chat user's token"),
        (partial(token_of, agora_token.rtm("ann", 600)), "not a chat user's token"),
        (partial(token_of, agora_token.chat_user("ben", 600)), "another user's"),
        (lambda: "006abc", "not a token of version 007"),
        (lambda: "007abc", "neither base64 nor zlib"),
    ],
    ids=range(9),
)
async def test_agora_says_why_a_login_is_refused(agoras: httpx.AsyncClient, token: Callable[[], str], why: str) -> None:
    await agoras.post(USERS, json=user("ann"))
    refused = await agoras.post("/__login", json={"username": "ann", "token": token()})
    assert (refused.status_code, refused.json()["error_description"]) == (401, why)


@pytest.mark.parametrize("body", ["", "[", "[]", '{"username": "ann"}'])
async def test_agora_asks_for_what_a_login_needs(agoras: httpx.AsyncClient, body: str) -> None:
    assert (await agoras.post("/__login", content=body)).status_code == 400


async def test_sendbird_knows_its_users(anyio_backend: str) -> None:
    assert anyio_backend == "asyncio"
    async with (
        sendbird.running() as (url, vendor),
        httpx.AsyncClient(
            base_url=url, trust_env=False, verify=False, headers={"Api-Token": sendbird.API_TOKEN}
        ) as http,
    ):
        asked = {"user_id": "ann", "nickname": "Ann", "profile_url": "", "discovery_keys": None, "metadata": None}
        made = (await http.post("/users", json=asked)).json()
        assert (await http.get("/users/ann")).json() == made
        assert (await http.get("/users", params={"user_ids": "ann,ben"})).json()["users"] == [made]
        assert (await http.put("/users/ann", json={"nickname": "Anna"})).json()["nickname"] == "Anna"
        assert (await http.put("/users/ann", json={"nickname": 7})).json()["code"] == 400100
        assert (await http.get("/users/ben")).json()["code"] == 400201
        assert (await http.post("/users/ann/token", json={})).status_code == 200
        assert (await http.delete("/users/ann/token")).status_code == 200
        assert vendor.users["ann"]["session_tokens"] == []
        assert (await http.delete("/users/ann")).status_code == 200
        assert (await http.post("/users/ann/token", json={})).json()["code"] == 400301
        nowhere = await http.get("/channels")
        assert (nowhere.status_code, nowhere.json()["error"]) == (404, True)
