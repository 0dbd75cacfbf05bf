# SPDX-License-Identifier: Apache-2.0
"""The key that browsers subscribe with, as a server gives it."""

import json
from pathlib import Path

from push.vapid_file import open_vapid_key
from tests.harness import running


def test_server_makes_its_key_once_and_tells_its_public_half_to_anybody(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        reply = server.client.get("/v1/push/vapid")
        assert reply.status_code == 200
        key = open_vapid_key(server.data_dir / "vapid.pem")
        assert reply.json() == {"public_key": key.public}
        assert (server.data_dir / "vapid.pem").stat().st_mode & 0o777 == 0o600
        assert server.client.post("/v1/push/vapid", json={}).status_code == 405
        server.stop()
        assert server.failures() == []
    configured = tmp_path / "configured"
    configured.mkdir()
    with running(
        configured, {"push": {"webpush": {"private_key": key.pem, "subject": "mailto:a@example.org"}}}
    ) as server:
        assert server.client.get("/v1/push/vapid").json() == reply.json()
        assert not (server.data_dir / "vapid.pem").exists()
        assert json.dumps(key.pem)[1:-1] not in server.log.read_text()
