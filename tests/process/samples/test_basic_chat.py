# SPDX-License-Identifier: Apache-2.0
"""Basic chat with links: create users, send the three kinds, fetch them by page, by the native interface."""

from typing import Any

import httpx

from tests.process.samples.world import new_name
from tests.support.harness import Server

KINDS: list[dict[str, Any]] = [
    {"kind": "text", "text": "hello"},
    {"kind": "image_link", "url": "https://example.org/cat.png", "width": 640, "height": 480},
    {"kind": "video_link", "url": "https://example.org/cat.mp4", "length_seconds": 213, "source": "YouTube"},
]


def create_user(server: Server, user_name: str) -> tuple[int, dict[str, str]]:
    """The user's id, and the header that authenticates it."""
    body = {"login": user_name, "password": "a password"}
    made = server.client.post("/v1/signup", json=body).json()
    tokens = server.client.post("/v1/login", json=body).json()
    return made["uid"], {"Authorization": f"Bearer {tokens['access_token']}"}


def fetch(server: Server, headers: dict[str, str], other: int, **query: int) -> httpx.Response:
    return server.client.get("/v1/messages", params={"with_uid": other, **query}, headers=headers)


def test_two_users_send_all_kinds_and_load_them_page_by_page(server: Server) -> None:
    (ann, as_ann), (ben, as_ben), (_, as_cat) = (create_user(server, new_name(stem)) for stem in ("ann", "ben", "cat"))
    sent = []
    for number, kind in enumerate([*KINDS, *KINDS]):
        to, headers = (ben, as_ann) if number % 2 else (ann, as_ben)
        reply = server.client.post("/v1/messages", json={"receiver_uid": to, **kind}, headers=headers)
        assert reply.status_code == 201
        sent.append((reply.json()["message_id"], kind))
    server.client.post("/v1/messages", json={"receiver_uid": ann, **KINDS[0]}, headers=as_cat)
    for headers, other in ((as_ann, ben), (as_ben, ann)):
        everything = fetch(server, headers, other).json()["items"]
        assert [each["message_id"] for each in everything] == [message_id for message_id, _ in reversed(sent)]
        for each, (_, kind) in zip(everything, reversed(sent), strict=True):
            assert {name: each[name] for name in kind} == kind
        pages = [fetch(server, headers, other, page=page, per_page=4).json() for page in (1, 2, 3)]
        assert [len(page["items"]) for page in pages] == [4, 2, 0]
        assert [item for page in pages for item in page["items"]] == everything
        assert {(page["total"], page["per_page"]) for page in pages} == {(6, 4)}
    assert fetch(server, as_cat, ben).json()["items"] == []
