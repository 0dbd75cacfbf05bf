# SPDX-License-Identifier: Apache-2.0
"""An emulator's page shows what a phone would: the preview that a notification names, fetched."""

from base64 import b64encode
from types import ModuleType

import httpx
import pytest
from tornado.web import Application, RequestHandler

from emulators import apns, fcm
from emulators.http import serving

pytestmark = pytest.mark.anyio

PICTURE = b"\xff\xd8 a picture"


class Preview(RequestHandler):
    def get(self, token: str) -> None:
        if token == "ended":
            self.set_status(404)
            return
        self.set_header("Content-Type", "image/jpeg")
        self.finish(PICTURE)


@pytest.mark.parametrize(("emulator", "fields"), [(fcm, "data"), (apns, "payload")], ids=["fcm", "apns"])
async def test_the_page_shows_the_picture_of_a_notification(emulator: ModuleType, fields: str) -> None:
    async with (
        serving(Application([(r"/v1/thumbnails/(.*)", Preview)], log_function=lambda _: None)) as server,
        emulator.running() as running,
        httpx.AsyncClient(verify=False) as http,
    ):
        urls = {name: f"{server}/v1/thumbnails/{name}" for name in ("kept", "ended")}
        running.state.inbox["shown"] = [{"at": 1, fields: {"thumbnail_url": urls["kept"]}}]
        running.state.inbox["ended"] = [{"at": 2, fields: {"thumbnail_url": urls["ended"]}}]
        running.state.inbox["away"] = [{"at": 3, fields: {"thumbnail_url": "http://127.0.0.1:1/x"}}]
        running.state.inbox["plain"] = [{"at": 4, fields: {"message_id": "7"}}, {"at": 5}]
        page = (await http.get(running.url)).text
        assert page.count("<img") == 1
        assert f"data:image/jpeg;base64,{b64encode(PICTURE).decode()}" in page
        assert page.count("no picture") == 2
        assert "404" in page
