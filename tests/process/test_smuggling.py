# SPDX-License-Identifier: Apache-2.0
"""Requests that a proxy and the server might read in two ways, sent through proxies: what the proxy says that it passed
on is what the server says that it got.
"""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.hostile_wire import CLOSE, request
from tests.process.test_framing import CHUNKED, REFUSED, TAKEN, TOO_LARGE, post
from tests.support import proxies
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server, running, wait_until
from tests.support.proxies import Proxy, proxy

pytestmark = ON_SQLITE
HIDDEN = "/v1/push/vapid"
"""What only the smuggled request asks for."""


ODD = (
    "Transfer-Encoding: x",
    "Transfer-Encoding:\x0bchunked",
    "Content-Length: 0",
    "Transfer_Encoding: chunked",
    "X: a\nTransfer-Encoding: chunked",
)


@pytest.fixture(params=proxies.NAMES)
def between(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Proxy]]:
    if request.param in proxies.missing():
        pytest.skip(f"{request.param} is not installed (make test-deps)")
    settings = {
        "limits": {"enabled": False},
        "server": {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"], "body_timeout_seconds": 2},
    }
    (tmp_path / "proxy").mkdir()
    with running(tmp_path, settings) as server, proxy(request.param, tmp_path / "proxy", server.port) as found:
        yield server, found


def hostile() -> list[bytes]:
    """Every odd request of the framing tests, with another hidden in its body or behind it."""
    behind = request("GET", HIDDEN, CLOSE)
    cases = [*REFUSED.values(), *TOO_LARGE.values(), *(raw for raw, _ in TAKEN.values())]
    found = [raw.replace(request("GET", "/readyz"), behind) for raw in cases if len(raw) < 200_000]
    inside = len(behind)
    for odd in ODD:
        found.append(post(f"Content-Length: {inside}", odd, rest=behind))
        found.append(post(odd, f"Content-Length: {inside}", rest=behind))
        found.append(post(CHUNKED, odd, rest=b"%x\r\n%s\r\n0\r\n\r\n" % (inside, behind)))
    return found


def send(port: int, raw: bytes) -> None:
    """All of it, and whatever comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection, suppress(OSError):
        connection.sendall(raw)
        while connection.recv(65536):
            pass


def got(server: Server) -> Counter[str]:
    """What the server was asked, by route; what it could not read is "unread"."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"event": "request"' in line]
    return Counter(f"{line['method']} {line['route']}" if line["method"] else "unread" for line in lines)


def test_a_proxy_and_the_server_see_the_same_requests(between: tuple[Server, Proxy]) -> None:
    server, front = between
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda raw: send(front.port, raw), hostile()))
    passed = Counter(front.passed_on())
    wait_until(lambda: sum(got(server).values()) > 0, what="the first line")
    hidden = {(method, path): number for (method, path), number in passed.items() if HIDDEN in path}
    assert got(server)[f"GET {HIDDEN}"] <= sum(hidden.values())
    registers = sum(number for (_, path), number in passed.items() if path.endswith("/v1/register"))
    assert 0 < got(server)["POST /v1/register"] <= registers
    assert server.failures() == []
