# SPDX-License-Identifier: Apache-2.0
"""What config.yaml allows, for tests that make a part by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from config.load import load
from models.rules import SendPolicy

CONFIG = load()
SHARES = ("per_friend_percent", "per_stranger_percent", "strangers_percent")
SMS_BUDGETS: dict[str, str] = CONFIG.activation.budgets.model_dump()


class Rates(TypedDict):
    """What `Limits` asks for."""

    per_address: Mapping[str, str]
    per_account: Mapping[str, str]
    per_phone: Mapping[str, str]
    per_device: Mapping[str, str]


def rates(*, per_address: Mapping[str, str] | None = None, per_account: Mapping[str, str] | None = None) -> Rates:
    """The rates, with those laid over them that are given here."""
    allowed = CONFIG.limits.rates
    return {
        "per_address": allowed.per_address | dict(per_address or {}),
        "per_account": allowed.per_account | dict(per_account or {}),
        "per_phone": allowed.per_phone,
        "per_device": allowed.per_device,
    }


def send_policy(**changed: Any) -> SendPolicy:
    """What people may send, where nobody's share of an inbox is bounded, with what is changed here."""
    return replace(CONFIG.fill(SendPolicy, "images", "inbox", "messaging"), **dict.fromkeys(SHARES, 100) | changed)
