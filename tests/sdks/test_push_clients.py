# SPDX-License-Identifier: Apache-2.0
"""The service worker of docs/push-clients.md, run by Node against a server: shown, taken once, acknowledged."""

import re
from base64 import b64decode
from pathlib import Path

from tests.sdks.launching import by_node
from tests.support import ROOT
from tests.support.engines import ON_SQLITE
from tests.support.harness import running
from tests.support.pictures import jpeg

pytestmark = ON_SQLITE

PAGE = (ROOT / "docs/push-clients.md").read_text("utf-8")


def test_the_service_worker_shows_takes_and_acknowledges(tmp_path: Path) -> None:
    picture = jpeg(5000)
    with running(tmp_path) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        reply = ann.send(ben, picture)
        key, message_id = reply.headers["Message-Key"], int(reply.headers["Message-Id"])
        told = {"message_id": message_id, "message_key": key, "thumbnail_url": "https://x.example/v1/thumbnails/t"}
        [source] = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
        said = by_node(
            "service_worker",
            source=source,
            origin=str(server.client.base_url).rstrip("/"),
            authorization=ben.basic,
            told=told,
        )
        assert b64decode(said["bytes"]) == picture
        assert ann.status(key)["state"] == "consumed"
    first, again, retrieved = said["shown"]
    assert first == again
    assert (first["tag"], first["image"]) == (str(message_id), told["thumbnail_url"])
    assert retrieved["tag"] == "account_retrieved"
    assert said["failed"] == ["HTTP 503"]  # and the second click asks again
    assert said["opened"] == [f"/#image={key}"] * 2
    assert said["authorized"] is False
