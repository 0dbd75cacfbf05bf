# SPDX-License-Identifier: Apache-2.0
"""Who asks for it gets all that is kept about them, and nothing that lets anybody in or tells what others did."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from handlers.openapi import document
from models.db.tables.personal_data import ACTIVATIONS, SECTIONS, USUAL_BYTES
from models.errors import NotFound
from services.accounts.export import PAGE_BYTES, Export
from tests.services.accounts.world import World
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, phone_number, running
from tests.support.pictures import jpeg
from tests.support.rows import insert


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("export"), {"limits": {"rates": {"per_account": {"export": "3/hour"}}}}) as server:
        yield server
        assert server.failures() == []


def export(person: Person) -> dict[str, Any]:
    reply = person.request("GET", "/v1/me/export")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_the_description_names_every_section() -> None:
    described = document()["components"]["schemas"]["Export"]
    names = {"exported_at", "profile", ACTIVATIONS.name, *(section.name for section in SECTIONS)}
    assert set(described["required"]) == set(described["properties"]) == names


def test_a_person_gets_what_they_said_and_did(server: Server) -> None:
    number = phone_number()
    ann = server.register("Ann “É”", phone_num=number, cid="cid-of-ann", terms_version="7")
    ben, cat = server.register("Ben"), server.register("Cat")
    sent = ann.send(ben, jpeg(), caption="to Ben").headers["Message-Key"]
    got = ben.send(ann, jpeg(), {"Idempotency-Key": "of-ben"}, caption="to Ann").headers["Message-Key"]
    ann.send(cat, jpeg(), {"Idempotency-Key": "of-ann"})
    ann.request("POST", "/v1/friends", json={"uid": ben.uid})
    ann.request("PUT", f"/v1/blocks/{cat.uid}")
    ann.request("POST", "/v1/reports", json={"uid": cat.uid, "reason": "rude"})
    ann.request("POST", "/v1/groups", json={"name": "Two", "members": [ben.uid]})
    session = ann.request("POST", "/v1/tokens").json()

    reply = ann.request("GET", "/v1/me/export")

    assert reply.headers["Content-Disposition"] == f'attachment; filename="glimpse-{ann.uid}.json"'
    found = reply.json()
    profile = found["profile"]
    assert (profile["uid"], profile["nickname"], profile["phone"]) == (ann.uid, "Ann “É”", f"+86{number}")
    assert (profile["phone_hash"], profile["terms_version"], profile["has_password"]) == (ann.phone_hash, "7", False)
    assert next((row["message_key"], row["caption"]) for row in found["sent"]) == (sent, "to Ben")
    assert [row["message_key"] for row in found["received"]] == [got]
    assert [(row["message_key"], row["state"]) for row in found["deliveries"]] == [(got, "pending")]
    assert found["events"][0]["message_id"] == found["received"][0]["message_id"]
    assert [(row["provider"], row["ended_at"]) for row in found["devices"]] == [("log", None)]
    assert found["pushes"][0]["message_id"] == found["received"][0]["message_id"]
    assert [(row["other_uid"], row["state"]) for row in found["friends"]] == [(ben.uid, "outgoing")]
    assert [row["blocked_uid"] for row in found["blocks"]] == [cat.uid]
    assert [(row["reported_uid"], row["reason"]) for row in found["reports"]] == [(cat.uid, "rude")]
    assert [(row["name"], row["role"]) for row in found["groups"]] == [("Two", "owner")]
    assert [len(found[name]) for name in ("ukeys", "sessions", "requests", "activations")] == [1, 1, 1, 0]
    for secret in (ann.ukey, session["access_token"], session["refresh_token"], "cid-of-ann", "of-ann"):
        assert secret not in reply.text


def test_nobody_learns_who_blocks_or_reported_them(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    ben.request("PUT", f"/v1/blocks/{ann.uid}")
    ben.request("POST", "/v1/reports", json={"uid": ann.uid, "reason": "ann-is-rude"})
    found = export(ann)
    assert (found["blocks"], found["reports"], found["friends"]) == ([], [], [])
    assert "ann-is-rude" not in json.dumps(found)
    assert f'"{ben.uid}"' not in json.dumps(found)


def test_it_is_not_had_too_often(server: Server) -> None:
    ann = server.register("Ann")
    replies = [ann.request("GET", "/v1/me/export") for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert (replies[-1].json()["code"], "Retry-After" in replies[-1].headers) == ("rate_limited", True)
    assert server.client.get("/v1/me/export").status_code == 401


def test_a_client_that_goes_away_half_way_harms_nothing(server: Server) -> None:
    ann = server.register("Ann")
    with server.client.stream("GET", "/v1/me/export", auth=ann.auth) as reply:
        assert reply.status_code == 200
    assert isinstance(ann.request("GET", "/v1/me"), httpx.Response)


@pytest.mark.anyio
async def test_a_large_account_comes_in_pieces_and_whole(world: World) -> None:
    ann = await world.register()
    rows = 2 * PAGE_BYTES // USUAL_BYTES + 1
    events = [(ann.uid, number, "image", 0, json.dumps({"n": number})) for number in range(rows)]
    insert(world.engine, "events", "uid, event_id, type, at, data", events)
    pieces = [piece async for piece in Export(db=world.db, keys=world.keys, clock=world.clock).pieces(ann.uid)]
    assert max(map(len, pieces)) < len("".join(pieces)) / 2
    assert [event["data"]["n"] for event in json.loads("".join(pieces))["events"]] == list(range(rows))


@pytest.mark.anyio
async def test_nobody_has_no_export(world: World) -> None:
    with pytest.raises(NotFound):
        await anext(Export(db=world.db, keys=world.keys, clock=world.clock).pieces(1))
