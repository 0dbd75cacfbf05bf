# SPDX-License-Identifier: Apache-2.0
"""The GeTui emulator itself: what it refuses, its control plane, and the process."""

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from emulators.getui import Running, running
from emulators.http import Fault
from push.providers.getui_auth import sign
from tests.support import ROOT
from tests.support.vendors import emulators

pytestmark = pytest.mark.anyio


class Caller:
    """Speaks the vendor's API by hand."""

    def __init__(self, vendor: Running, http: httpx.AsyncClient) -> None:
        self.vendor = vendor
        self.http = http
        self.token = ""

    async def call(self, path: str, document: Any) -> tuple[int, int, str]:
        url = f"{self.vendor.base_url}/{self.vendor.state.keys.app_id}/{path}"
        content = document if isinstance(document, str) else json.dumps(document)
        answer = await self.http.post(url, content=content, headers={"token": self.token})
        envelope = answer.json()
        self.token = (envelope.get("data") or {}).get("token", self.token)
        return answer.status_code, envelope["code"], envelope["msg"]

    async def sign_in(self, **changes: Any) -> tuple[int, int, str]:
        keys, now = self.vendor.state.keys, self.vendor.state.clock.now()
        signed = sign(keys.app_key, changes.get("timestamp", now), keys.master_secret)
        return await self.call("auth", {"sign": signed, "timestamp": now, "appkey": keys.app_key} | changes)


@pytest.fixture
async def caller(anyio_backend: str) -> AsyncIterator[Caller]:
    assert anyio_backend == "asyncio"
    async with running() as vendor, httpx.AsyncClient(trust_env=False, verify=False) as http:
        caller = Caller(vendor, http)
        await caller.sign_in()
        yield caller


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_connection_broken_on_demand_leaves_no_error(
    caller: Caller, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caller.vendor.state.faults.queue.append(Fault(kind))
    with pytest.raises(httpx.TransportError):
        await caller.call("push/single/cid", single())
    assert await caller.call("push/single/cid", single()) == (200, 0, "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def single(**changes: Any) -> dict[str, Any]:
    body = {"request_id": "0123456789", "audience": {"cid": ["c"]}, "push_message": {"transmission": "{}"}}
    return body | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"request_id": "short"}, "request_id is invalid"),
        ({"request_id": "x" * 33}, "request_id is invalid"),
        ({"audience": {"cid": ["a", "b"]}}, "cid is invalid"),
        ({"push_message": {}}, "please choose one of"),
        ({"push_message": {"transmission": "x", "revoke": {}}}, "please choose one of"),
        ({"push_message": {"transmission": "x" * 3073}}, "transmission size over limit"),
        ({"push_message": {"notification": {"title": "t" * 51, "body": "b", "click_type": "none"}}}, "title size"),
        ({"settings": {"ttl": 259_200_001}}, "ttl is invalid"),
        ({"settings": {"strategy": {"default": 5}}}, "strategy is invalid"),
        ({"push_channel": {"android": 7}}, "ups is invalid"),
        ({"task_name": "t" * 41}, "task_name is invalid"),
        ({"group_name": 7}, "group_name is invalid"),
        ({"invented": 1}, "invented is invalid"),
    ],
)
async def test_push_that_the_vendor_would_refuse_is_refused(
    caller: Caller, changes: dict[str, Any], message: str
) -> None:
    status, code, said = await caller.call("push/single/cid", single(**changes))
    assert (status, code) == (400, 20001)
    assert message in said
    assert caller.vendor.state.inbox == {}
    assert len(caller.vendor.state.violations) == 1


async def test_wrong_signature_timestamp_key_and_address_are_refused(caller: Caller) -> None:
    assert (await caller.sign_in(sign="0" * 64))[2] == "sign is invalid"
    assert (await caller.sign_in(appkey="other"))[2] == "appkey is invalid"
    caller.vendor.state.clock.ahead_ms += 86_400_000
    wall, moved = time.time_ns() // 1_000_000, caller.vendor.state.clock.now()
    for wrong in (wall - 601_000, wall + 630_000, moved - 630_000, moved + 630_000, "0"):
        assert (await caller.sign_in(timestamp=wrong))[2] == "timestamp is invalid"
    for right in (wall, moved):
        assert (await caller.sign_in(timestamp=right))[1] == 0
    assert (await caller.call("push/nowhere", {}))[:2] == (404, 404)
    assert (await caller.call("push/single/cid", "not json"))[:2] == (200, 1)


async def test_token_ends_after_a_day_and_when_it_is_given_back(caller: Caller) -> None:
    caller.vendor.state.clock.ahead_ms += 86_400_000
    assert (await caller.call("push/single/cid", single()))[:2] == (401, 10001)
    await caller.sign_in()
    base = f"{caller.vendor.base_url}/{caller.vendor.state.keys.app_id}"
    await caller.http.delete(f"{base}/auth/{caller.token}")
    assert (await caller.call("push/single/cid", single()))[:2] == (401, 10001)


async def test_hundred_and_first_sign_in_of_a_minute_is_refused(caller: Caller) -> None:
    answers = [(await caller.sign_in())[1] for _ in range(100)]
    assert answers == [0] * 99 + [10003]
    caller.vendor.state.clock.ahead_ms += 60_001
    assert (await caller.sign_in())[1] == 0


async def test_repeated_request_id_succeeds_and_delivers_nothing(caller: Caller) -> None:
    for transmission in ("first", "second"):
        push = single(push_message={"transmission": transmission})
        assert (await caller.call("push/single/cid", push))[:2] == (200, 0)
    assert [item["transmission"] for item in caller.vendor.state.inbox["c"]] == ["first"]
    assert caller.vendor.state.repeated == {"0123456789": 1}


async def test_batch_over_200_is_refused(caller: Caller) -> None:
    pushes = [single(request_id=f"{n:010}") for n in range(201)]
    assert (await caller.call("push/single/batch/cid", {"is_async": False, "msg_list": pushes}))[:2] == (400, 20001)
    assert caller.vendor.state.inbox == {}


async def test_batch_need_not_say_whether_it_waits_and_may_name_its_task(caller: Caller) -> None:
    pushes = [single(request_id=f"{n:010}", task_name="night", group_name="g-1") for n in range(3)]
    answer = await ask(caller, "push/single/batch/cid", {"msg_list": pushes})
    assert [list(statuses.values()) for statuses in answer["data"].values()] == [["successed_online"]] * 3
    assert (await ask(caller, "push/single/batch/cid", {"is_async": True, "msg_list": pushes}))["data"] == {}
    assert (await caller.call("push/single/batch/cid", {"is_async": 1, "msg_list": pushes}))[2] == "is_async is invalid"


async def ask(caller: Caller, path: str, document: Any, method: str = "POST") -> dict[str, Any]:
    """The answer as a whole."""
    url = f"{caller.vendor.base_url}/{caller.vendor.state.keys.app_id}/{path}"
    answer = await caller.http.request(method, url, json=document, headers={"token": caller.token})
    found: dict[str, Any] = answer.json()
    return found


async def test_message_is_made_once_and_sent_to_a_list(caller: Caller) -> None:
    caller.vendor.state.cids |= {"a": "offline", "b": "dead"}
    made = await ask(caller, "push/list/message", {"push_message": {"transmission": "hello"}, "task_name": "news"})
    task = made["data"]["taskid"]
    sent = await ask(caller, "push/list/cid", {"audience": {"cid": ["a", "b", "c"]}, "taskid": task, "is_async": False})
    assert sent["data"] == {task: {"a": "successed_offline", "c": "successed_online"}}
    later = await ask(caller, "push/list/cid", {"audience": {"cid": ["d"]}, "taskid": task, "is_async": True})
    assert later["data"] == {}
    assert sorted(caller.vendor.state.inbox) == ["a", "c", "d"]
    changes: list[dict[str, Any]] = [
        {"taskid": "RASL_0"},
        {"audience": {"cid": []}},
        {"audience": {"cid": ["x"] * 1001}},
    ]
    for wrong in changes:
        document = {"audience": {"cid": ["a"]}, "taskid": task} | wrong
        assert (await caller.call("push/list/cid", document))[:2] == (400, 20001)


async def test_push_to_all_reaches_every_phone_that_is_known(caller: Caller) -> None:
    caller.vendor.state.cids |= {"a": "online", "b": "dead", "c": "offline"}
    answer = await ask(caller, "push/all", single(audience="all"))
    assert answer["data"]["taskid"].startswith("RASS_")
    assert sorted(caller.vendor.state.inbox) == ["a", "all", "c"]
    tagged = single(request_id="1" * 10, audience={"fast_custom_tag": "vip"})
    assert (await ask(caller, "push/fast_custom_tag", tagged))["code"] == 0
    assert "vip" in caller.vendor.state.inbox
    tags = [{"key": "region", "values": ["11"], "opt_type": "or"}]
    assert (await ask(caller, "push/tag", single(request_id="2" * 10, audience={"tag": tags})))["code"] == 0
    assert (await caller.call("push/all", single(request_id="3" * 10)))[2] == "audience is invalid"


async def test_alias_stands_for_the_phones_that_have_it(caller: Caller) -> None:
    pairs = {"data_list": [{"cid": "a", "alias": "ann"}, {"cid": "b", "alias": "ann"}]}
    assert (await ask(caller, "user/alias", pairs))["code"] == 0
    answer = await ask(caller, "push/single/alias", single(audience={"alias": ["ann"]}))
    assert list(answer["data"].values()) == [{"a": "successed_online", "b": "successed_online"}]
    assert (await ask(caller, "user/alias", {"data_list": pairs["data_list"][:1]}, "DELETE"))["code"] == 0
    batch = {"msg_list": [single(request_id="1" * 10, audience={"alias": ["ann"]})]}
    assert (await ask(caller, "push/single/batch/alias", batch))["code"] == 0
    assert {cid: len(items) for cid, items in caller.vendor.state.inbox.items()} == {"a": 1, "b": 2}
    unknown = single(request_id="2" * 10, audience={"alias": ["nobody"]})
    assert (await caller.call("push/single/alias", unknown))[2] == "target user is invalid"


@pytest.mark.parametrize(("click_type", "code"), [("want", 0), ("payload", 0), ("url", 20001)])
async def test_harmony_has_clicks_of_its_own(caller: Caller, click_type: str, code: int) -> None:
    harmony = {"notification": {"title": "t", "body": "b", "click_type": click_type, "want": "{}"}}
    assert (await caller.call("push/single/cid", single(push_channel={"harmony": harmony})))[1] == code


async def test_control_plane_reads_and_sets(caller: Caller) -> None:
    url, http = caller.vendor.url, caller.http

    async def change(name: str, **document: Any) -> int:
        return (await http.post(f"{url}/__{name}", json=document)).status_code

    assert await change("cid", cid="c", state="offline") == 200
    assert await change("nothing") == 404
    await caller.call("push/single/cid", single(push_message={"transmission": "<b>hello"}))
    inbox = (await http.get(f"{url}/__inbox", params={"cid": "c"})).json()
    assert [(item["transmission"], item["status"]) for item in inbox] == [("<b>hello", "successed_offline")]
    assert "&lt;b&gt;hello" in (await http.get(url)).text
    assert await change("fault", kind="30019", after=1) == 200
    codes = [(await caller.call("push/single/cid", single(request_id=f"{n:010}")))[1] for n in range(3)]
    assert codes == [0, 30019, 0]
    assert await change("strict", on=True) == 200
    unknown = single(request_id="a" * 10, audience={"cid": ["unknown"]})
    assert (await caller.call("push/single/cid", unknown))[2] == "target user is invalid"
    assert await change("reset") == 200
    assert (await http.get(f"{url}/__inbox")).json() == {}


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("fault", '{"kind": "30018"}', "kind is one of 502, hang_before, "),
        ("fault", '{"kind": "502", "times": "often"}', "invalid literal for int"),
        ("fault", '{"times": 3}', "missing 1 required positional argument: 'kind'"),
        ("cid", '{"cid": "c", "state": "asleep"}', "state is one of online, offline, stale, dead"),
        ("clock", "86400000", "the body is no JSON object"),
        ("clock", "{advance", "Expecting property name"),
    ],
)
async def test_control_plane_says_why_it_cannot_set(caller: Caller, name: str, body: str, reason: str) -> None:
    answer = await caller.http.post(f"{caller.vendor.url}/__{name}", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert reason in answer.json()["error"]
    assert not caller.vendor.state.faults.queue


async def test_control_plane_says_what_there_is_to_read(caller: Caller) -> None:
    answer = await caller.http.get(f"{caller.vendor.url}/__letters")
    assert (answer.status_code, answer.json()["error"][:27]) == (404, "there is no letters, only i")


async def test_walk_of_the_page_goes_as_it_says(caller: Caller) -> None:
    page = (ROOT / "docs/emulators/getui.md").read_text()
    blocks = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "sign_in\n" in block]
    script = "".join(blocks).replace("http://127.0.0.1:9101", caller.vendor.url)
    walk = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, env={"PATH": os.environ["PATH"]}, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await walk.communicate()
    assert walk.returncode == 0
    assert re.findall(r'"code": (\d+)', said.decode()) == ["0", "10001", "0"]
    assert [item["request_id"] for item in caller.vendor.state.inbox["phone1"]] == ["0123456789", "1123456789"]


async def test_chances_are_met(caller: Caller) -> None:
    await caller.http.post(f"{caller.vendor.url}/__chances", json={"fail": 100})
    answer = await caller.http.post(f"{caller.vendor.base_url}/{caller.vendor.state.keys.app_id}/push/single/cid")
    assert (answer.status_code, answer.text[:6]) == (502, "<html>")


def test_process_prints_where_it_listens() -> None:
    with emulators("getui", "--app-id", "APP") as started, httpx.Client(trust_env=False, verify=False) as http:
        url = started.urls["GeTui"]
        assert http.get(f"{url}/__inbox").json() == {}
        assert http.post(f"{url}/v2/APP/push/single/cid").json()["code"] == 10001
