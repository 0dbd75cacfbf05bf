# SPDX-License-Identifier: Apache-2.0
"""What a person says of themselves, from the fields of a request. Values in, values out; nothing is stored here."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from models import phone
from models.errors import InvalidField, InvalidPhone
from models.phone import Phone
from services.fields import Problems, read_name, read_one_of, read_provider, read_text

MAX_TERMS_VERSION = 64
MAX_TOKEN = 4096
"""More than any vendor's token, each of which its vendor then judges; a Web Push subscription as JSON is under 1 KB."""
DEVICE_TYPES = ("ANDROID", "IOS", "WEB")


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
    nickname = read_name("nickname", fields.get("nickname"), problems)
    provider = read_provider("push_provider", fields.get("push_provider"), providers, default_provider, problems)
    cid = read_text("cid", fields.get("cid"), MAX_TOKEN, problems)
    device_type = read_one_of("device_type", fields.get("device_type"), DEVICE_TYPES, "", problems)
    terms_version = read_text("terms_version", fields.get("terms_version"), MAX_TERMS_VERSION, problems)
    if number is None and len(problems) == len(refusal.fields):
        raise refusal
    if number is None or problems:
        raise InvalidField(fields=problems)
    return Newcomer(number, nickname, cid, provider, device_type, terms_version)
