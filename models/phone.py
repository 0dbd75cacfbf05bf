# SPDX-License-Identifier: Apache-2.0
"""Telephone numbers: what a person types becomes E.164, and E.164 becomes the `phone_hash` that clients know.

Not here: anything secret. A phone hash is an identifier; `models.keys` holds what protects a number at rest.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from models.errors import InvalidField, InvalidPhone

MAX_TYPED = 40
NEIGHBOUR_DIGITS = 4
CAN_BE_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.UNKNOWN}
NO_COUNTRY = {"ZZ", "001"}  # unknown calling codes, and those of no country: satellite, premium, toll-free

# Digits of any script, what people put between them, and the invisible marks that address books copy along.
# No letter, no semicolon, no hash: neither vanity numbers nor extensions.
_TYPED = re.compile(
    r"[\d +().\[\]/\-\t\u00a0\u200b\u200e\u200f\u2010-\u2015\u202a-\u202e\u2060\u2212\u3000＋－（）．／]+"
)
_REGION = re.compile(r"\+?[0-9]{1,3}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Phone:
    """A valid number that can be mobile. `region_num` is its country calling code without a plus sign."""

    e164: str = field(repr=False)
    region_num: str


def parse(region_num: object, phone_num: object) -> Phone:
    """The number that a person means who types it as they do at home, in the country of that calling code.

    Each may be text or an integer, since forms and JSON both send them. Raises InvalidField for what is missing
    or has the wrong shape, and InvalidPhone for what is no valid number of that country or cannot be mobile.
    """
    typed, region = _text(phone_num), _text(region_num)
    wrong = []
    if not _REGION.fullmatch(region):
        wrong.append(("region_num", "must be a country calling code such as 86"))
    if not typed:
        wrong.append(("phone_num", "must be a telephone number"))
    if wrong:
        raise InvalidField(fields=wrong)
    if len(typed) > MAX_TYPED or not _TYPED.fullmatch(typed):
        raise _invalid()
    return _checked(_parsed(typed, int(region)), int(region))


def from_e164(e164: str) -> Phone:
    """A number that was parsed before. It is not judged again: metadata change, people keep their numbers."""
    return Phone(e164, str(phonenumbers.parse(e164).country_code))


def country_of(e164: str) -> str:
    """The ISO 3166 country of a number; its calling code where that belongs to none."""
    number = phonenumbers.parse(e164)
    return phonenumbers.region_code_for_number(number) or str(number.country_code)


def prefix_of(e164: str) -> str:
    """The number without its last four digits: what numbers that were bought together have in common."""
    return e164[:-NEIGHBOUR_DIGITS]


def phone_hash(e164: str) -> str:
    """Lower-case hex SHA-256 of the E.164 text with its plus sign."""
    return sha256(e164.encode("ascii")).hexdigest()


def is_phone_hash(text: str) -> bool:
    return _HASH.fullmatch(text) is not None


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    if isinstance(value, int):
        return str(value) if 0 <= value < 10**MAX_TYPED else ""
    return value.strip()


def _parsed(typed: str, region: int) -> PhoneNumber:
    country = phonenumbers.region_code_for_country_code(region)
    if country in NO_COUNTRY:
        raise _invalid()
    try:
        return phonenumbers.parse(typed, country)
    except NumberParseException:
        raise _invalid() from None


def _checked(number: PhoneNumber, region: int) -> Phone:
    of_region = number.country_code == region and not number.extension
    if not of_region or not phonenumbers.is_valid_number(number):
        raise _invalid()
    if phonenumbers.number_type(number) not in CAN_BE_MOBILE:
        raise _invalid()
    return Phone(phonenumbers.format_number(number, PhoneNumberFormat.E164), str(region))


def _invalid() -> InvalidPhone:
    return InvalidPhone(fields=[("phone_num", "is no mobile number of this country")])
