# SPDX-License-Identifier: Apache-2.0
"""Telephone numbers: what a person types becomes E.164, and E.164 becomes the `phone_hash` that clients know.

Not here: anything secret. A phone hash is an identifier; `models.keys` holds what protects a number at rest.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from hashlib import sha256

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from models.errors import InvalidField, InvalidPhone

MAX_TYPED = 100  # most of them may be invisible: some address books wrap every digit
MAX_INTEGER = 10**20
"""Longer than any number (E.164: 15 digits): turning an integer of any length into text takes the square of it."""
NEIGHBOUR_DIGITS = 4
"""A block of 10,000 numbers is what a carrier gives out at once, and what one buyer of numbers has."""
CAN_BE_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.UNKNOWN}
NO_COUNTRY = {"ZZ", "001"}  # unknown calling codes, and those of no country: satellite, premium, toll-free

# What a character is to whoever dials, by its Unicode category. No letter, no semicolon, no hash: neither vanity
# numbers nor extensions.
BY_CATEGORY = {"Cf": "", "Zs": " ", "Zl": " ", "Zp": " ", "Pd": "-", "Ps": "(", "Pe": ")"}
BY_NAME = {
    **dict.fromkeys("+\uff0b\ufb29\u207a", "+"),
    # Dashes that are none by category: minus signs, the long vowel mark of Japanese keyboards, tildes and the like.
    **dict.fromkeys("\u2212\u207b\u02d7\u2043\u30fc\uff70~\u2053\u223c\uff5e", "-"),
    **dict.fromkeys("\t./\uff0e\uff0f\u2044\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65", " "),
    # Invisible, and letters or marks by category: fillers, variation selectors, the blank of Braille.
    **dict.fromkeys("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\u20e3", ""),
    **dict.fromkeys(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))), ""),
}
# What was dialled before a mobile's ten digits until 2019, and is still in address books.
FORMER_PREFIX = {52: re.compile(r"(?:04[45]|01|1)(?=\d{10}$)")}

_REGION = re.compile(r"\+?[0-9]{1,3}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Phone:
    """A valid number that can be mobile. `region_num` is its country calling code without a plus sign."""

    e164: str = field(repr=False)
    region_num: str


def parse(region_num: object, phone_num: object) -> Phone:
    """The number that a person means who types it as they do at home, in the country of that calling code.

    One that begins with a plus needs no calling code beside it. Each may be text or an integer, since forms and JSON
    both send them. Raises InvalidField for what is missing or has the wrong shape, and InvalidPhone for an
    invalid number of that country or cannot be mobile.
    """
    typed, region = _text(phone_num), _text(region_num)
    dialled = _dialled(typed) if len(typed) <= MAX_TYPED else None
    wrong = []
    if not _REGION.fullmatch(region) and not ((dialled or "").startswith("+") and region_num in (None, "")):
        wrong.append(("region_num", "must be a country calling code such as 86"))
    if not typed:
        wrong.append(("phone_num", "must be a telephone number"))
    if wrong:
        raise InvalidField(fields=wrong)
    if not dialled:
        raise _invalid()
    return _checked(_parsed(dialled, int(region) if region else None))


def is_international(typed: str) -> bool:
    """Whether it begins with a plus, and so names its country itself."""
    return (_dialled(typed) or "").startswith("+")


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
        return str(value) if 0 <= value < MAX_INTEGER else ""
    return value.strip()


def _dialled(typed: str) -> str | None:
    """What was typed in ASCII: digits, plus signs and what is put between them. None where it holds anything else."""
    found = []
    for character in typed:
        digit = unicodedata.decimal(character, None)
        plain = str(digit) if digit is not None else BY_NAME.get(character)
        if plain is None:
            plain = BY_CATEGORY.get(unicodedata.category(character))
        if plain is None:
            return None
        found.append(plain)
    return "".join(found).strip()


def _parsed(dialled: str, region: int | None) -> PhoneNumber:
    """Raises InvalidPhone for an invalid number, and for one of another calling code."""
    country = phonenumbers.region_code_for_country_code(region) if region is not None else None
    if country in NO_COUNTRY:
        raise _invalid()
    try:
        number = phonenumbers.parse(dialled, country)
    except NumberParseException:
        raise _invalid() from None
    code = number.country_code or 0
    if number.extension or region not in (None, code) or phonenumbers.region_code_for_country_code(code) in NO_COUNTRY:
        raise _invalid()
    return number


def _checked(number: PhoneNumber) -> Phone:
    """Raises InvalidPhone for what nobody has, and for what cannot be mobile."""
    number = _without_former_prefix(number)
    kind = phonenumbers.number_type(number) if phonenumbers.is_valid_number(number) else None
    if kind == PhoneNumberType.FIXED_LINE:
        number, kind = _as_mobile(number)
    if kind not in CAN_BE_MOBILE:
        raise _invalid()
    return Phone(phonenumbers.format_number(number, PhoneNumberFormat.E164), str(number.country_code))


def _without_former_prefix(number: PhoneNumber) -> PhoneNumber:
    code = number.country_code or 0
    written = phonenumbers.national_significant_number(number)
    dialled = FORMER_PREFIX[code].sub("", written) if code in FORMER_PREFIX else written
    return PhoneNumber(country_code=code, national_number=int(dialled)) if dialled != written else number


def _as_mobile(number: PhoneNumber) -> tuple[PhoneNumber, int]:
    """In some countries a mobile is written at home as a fixed line is, and dialled from abroad with a digit more."""
    code = number.country_code or 0
    token = phonenumbers.country_mobile_token(code)
    mobile = PhoneNumber(country_code=code, national_number=int(f"{token}{number.national_number}"))
    is_mobile = token and phonenumbers.is_valid_number(mobile)
    return (mobile, phonenumbers.number_type(mobile)) if is_mobile else (number, PhoneNumberType.FIXED_LINE)


def _invalid() -> InvalidPhone:
    return InvalidPhone(fields=[("phone_num", "is no mobile number of this country")])
