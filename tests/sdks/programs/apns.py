# SPDX-License-Identifier: Apache-2.0
"""aioapns: pushes of several types by one connection, and refusals."""

import asyncio
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol
from exchange import given, tell

address = urlsplit(given["base_url"])
private_key = Path(given["private_key_file"]).read_text()


class Emulated(APNsProductionClientProtocol):
    APNS_SERVER = address.hostname or ""
    APNS_PORT = address.port or 0


async def main() -> None:
    client = APNs(
        key=private_key,
        key_id=given["key_id"],
        team_id=given["team_id"],
        topic=given["topic"],
        ssl_context=ssl.create_default_context(cafile=given["ca_file"]),
    )
    client.pool.protocol_class = Emulated
    alert = {"aps": {"alert": {"title": "New message", "body": "Tap to open"}}, "message_id": 42}
    found = []
    for token, kind, message, suffix in (
        (given["token"], PushType.ALERT, alert, ""),
        (given["token"], PushType.BACKGROUND, {"aps": {"content-available": 1}}, ""),
        (given["token"], PushType.VOIP, alert, ".voip"),
        (given["token"], PushType.COMPLICATION, alert, ".complication"),
        (given["token"], PushType.MDM, {"mdm": "magic"}, ""),
        (given["token"], PushType.LIVEACTIVITY, {"aps": {"event": "end"}}, ".push-type.liveactivity"),
        (given["gone"], PushType.ALERT, alert, ""),
        ("0" * 10, PushType.ALERT, alert, ""),
    ):
        request = NotificationRequest(
            device_token=token,
            message=message,
            push_type=kind,
            priority=5 if kind is PushType.BACKGROUND else 10,
            time_to_live=3600,
            collapse_key="k",
            apns_topic=given["topic"] + suffix,
        )
        result = await asyncio.wait_for(client.send_notification(request), 20)
        found.append([result.status, result.description, result.is_successful])
    tell(results=found)


asyncio.run(main())
