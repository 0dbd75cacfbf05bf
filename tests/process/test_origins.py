# SPDX-License-Identifier: Apache-2.0
"""Pages of other origins: which may call, what they may read, and that no other changes anything for a visitor."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.process.hostile_wire import by
from tests.support import PATIENCE, proxies
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Person, Server, phone_number, running

LISTED = "https://app.example"
ALL_LISTED = [LISTED, "http://localhost:5173", "capacitor://localhost", "https://with-port.example:443"]
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

pytestmark = ON_SQLITE


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    settings = {"limits": {"enabled": False}, "server": {"cors_origins": ALL_LISTED}}
    with running(new_folder("origins"), settings) as server:
        yield server
        assert server.failures() == []


def registered(server: Server, headers: dict[str, str]) -> tuple[int, str | None]:
    body = {"region_num": "86", "phone_num": phone_number(), "nickname": "visitor"}
    reply = server.client.post("/v1/register", data=body, headers=headers)
    return reply.status_code, reply.json().get("code")


@pytest.mark.parametrize("origin", [*ALL_LISTED, "https://with-port.example", "HTTPS://APP.EXAMPLE:443"])
def test_a_listed_page_asks_first_and_reads_the_reply(server: Server, origin: str) -> None:
    asked = server.client.options("/v1/register", headers={"Origin": origin, **ASK})
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == origin
    assert asked.headers["access-control-max-age"] == "600"
    assert "POST" in asked.headers["access-control-allow-methods"]
    allowed = {name.strip().lower() for name in asked.headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "content-type", "idempotency-key", "upload-draft-interop-version"} <= allowed
    assert registered(server, {"Origin": origin, "Sec-Fetch-Site": "cross-site"}) == (201, None)
    refused = server.client.get("/v1/me", headers={"Origin": origin, "Sec-Fetch-Mode": "cors"})
    assert refused.headers["access-control-allow-origin"] == origin
    assert {"Retry-After", "X-Request-Id"} <= set(refused.headers["access-control-expose-headers"].split(", "))
    assert refused.headers["vary"] == "Origin"
    assert refused.headers["www-authenticate"] == 'Bearer realm="glimpse"'


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://app.example", "https://app.example.evil.example", "http://[", "*", "://"],
)
def test_any_other_page_reads_nothing_and_changes_nothing(server: Server, origin: str) -> None:
    asked = server.client.options("/v1/register", headers={"Origin": origin, **ASK})
    assert asked.status_code == 204
    assert not any(name.startswith("access-control-") for name in asked.headers)
    assert registered(server, {"Origin": origin}) == (403, "cross_site")
    assert registered(server, {"Origin": origin, "Sec-Fetch-Site": "same-site"}) == (403, "cross_site")
    assert "access-control-allow-origin" not in server.client.get("/healthz", headers={"Origin": origin}).headers


def test_what_the_browser_vouches_for_is_taken(server: Server) -> None:
    assert registered(server, {"Sec-Fetch-Site": "same-origin"}) == (201, None)
    assert registered(server, {"Sec-Fetch-Site": "none"}) == (201, None)
    assert registered(server, {"Sec-Fetch-Site": "cross-site"}) == (403, "cross_site")
    assert registered(server, {"Origin": f"http://127.0.0.1:{server.port}"}) == (201, None)
    assert registered(server, {"Origin": f"http://127.0.0.1:{server.port + 1}"}) == (403, "cross_site")
    assert registered(server, {"Origin": "http://c.example", "Host": "c.example:80"}) == (201, None)


def test_who_shows_a_credential_is_not_asked_where_from(server: Server) -> None:
    ann = server.register("Ann")
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert ann.request("PATCH", "/v1/me", json={"nickname": "Ann B."}, headers=headers).status_code == 200


def test_an_options_request_that_asks_nothing_is_no_method_here(server: Server) -> None:
    reply = server.client.options("/v1/register", headers={"Origin": LISTED})
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
    assert server.client.options("/nowhere", headers={"Origin": LISTED, **ASK}).status_code == 404


def test_behind_a_proxy_our_own_origin_is_the_one_that_it_names(new_folder: NewFolder) -> None:
    settings = {"server": {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"]}, "limits": {"enabled": False}}
    with running(new_folder("proxied"), settings) as server:
        page, host = "https://c.example", {"Host": "c.example"}
        assert registered(server, {"Origin": page, **host}) == (201, None)
        assert registered(server, {"Origin": page, "Host": "c.example:443"}) == (201, None)
        named = {**host, "X-Forwarded-Proto": "http", "X-Forwarded-Port": "8000"}
        assert registered(server, {"Origin": "http://c.example:8000", **named}) == (201, None)
        assert registered(server, {"Origin": page, **named}) == (403, "cross_site")
        assert registered(server, {"Origin": "http://c.example", **host}) == (403, "cross_site")


def test_the_public_address_is_our_own_origin(new_folder: NewFolder) -> None:
    settings = {"server": {"public_url": "https://glimpse.example"}, "limits": {"enabled": False}}
    with running(new_folder("public"), settings) as server:
        assert registered(server, {"Origin": "https://glimpse.example"}) == (201, None)
        assert registered(server, {"Origin": f"http://127.0.0.1:{server.port}"}) == (403, "cross_site")


@pytest.mark.skipif("nginx" in proxies.missing(), reason="needs nginx: make test-deps")
def test_the_pages_own_socket_opens_through_the_documented_nginx_on_any_port(tmp_path: Path) -> None:
    settings = {"server": {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"]}, "limits": {"enabled": False}}
    (tmp_path / "proxy").mkdir()
    with running(tmp_path, settings) as server, proxies.proxy("nginx", tmp_path / "proxy", server.port) as nginx:
        ann, host = server.register("Ann"), f"c.example:{nginx.port}"
        assert opened(nginx.port, ann, host, f"http://{host}").startswith(b"HTTP/1.1 101 ")
        for elsewhere in ("http://c.example", f"https://{host}", f"http://evil.example:{nginx.port}", "null"):
            assert opened(nginx.port, ann, host, elsewhere).startswith(b"HTTP/1.1 403 ")
        body = {"region_num": "86", "phone_num": phone_number(), "nickname": "visitor"}
        page = {"Host": host, "Origin": f"http://{host}"}
        assert httpx.post(f"http://127.0.0.1:{nginx.port}/v1/register", data=body, headers=page).status_code == 201


def opened(port: int, person: Person, host: str, origin: str) -> bytes:
    """How the answer to a WebSocket's handshake begins, which a page of this origin asked for."""
    key = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    upgrade = "Connection: Upgrade", "Upgrade: websocket", *key, by(person)
    head = [f"GET /v1/events/ws HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}", *upgrade, "", ""]
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall("\r\n".join(head).encode())
        return connection.recv(4096)
