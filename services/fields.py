# SPDX-License-Identifier: Apache-2.0
"""Reading the fields of a request: raw values in, checked values out. Nothing is decided or stored here.

A reader adds what is wrong to `problems` and goes on, so that a caller is told of everything at once: `check` ends the
reading.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from unicodedata import category

from models.addressee import Addressee, ToGroup, ToPerson, ToPhone
from models.errors import InvalidField
from models.group import GroupId
from models.ids import read_id
from models.phone import is_phone_hash
from models.user import UserId
from push.registry import VENDORS

MAX_NAME_CHARACTERS = 64
"""Of people and groups: the column."""
MAX_SHOWN_CHARACTERS = 64
"""Of a stranger's field name in a reply."""
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, lone surrogates, line and paragraph separators

Problems = list[tuple[str, str]]
"""What is wrong: a field's name and what it must be."""


def check(problems: Problems) -> None:
    """Raises InvalidField with all of the problems, by field, when there are any."""
    if problems:
        raise InvalidField(fields=sorted(problems))


def unknown(names: Iterable[str], known: Collection[str]) -> Problems:
    """A problem for each name that is not known, in order."""
    return sorted((shown(name), "unknown") for name in names if name not in known)


def shown(name: str) -> str:
    """A stranger's field name, fit for a reply: short, and without lone surrogates."""
    return name[:MAX_SHOWN_CHARACTERS].encode(errors="replace").decode()


def read_name(name: str, value: object, problems: Problems) -> str:
    """What a person or a group is called, trimmed."""
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= MAX_NAME_CHARACTERS or not _is_printable(text):
        problems.append((name, f"must be 1 to {MAX_NAME_CHARACTERS} characters, none of them a control character"))
    return text


def read_one_of(name: str, value: object, allowed: Collection[str], default: str, problems: Problems) -> str:
    """One of these words; the default when none is given."""
    if value is None or value == "":
        return default
    if not isinstance(value, str) or value not in allowed:
        problems.append((name, "must be one of " + ", ".join(sorted(allowed))))
        return default
    return value


def read_provider(name: str, value: object, configured: Collection[str], default: str, problems: Problems) -> str:
    """The push provider that a request names, or the usual one."""
    if isinstance(value, str) and value in VENDORS and value not in configured:
        problems.append((name, f"{value} is not configured on this server"))
        return default
    return read_one_of(name, value, configured, default, problems)


def read_text(name: str, value: object, limit: int, problems: Problems) -> str | None:
    """Printable text of at most `limit` characters; None when none is given."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > limit or not _is_printable(value):
        problems.append((name, f"must be text of at most {limit} characters, none of them a control character"))
        return None
    return value


def read_flag(fields: Mapping[str, Any], name: str) -> bool:
    """A wish that is off where it is not named; a form says it as text. Raises InvalidField."""
    value = fields.get(name, False)
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise InvalidField(fields=[(name, "must be true or false")])
    return value


def read_addressee(fields: Mapping[str, Any], names: Collection[str]) -> Addressee:
    """Whom the one of these fields that is given names. Raises InvalidField."""
    name = addressed_by(fields, names)
    return addressee(name, fields[name])


def addressed_by(fields: Mapping[str, Any], names: Collection[str]) -> str:
    """Which one of `receiver_uid`, `receiver_phone` and `group_id`, or of those taken here, is given.

    Raises InvalidField for none and for several.
    """
    given = [name for name in names if fields.get(name) is not None]
    if len(given) != 1:
        raise InvalidField(fields=[("receiver_uid", "exactly one of " + ", ".join(names))])
    return given[0]


def addressee(name: str, value: object) -> Addressee:
    """Whom the value of this field names. Raises InvalidField."""
    if name == "receiver_phone":
        if not isinstance(value, str) or not is_phone_hash(value):
            raise InvalidField(fields=[(name, "64 lower-case hex digits")])
        return ToPhone(value)
    number = read_id(value)
    if number is None:
        raise InvalidField(fields=[(name, "a positive integer")])
    return ToGroup(GroupId(number)) if name == "group_id" else ToPerson(UserId(number))


def _is_printable(text: str) -> bool:
    return UNPRINTABLE.isdisjoint(map(category, text))
