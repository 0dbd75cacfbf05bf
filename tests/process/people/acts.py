# SPDX-License-Identifier: Apache-2.0
"""What people do about each other, and what a server's database says of it, in one word each."""

import json
from typing import Any

import httpx

from tests.support.harness import Person, Server


def ask(one: Person, other: Person | int) -> httpx.Response:
    return one.request("POST", "/v1/friends", json={"uid": other if isinstance(other, int) else other.uid})


def accept(one: Person, other: Person) -> httpx.Response:
    return one.request("POST", f"/v1/friends/{other.uid}/accept")


def part(one: Person, other: Person) -> None:
    assert one.request("DELETE", f"/v1/friends/{other.uid}").status_code == 204


def block(one: Person, other: Person) -> httpx.Response:
    reply = one.request("PUT", f"/v1/blocks/{other.uid}")
    assert reply.status_code == 204
    return reply


def unblock(one: Person, other: Person) -> None:
    assert one.request("DELETE", f"/v1/blocks/{other.uid}").status_code == 204


def discover(one: Person, *phone_hashes: str) -> httpx.Response:
    return one.request("POST", "/v1/contacts/discover", json={"phone_hashes": phone_hashes})


def report(one: Person, **fields: Any) -> httpx.Response:
    return one.request("POST", "/v1/reports", json=fields)


def standing(one: Person) -> dict[str, list[int]]:
    """The uids on each list of a person that is not empty."""
    pages = {state: one.request("GET", f"/v1/friends?state={state}") for state in ("friends", "incoming", "outgoing")}
    pages["blocks"] = one.request("GET", "/v1/blocks")
    found = {name: [item["uid"] for item in page.json()["items"]] for name, page in pages.items()}
    return {name: uids for name, uids in found.items() if uids}


def told(one: Person) -> list[tuple[str, Any]]:
    """A person's log of events: type and data."""
    sql = "SELECT type, data FROM events WHERE uid = ? ORDER BY event_id"
    return [(kind, json.loads(data)) for kind, data in rows(one.server, sql, one.uid)]


def rows(server: Server, sql: str, *values: Any) -> list[Any]:
    return server.database.rows(sql, *values)


def alike(*replies: httpx.Response) -> bool:
    """Whether nothing but the request id and the time tells the replies apart."""
    return len({_what_is_said(reply) for reply in replies}) == 1


def _what_is_said(reply: httpx.Response) -> str:
    ours = reply.headers["X-Request-Id"]
    headers = [(name, value) for name, value in reply.headers.items() if name != "date"]
    return f"{reply.status_code} {headers} {reply.text}".replace(ours, "REQUEST-ID")
