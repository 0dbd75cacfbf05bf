# SPDX-License-Identifier: Apache-2.0
"""Whose request it is counted as: behind a declared proxy, beside it, and for a number and a device."""

import contextlib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.address import Proxies
from tests.process.hostile_wire import CLOSE, JSON, provoke, request
from tests.support.engines import NewFolder
from tests.support.harness import Server, phone_number, running

OURS = ("127.0.0.1", "10.9.0.0/16", "2001:db8:9::/48")
PROXY, PEER, CLIENT = "10.9.1.1", "198.51.100.7", "203.0.113.5"

BELIEVED = [
    (PROXY, CLIENT, CLIENT),
    (PROXY, f"192.0.2.1, {CLIENT}", CLIENT),
    (PROXY, f"127.0.0.1, {CLIENT}", CLIENT),
    (PROXY, f"{CLIENT}, 10.9.2.2, 127.0.0.1", CLIENT),
    (PROXY, f" {CLIENT}\t,10.9.2.2 ", CLIENT),
    (PROXY, "2001:db8:1::5", "2001:db8:1::5"),
    ("2001:db8:9::1", CLIENT, CLIENT),
    (PROXY, f"{'192.0.2.1, ' * 1000}{CLIENT}", CLIENT),
]
NOT_BELIEVED = [
    (PEER, CLIENT),
    (PEER, f"{CLIENT}, 127.0.0.1"),
    (PEER, "127.0.0.1"),
    ("", CLIENT),
    ("no address", CLIENT),
    (PROXY, ""),
    (PROXY, "unknown"),
    (PROXY, f"{CLIENT}:443"),
    (PROXY, f"{CLIENT}, "),
    (PROXY, f"{CLIENT}, _hidden"),
    (PROXY, f"{CLIENT}, 10.9.0.1, <script>"),
    (PROXY, "127.0.0.1, 10.9.0.1"),
    (PROXY, f"{CLIENT}{', 127.0.0.1' * 1000}"),
]


@pytest.mark.parametrize(("peer", "forwarded_for", "client"), BELIEVED)
def test_of_what_a_declared_proxy_says_the_last_stranger_is_the_client(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert Proxies(OURS).client(peer, forwarded_for) == client


@pytest.mark.parametrize(("peer", "forwarded_for"), NOT_BELIEVED)
def test_from_anybody_else_and_of_nonsense_nothing_is_believed(peer: str, forwarded_for: str) -> None:
    assert Proxies(OURS).client(peer, forwarded_for) == peer


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=30))).map(",".join))
def test_without_proxies_and_for_strangers_no_header_counts(forwarded_for: str) -> None:
    assert Proxies(()).client(PEER, forwarded_for) == Proxies(OURS).client(PEER, forwarded_for) == PEER
    believed = Proxies(OURS).client(PROXY, forwarded_for)
    assert ip_address(believed)
    assert believed == PROXY or not Proxies(OURS).trusts(believed)


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    rates = {
        "per_address": {"register": "4/day"},
        "per_phone": {"register": "2/day", "test_number": "3/day"},
        "per_device": {"test_push": "2/day"},
    }
    set_ = {
        "server": {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"]},
        "activation": {"test_numbers": {"+8613700137000": "424242"}},
        "limits": {"rates": rates},
    }
    with running(new_folder("proxied"), set_) as server:
        yield server
        assert server.failures() == []


def register(server: Server, source: str, number: str | None = None) -> httpx.Response:
    body = {"region_num": "86", "phone_num": number or phone_number(), "nickname": "Ann"}
    headers = {"X-Forwarded-For": source, "X-Real-Ip": "192.0.2.99", "Forwarded": "for=192.0.2.98"}
    return server.client.post("/v1/register", json=body, headers=headers)


def refusal(reply: httpx.Response) -> int | str:
    """The status, or the code of a refusal with its time to wait."""
    if reply.status_code < 400:
        return reply.status_code
    assert int(reply.headers["Retry-After"]) >= 1
    return str(reply.json()["code"])


@pytest.mark.parametrize(
    ("sources", "another"),
    [
        ([f"192.0.2.{spoofed}, 203.0.113.1" for spoofed in range(5)], "203.0.113.2"),
        ([f"2001:db8:1:2::{last}" for last in range(5)], "2001:db8:1:3::1"),
    ],
)
def test_who_comes_through_the_proxy_is_counted_by_address_or_64_whatever_they_claim(
    server: Server, sources: list[str], another: str
) -> None:
    assert [refusal(register(server, source)) for source in sources] == [201] * 4 + ["rate_limited"]
    assert refusal(register(server, another)) == 201


def test_one_number_is_counted_for_each_address_and_nobody_uses_it_up_for_others(server: Server) -> None:
    number = phone_number()
    assert [refusal(register(server, "203.0.113.10", number)) for _ in range(3)] == [201, 202, "rate_limited"]
    assert refusal(register(server, "203.0.113.11", number)) == 202
    assert refusal(register(server, "203.0.113.10")) == 201


def test_a_test_number_whose_code_never_changes_is_counted_from_everywhere(server: Server) -> None:
    assert refusal(register(server, "203.0.113.20", "13700137000")) == 201
    found = [refusal(register(server, f"203.0.113.{last}", "13700137000")) for last in range(21, 25)]
    assert found == [202] * 3 + ["rate_limited"]


def test_a_device_is_tested_so_often_and_another_of_the_account_for_itself(server: Server) -> None:
    ann, bob = server.register("Ann"), server.register("Bob")
    first, second = (
        ann.request("POST", "/v1/devices", json={"provider": "log", "token": token}).json()["device_id"]
        for token in ("first", "second")
    )
    path = f"/v1/devices/{first}/test-push"
    assert bob.request("POST", path).status_code == 404, "a stranger's try is not counted"
    assert [refusal(ann.request("POST", path)) for _ in range(3)] == [200, 200, "rate_limited"]
    assert refusal(ann.request("POST", f"/v1/devices/{second}/test-push")) == 200


def test_who_asks_through_the_proxy_has_a_share_of_its_connections_and_others_have_theirs(tmp_path: Path) -> None:
    proxied = {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"], "max_connections": 16}

    def ask(client: str, *headers: str) -> bytes:
        return request("POST", "/v1/register", JSON, f"X-Forwarded-For: {client}", "Content-Length: 2", *headers)

    with running(tmp_path, {"server": proxied}) as server, contextlib.ExitStack() as stack:
        for client in ["203.0.113.1"] * 4 + [f"203.0.113.{last}" for last in range(2, 6)]:
            connection = stack.enter_context(server.connect())
            connection.sendall(ask(client, "Expect: 100-continue"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        (refused,) = provoke(server, ask("203.0.113.1", CLOSE))
        assert refused.refusal == (429, "rate_limited")
        (other,) = provoke(server, ask("203.0.113.9", CLOSE) + b"{}")
        assert other.status == 422
        assert server.failures() == []
