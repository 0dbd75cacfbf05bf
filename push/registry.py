# SPDX-License-Identifier: Apache-2.0
"""The push vendors that there are, and what is built of those that are configured."""

from collections.abc import Mapping
from typing import Any

from push.base import Provider
from push.providers import apns, fcm, getui, log, ntfy, webhook, webpush
from push.tokens import Token
from push.vendor import Settings, Tools, Vendor

VENDORS: dict[str, Vendor] = {each.VENDOR.name: each.VENDOR for each in (log, getui, fcm, apns, webpush, ntfy, webhook)}
"""The push vendors that Glimpse knows by name, whether this server has keys for them or not."""


def build(configured: Mapping[tuple[str, str], Settings], tools: Tools) -> dict[tuple[str, str], Provider]:
    """Build a provider for each of these, by name and app, the unnamed app as "".

    Raises ValueError for an invalid key, and OSError for a certificate file that cannot be read.
    """
    return {(name, app): VENDORS[name].build(settings, tools) for (name, app), settings in configured.items()}


def read_token(provider: str, value: Any) -> Token:
    """Parse a JSON value as a token of that provider. Raises ValueError, whose text shows nothing of the token."""
    return VENDORS.get(provider, log.VENDOR).read_token(value)
