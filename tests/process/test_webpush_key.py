# SPDX-License-Identifier: Apache-2.0
"""The key that browsers subscribe with, and a picture announced to devices that name their own address."""

import asyncio
import json
from pathlib import Path

import pytest

from emulators import ntfy, webhook, webpush
from push.providers.webpush_vapid import new_key
from push.vapid_file import open_vapid_key
from tests.support.harness import Server, running, wait_until
from tests.support.pictures import jpeg

pytestmark = pytest.mark.anyio


def test_server_makes_its_key_and_tells_its_public_half_to_anybody(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        reply = server.client.get("/v1/push/vapid")
        assert reply.status_code == 200
        file = server.data_dir / "vapid.pem"
        assert reply.json() == {"public_key": open_vapid_key(file).public}
        assert file.stat().st_mode & 0o777 == 0o600


def test_server_without_web_push_has_no_key(tmp_path: Path) -> None:
    with running(tmp_path, {"push": {"webpush": {"enabled": False}}}) as server:
        reply = server.client.get("/v1/push/vapid")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        assert not (server.data_dir / "vapid.pem").exists()


async def test_picture_is_announced_to_a_browser_a_topic_and_a_webhook(tmp_path: Path) -> None:
    key = new_key()
    async with webpush.running() as browsers, ntfy.running() as topics, webhook.running() as hooks:

        def live(server: Server) -> int:
            """A picture's sender and receiver; its id."""
            public = server.client.get("/v1/push/vapid").json()["public_key"]
            assert public == key.public
            subscription = json.dumps(browsers.subscribe(public)[1])
            tokens = {"webpush": subscription, "ntfy": f"{topics.url}/phone", "webhook": hooks.hook("phone")}
            sender, receiver = server.register("a"), server.register("b")
            for provider, token in tokens.items():
                device = {"provider": provider, "token": token, "device_type": "WEB"}
                assert receiver.request("POST", "/v1/devices", json=device).status_code == 201
            sent = sender.send(receiver, jpeg())
            for emulator in (browsers, topics, hooks):
                wait_until(lambda inbox=emulator.state.inbox: bool(inbox), what="a push")  # type: ignore[misc]
            assert server.failures() == []
            return int(sent.headers["Message-Id"])

        push = {
            "allow_endpoints": [browsers.url, topics.url, hooks.url],
            "webpush": {"private_key": key.pem, "subject": "mailto:ops@example.org"},
            "webhook": {"secret": webhook.SECRET},
        }

        def in_thread() -> int:
            with running(tmp_path, {"push": push}) as server:
                return live(server)

        message_id = await asyncio.to_thread(in_thread)
        [[read]] = browsers.state.inbox.values()
        [published] = topics.state.inbox["phone"]
        [hooked] = hooks.state.inbox["phone"]
        assert json.loads(read["text"]) == json.loads(published["message"]) == hooked["body"]
        assert hooked["body"]["message_id"] == message_id
        assert browsers.state.violations + topics.state.violations + hooks.state.violations == []
    assert not (tmp_path / "data/vapid.pem").exists()
