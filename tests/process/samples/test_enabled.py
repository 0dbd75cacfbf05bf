# SPDX-License-Identifier: Apache-2.0
"""Where the front doors for the sample clients are, and where they are not."""

from pathlib import Path

import httpx
import pytest

from app.services import sample_settings
from config.exposure import guard
from config.load import load
from handlers.routes import ROUTES
from tests.support.harness import running

PUBLIC = "server: {host: 192.0.2.1}"
LOCAL = "server: {host: 127.0.0.1}"
BEHIND = "server: {host: 127.0.0.1, behind_proxy: true, trusted_proxies: [127.0.0.1]}"


@pytest.mark.parametrize(
    ("written", "enabled", "open_token"),
    [
        (LOCAL, True, True),
        (LOCAL + "\nsamples: {enabled: false}", False, True),
        (LOCAL + "\nsamples: {agora_open_token: false}", True, False),
        (PUBLIC, False, False),
        (PUBLIC + "\nsamples: {enabled: true}", True, False),
        ("server: {host: 10.0.0.1, development_lan: true}", False, False),
        (BEHIND, False, False),
    ],
)
def test_what_is_not_written_is_on_where_this_machine_alone_comes(
    tmp_path: Path, written: str, enabled: bool, open_token: bool
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(written)
    found = sample_settings(load(file))
    assert (found.enabled, found.agora_open_token) == (enabled, open_token)


@pytest.mark.parametrize(("enabled", "refused"), [("true", True), ("false", False), ("null", False)])
def test_open_tokens_are_refused_to_the_public(tmp_path: Path, enabled: str, refused: bool) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"{PUBLIC}\nsamples: {{enabled: {enabled}, agora_open_token: true}}")
    assert any("agora_open_token" in why for why in guard(load(file))) == refused


def test_where_they_are_off_nothing_is_there(tmp_path: Path) -> None:
    with running(tmp_path, {"samples": {"enabled": False}}) as server:
        samples = [route for route in ROUTES if route.sample]
        assert len(samples) == 9
        with httpx.Client(base_url=server.client.base_url, trust_env=False, verify=False) as client:
            for route in samples:
                reply = client.request(route.method, route.path)
                assert (reply.status_code, reply.json()["code"]) == (404, "not_found"), route.path
                assert "Allow" not in reply.headers
        assert server.client.get("/healthz").status_code == 200
