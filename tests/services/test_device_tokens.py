# SPDX-License-Identifier: Apache-2.0
"""Which providers a device may name."""

from typing import Any

import pytest

from httpclient.endpoints import Endpoints
from services.device_tokens import DeviceTokens
from services.fields import Problems

UNKNOWN = "must be one of fcm, log"


@pytest.mark.parametrize(
    ("provider", "app", "place", "problems"),
    [
        (None, None, ("log", ""), []),
        ("", "", ("log", ""), []),
        ("fcm", "second", ("fcm", "second"), []),
        ("apns", None, None, [("provider", "apns is not configured on this server")]),
        ("getui", "x", None, [("provider", "getui is not configured on this server")]),
        ("webpush", None, None, [("provider", "webpush is not configured on this server")]),
        ("pigeon", None, None, [("provider", UNKNOWN)]),
        ("FCM", None, None, [("provider", UNKNOWN)]),
        (["fcm"], None, None, [("provider", UNKNOWN)]),
        (False, None, None, [("provider", UNKNOWN)]),
        ("fcm", None, None, [("app", "is not configured for this provider")]),
        ("log", ["x"], None, [("app", "is not configured for this provider")]),
    ],
)
def test_a_provider_that_is_known_and_one_that_is_not_are_told_apart(
    provider: Any, app: Any, place: tuple[str, str] | None, problems: Problems
) -> None:
    tokens = DeviceTokens((("log", ""), ("fcm", "second")), default_provider="log", endpoints=Endpoints())
    found: Problems = []
    read = tokens.read_place(provider, app, found)
    assert found == problems
    assert place is None or read == place
