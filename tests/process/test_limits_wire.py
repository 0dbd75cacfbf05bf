# SPDX-License-Identifier: Apache-2.0
"""How often an address and an account may do what, asked of a real server."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.engines import Engine
from tests.support.harness import running


@pytest.mark.usefixtures("engine")
def test_who_is_nobody_and_what_computes_passwords_is_counted(tmp_path: Path) -> None:
    rates = {"per_address": {"default": "8/day", "login": "2/day"}, "per_account": {"password": "1/day"}}
    with running(tmp_path, {"limits": {"rates": rates}}) as server:
        ann = server.register("Ann")
        logins = [server.client.post("/v1/login", json={}).status_code for _ in range(3)]
        changes = [ann.request("PUT", path, json={}).status_code for path in ("/v1/me/password", "/v1/me/credentials")]
        assert (logins, changes) == ([422, 422, 429], [422, 429])
        session = ann.request("POST", "/v1/tokens").json()["access_token"]
        assert server.client.post("/v1/logout", headers={"Authorization": f"Bearer {session}"}).status_code == 204
        ended: list[dict[str, str]] = [{}, {"Authorization": f"Bearer {session}"}]
        codes = [server.client.get("/v1/me", headers=headers).status_code for headers in ended * 4]
        assert codes == [401] * 4 + [429] * 4
        assert ann.request("GET", "/v1/me").status_code == 429
        assert server.failures() == []


def test_guesses_spread_over_workers_are_counted_together(engine: Engine, tmp_path: Path) -> None:
    rates = {"per_account": {"login_failure": "8/day"}}
    workers = 1 if engine.name == "sqlite" else 2
    with running(tmp_path, {"limits": {"rates": rates}, "server": {"workers": workers}}) as server:
        ann = server.register("Ann")

        def guess() -> int:
            with httpx.Client(base_url=server.client.base_url, trust_env=False, verify=False) as client:
                return client.get("/v1/me", auth=(ann.phone_hash, "A" * 43)).status_code

        with ThreadPoolExecutor(8) as threads:
            codes = list(threads.map(lambda _: guess(), range(40)))
        assert sorted(codes) == [401] * 8 + [429] * 32
        assert ann.request("GET", "/v1/me").status_code == 200
        assert server.failures() == []
