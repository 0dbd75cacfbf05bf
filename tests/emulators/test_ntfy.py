# SPDX-License-Identifier: Apache-2.0
"""The ntfy emulator itself: what a message may say, by header, by query and by document."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from emulators.ntfy import Running, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as vendor:
        yield vendor


@pytest.fixture
async def http(vendor: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=vendor.url, trust_env=False, verify=False) as http:
        yield http


def said(vendor: Running, topic: str = "mine") -> dict[str, Any]:
    """The last message, without what the server adds."""
    added = {"id", "time", "expires", "event", "topic", "at"}
    return {name: value for name, value in vendor.state.inbox[topic][-1].items() if name not in added}


OPEN = {"action": "view", "label": "Open", "url": "https://example.org"}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Title": "Hello", "Tags": "tada, skull", "Priority": "high"}, {"title": "Hello", "priority": 4}),
        ({"X-Title": "Hello", "X-Priority": "5", "X-Tags": "tada,skull"}, {"title": "Hello", "priority": 5}),
        ({"t": "Hello", "ta": "tada,skull", "p": "MIN"}, {"title": "Hello", "priority": 1}),
        ({"Title": "=?UTF-8?B?5L2g5aW9?=", "Tags": "tada,skull"}, {"title": "你好"}),
        ({"Title": "你好".encode(), "Tags": "tada,skull"}, {"title": "你好"}),
        ({"Tags": "tada,skull", "Priority": "u=1, i"}, {}),
        ({"Tags": "tada,skull", "Click": "https://example.org", "Markdown": "yes"}, {"click": "https://example.org"}),
        ({"Tags": "tada,skull", "Actions": "view, Open, https://example.org"}, {"actions": [OPEN]}),
        ({"Tags": "tada,skull", "Attach": "https://example.org/a.png"}, {"attachment": {"name": "a.png"}}),
    ],
)
async def test_what_headers_say_is_kept(
    vendor: Running, http: httpx.AsyncClient, headers: Mapping[str, Any], found: dict[str, Any]
) -> None:
    answer = await http.post("/mine", content=" text\n", headers=headers)
    assert answer.status_code == 200
    kept = said(vendor)
    assert (kept["message"], kept["tags"]) == ("text", ["tada", "skull"])
    for name, value in found.items():
        assert kept[name] == value or kept[name].items() >= value.items()


@pytest.mark.parametrize("verb", ["publish", "send", "trigger"])
async def test_address_alone_publishes_what_it_says(vendor: Running, http: httpx.AsyncClient, verb: str) -> None:
    query = {"title": "Hello", "message": "one\\ntwo", "priority": "low", "tags": "x"}
    answer = await http.get(f"/mine/{verb}", params=query)
    assert (answer.status_code, answer.json()["event"]) == (200, "message")
    assert said(vendor) == {"title": "Hello", "message": "one\ntwo", "priority": 2, "tags": ["x"]}


async def test_document_says_the_same_as_headers(vendor: Running, http: httpx.AsyncClient) -> None:
    document = {
        "topic": "mine",
        "title": "Hello",
        "message": "text",
        "priority": 4,
        "tags": ["tada", "skull"],
        "actions": [OPEN],
        "markdown": True,
        "click": "https://example.org",
        "delay": "30min",
        "cache": "no",
        "email": None,
    }
    before = vendor.state.clock.now() // 1000
    answer = await http.post("/", json=document)
    assert answer.status_code == 200
    assert 1799 <= answer.json()["time"] - before <= 1801
    assert said(vendor) == {
        "title": "Hello",
        "message": "text",
        "priority": 4,
        "tags": ["tada", "skull"],
        "actions": [OPEN],
        "content_type": "text/markdown",
        "click": "https://example.org",
    }


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Priority": "9"}, 40007),
        ({"Priority": "loud"}, 40007),
        ({"Delay": "soon"}, 40004),
        ({"Delay": "1s"}, 40005),
        ({"Delay": "4 days"}, 40006),
        ({"Actions": "jump, Open"}, 40018),
        ({"Actions": "[{"}, 40018),
        ({"Attach": "file:///etc/passwd"}, 40013),
        ({"Icon": "icon.png"}, 40021),
        ({"Filename": "a.txt"}, 40014),
        ({"Email": "you@example.org"}, 40001),
        ({"Call": "yes"}, 40032),
    ],
)
async def test_what_the_server_would_refuse_is_refused(
    vendor: Running, http: httpx.AsyncClient, headers: dict[str, str], code: int
) -> None:
    by_header = await http.post("/mine", content="text", headers=headers)
    by_query = await http.get("/mine/publish", params={name.lower(): value for name, value in headers.items()})
    assert [answer.json()["code"] for answer in (by_header, by_query)] == [code] * 2
    assert vendor.state.inbox == {}


async def test_messages_of_several_topics_are_read_at_once(http: httpx.AsyncClient) -> None:
    for topic in ("a", "b", "a"):
        await http.put(f"/{topic}", content=f"to {topic}")
    lines = (await http.get("/a,b/json", params={"poll": 1})).text.splitlines()
    assert [httpx.Response(200, text=line).json()["message"] for line in lines] == ["to a", "to b", "to a"]


async def test_encrypted_message_is_one_of_unifiedpush(vendor: Running, http: httpx.AsyncClient) -> None:
    answer = await http.post("/up1", content=b"\xff\x00", headers={"Content-Encoding": "aes128gcm"})
    assert (answer.status_code, said(vendor, "up1")) == (200, {"message": "/wA=", "encoding": "base64"})
    await http.post("/__gone", json={"topic": "up1", "on": True})
    assert (await http.post("/up1", params={"up": 1}, content=b"x")).status_code == 410
