# SPDX-License-Identifier: Apache-2.0
"""The push vendors' emulators in a process of their own, and what each says that it received, told in one way."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.support.vendors import Vendor, emulators

TITLES = {
    "getui": "GeTui",
    "fcm": "FCM",
    "apns": "APNs",
    "webpush": "Web Push",
    "ntfy": "ntfy",
    "webhook": "Webhook",
}
LIMITED = {
    "getui": "10005",
    "fcm": "QUOTA_EXCEEDED",
    "apns": "TooManyRequests",
    "webpush": "429",
    "ntfy": "42901",
    "webhook": "429",
}
"""How each vendor says that it has too many of our calls."""


class Received(NamedTuple):
    """A push that a vendor took: for whom, of which message, and under which id, where the vendor is given one."""

    target: str
    message_id: int
    dedupe_id: str


@dataclass(frozen=True)
class PushVendor(Vendor):
    """One emulator: its control plane, and the tokens that it takes."""

    name: str

    def tell(self, what: str, **how: Any) -> httpx.Response:
        return super().tell(what, **how).raise_for_status()

    def token(self, number: int, vapid_public_key: str = "") -> str:
        """The token of a device; the same number gives the same one, but for Web Push, which makes a new one."""
        match self.name:
            case "apns":
                return f"{number:064x}"
            case "ntfy":
                return f"{self.url}/topic{number}"
            case "webhook":
                return f"{self.url}/hook/{number}"
            case "webpush":
                asked = {"applicationServerKey": vapid_public_key}
                return httpx.post(f"{self.url}/subscribe", json=asked, trust_env=False, verify=False).text
        return f"{self.name}{number}"

    def target_of(self, token: str) -> str:
        """What the emulator's inbox calls the device with this token."""
        if self.name == "webpush":
            token = str(json.loads(token)["endpoint"])
        return token.rpartition("/")[2]

    def received(self) -> list[Received]:
        """Every push that was kept, oldest first for each device."""
        inbox: dict[str, list[dict[str, Any]]] = self.ask("inbox")
        return [Received(target, *self._read(item)) for target, items in inbox.items() for item in items]

    def _read(self, item: dict[str, Any]) -> tuple[int, str]:
        match self.name:
            case "getui":
                return json.loads(item["transmission"])["message_id"], item["request_id"]
            case "fcm":
                return int(item["data"]["message_id"]), ""
            case "apns":
                return item["payload"]["message_id"], item["id"]
            case "webpush":
                return json.loads(item["text"])["message_id"], item["topic"]
            case "ntfy":
                return json.loads(item["message"])["message_id"], ""
        return item["body"]["message_id"], item["webhook_id"]


@dataclass(frozen=True, slots=True)
class PushVendors:
    """The emulators that were asked for, by name, and the section `push` that points a server at them."""

    each: dict[str, PushVendor]
    push: dict[str, Any]


@contextmanager
def emulated(folder: Path, names: Sequence[str] = tuple(TITLES)) -> Iterator[PushVendors]:
    """The emulators in one process, for the length of a block; `folder` takes the keys that they make."""
    with emulators(names[0] if len(names) == 1 else "all", folder=folder) as started:
        vendors = {name: PushVendor(started.urls[TITLES[name]], name) for name in names}
        yield PushVendors(vendors, started.config["push"])
