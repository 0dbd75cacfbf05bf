# SPDX-License-Identifier: Apache-2.0
"""What a person says of themselves, from the fields of a request. Values in, values out; nothing is stored here."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import category

from models import phone
from models.errors import InvalidField, InvalidPhone
from models.phone import Phone
from push.tokens import PROVIDERS

MAX_NICKNAME = 64
MAX_TERMS_VERSION = 64
MAX_TOKEN = 4096
MAX_TOKEN_OF = {"getui": 64}
DEVICE_TYPES = ("ANDROID", "IOS", "WEB")
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, lone surrogates, line and paragraph separators

Problems = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A person who wants an account, or theirs back. `cid` is their device's push token, if it has one."""

    phone: Phone
    nickname: str
    cid: str | None = field(repr=False)
    push_provider: str
    device_type: str
    terms_version: str | None

    def canonical(self) -> str:
        """The same text for the same request, however its number was typed. Holds the number in clear."""
        said = (self.nickname, self.cid, self.push_provider, self.device_type, self.terms_version)
        return json.dumps((self.phone.e164, *said))


def read_newcomer(fields: Mapping[str, Any], *, default_provider: str, providers: Collection[str]) -> Newcomer:
    """Raises InvalidField with every field that is wrong, and InvalidPhone when that is all that is wrong."""
    problems: Problems = []
    try:
        number = phone.parse(fields.get("region_num"), fields.get("phone_num"))
    except (InvalidField, InvalidPhone) as error:
        number = None
        refusal = error
        problems.extend(error.fields)
    nickname = read_nickname(fields.get("nickname"), problems)
    provider = read_provider("push_provider", fields.get("push_provider"), providers, default_provider, problems)
    cid = read_text("cid", fields.get("cid"), MAX_TOKEN_OF.get(provider, MAX_TOKEN), problems)
    device_type = read_one_of("device_type", fields.get("device_type"), DEVICE_TYPES, "", problems)
    terms_version = read_text("terms_version", fields.get("terms_version"), MAX_TERMS_VERSION, problems)
    if number is None and len(problems) == len(refusal.fields):
        raise refusal
    if number is None or problems:
        raise InvalidField(fields=problems)
    return Newcomer(number, nickname, cid, provider, device_type, terms_version)


def read_nickname(value: object, problems: Problems) -> str:
    """The trimmed nickname; what is wrong with it is added to `problems`."""
    return read_name("nickname", value, problems)


def read_name(name: str, value: object, problems: Problems) -> str:
    """What a person or a group is called, trimmed; what is wrong with it is added to `problems`."""
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= MAX_NICKNAME or not _is_printable(text):
        problems.append((name, f"must be 1 to {MAX_NICKNAME} characters, none of them a control character"))
    return text


def read_one_of(name: str, value: object, allowed: Collection[str], default: str, problems: Problems) -> str:
    if value is None or value == "":
        return default
    if not isinstance(value, str) or value not in allowed:
        problems.append((name, "must be one of " + ", ".join(sorted(allowed))))
        return default
    return value


def read_provider(name: str, value: object, configured: Collection[str], default: str, problems: Problems) -> str:
    """The push provider that a request names, or the usual one; what is wrong with it is added to `problems`."""
    if isinstance(value, str) and value in PROVIDERS and value not in configured:
        problems.append((name, f"{value} is not configured on this server"))
        return default
    return read_one_of(name, value, configured, default, problems)


def read_text(name: str, value: object, limit: int, problems: Problems) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > limit or not _is_printable(value):
        problems.append((name, f"must be text of at most {limit} characters, none of them a control character"))
        return None
    return value


def _is_printable(text: str) -> bool:
    return UNPRINTABLE.isdisjoint(map(category, text))
