# SPDX-License-Identifier: Apache-2.0
"""Devices and their pushes, as `operations/devices.yaml` describes them."""

from dataclasses import asdict

from handlers import paging
from handlers.base import BaseHandler
from handlers.route import PERSON, Route
from models.errors import NotFound
from models.ids import parse_id


class DevicesHandler(BaseHandler):
    """GET and POST /v1/devices."""

    async def get(self) -> None:
        wanted = paging.cursor(self.query("after", "before", "limit"))
        page = await self.services.devices.list_devices(self.uid, wanted)
        items = [
            {
                "device_id": device.device_id,
                "provider": device.provider,
                "app": device.app,
                "device_type": device.device_type,
                "registered_at": device.registered_at,
                "stale": device.stale_at is not None,
            }
            for device in page.items
        ]
        self.reply(200, {"items": items, "next": page.next})

    async def post(self) -> None:
        self.reply(201, {"device_id": await self.services.devices.register(self.uid, self.fields())})


class DeviceHandler(BaseHandler):
    """PUT and DELETE /v1/devices/{device_id}."""

    async def put(self, device_id: str) -> None:
        wanted = read_device_id(device_id)
        await self.services.devices.replace_token(self.uid, wanted, self.fields())
        self.reply(200, {"device_id": wanted})

    async def delete(self, device_id: str) -> None:
        await self.services.devices.end(self.uid, read_device_id(device_id))
        self.reply(204)


class TestPushHandler(BaseHandler):
    """POST /v1/devices/{device_id}/test-push."""

    async def post(self, device_id: str) -> None:
        self.reply(200, asdict(await self.services.devices.test_push(self.uid, read_device_id(device_id))))


class DevicePushesHandler(BaseHandler):
    """GET /v1/devices/{device_id}/pushes."""

    async def get(self, device_id: str) -> None:
        limit = paging.limit(self.query("limit"))
        pushes = await self.services.devices.pushes(self.uid, read_device_id(device_id), limit)
        self.reply(200, {"items": [asdict(push) for push in pushes], "next": None})


def read_device_id(text: str) -> int:
    """Raises NotFound for an invalid id."""
    device_id = parse_id(text)
    if device_id is None:
        raise NotFound
    return device_id


ROUTES = (
    Route("GET", "/v1/devices", DevicesHandler, PERSON, "default", "listDevices"),
    Route("POST", "/v1/devices", DevicesHandler, PERSON, "device", "registerDevice"),
    Route("PUT", "/v1/devices/{device_id}", DeviceHandler, PERSON, "device", "replaceDeviceToken"),
    Route("DELETE", "/v1/devices/{device_id}", DeviceHandler, PERSON, "default", "deleteDevice"),
    Route("POST", "/v1/devices/{device_id}/test-push", TestPushHandler, PERSON, "test_push", "testPush"),
    Route("GET", "/v1/devices/{device_id}/pushes", DevicePushesHandler, PERSON, "default", "listPushes"),
)
