# SPDX-License-Identifier: Apache-2.0
"""What a person types to sign up and log in, from the fields of a request. Values in, values out; nothing is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

from models.errors import InvalidField
from models.login import MAX_LOGIN, MIN_LOGIN, Name, NameKind, parse_name
from services.accounts.registration import DEVICE_TYPES, MAX_TOKEN
from services.fields import MAX_NAME_CHARACTERS, Problems, read_name, read_one_of, read_text

MIN_PASSWORD_BYTES = 8
"""NIST SP 800-63B, section 5.1.1.1."""
MAX_PASSWORD_BYTES = 1024
"""Room for any passphrase; bounds what is composed and hashed."""
# A composed letter is taken apart to at most one and a half times as many letters as it has bytes (U+0390).
MAX_TYPED = 2 * MAX_PASSWORD_BYTES

_FORMS = {
    NameKind.EMAIL: "must be an email address",
    NameKind.LOGIN: f"must be {MIN_LOGIN} to {MAX_LOGIN} visible characters without @",
}


@dataclass(frozen=True, slots=True)
class Signup:
    """A person who wants an account with a password. `device_token` is for the default push provider."""

    name: Name
    password: bytes = field(repr=False)
    nickname: str
    device_token: str | None = field(repr=False)
    device_type: str


def read_signup(fields: Mapping[str, Any], *, min_password_bytes: int) -> Signup:
    """Raises InvalidField with every field that is wrong."""
    problems: Problems = []
    name, default_nickname = _name(fields, problems)
    password = _password("password", fields.get("password"), min_password_bytes, problems)
    given = fields.get("nickname")
    nickname = read_name("nickname", default_nickname if given in (None, "") else given, problems) if name else ""
    device_token = read_text("device_token", fields.get("device_token"), MAX_TOKEN, problems)
    device_type = read_one_of("device_type", fields.get("device_type"), DEVICE_TYPES, "", problems)
    if name is None or problems:
        raise InvalidField(fields=problems)
    return Signup(name, password, nickname, device_token, device_type)


def read_name_text(fields: Mapping[str, Any]) -> tuple[NameKind, str]:
    """The one name that is given, as it was typed. Raises InvalidField."""
    given = [kind for kind in NameKind if fields.get(kind) is not None]
    if len(given) != 1:
        raise InvalidField(fields=[("email", "give either email or login")])
    kind, text = given[0], fields[given[0]]
    if not isinstance(text, str):
        raise InvalidField(fields=[(kind, _FORMS[kind])])
    return kind, text


def read_login_name(fields: Mapping[str, Any]) -> Name:
    """The one name that is given. Raises InvalidField, also for what has not the form of one."""
    problems: Problems = []
    name, _ = _name(fields, problems)
    if name is None:
        raise InvalidField(fields=problems)
    return name


def read_password(field_name: str, value: object, min_bytes: int = 1) -> bytes:
    """The password's bytes, composed (NFC) so that every keyboard's are the same. Raises InvalidField."""
    problems: Problems = []
    password = _password(field_name, value, min_bytes, problems)
    if problems:
        raise InvalidField(fields=problems)
    return password


def _name(fields: Mapping[str, Any], problems: Problems) -> tuple[Name | None, str]:
    """The name, and the nickname of who gives none; what is wrong is added to `problems`."""
    try:
        kind, text = read_name_text(fields)
    except InvalidField as error:
        problems.extend(error.fields)
        return None, ""
    name = parse_name(kind, text)
    if name is None:
        problems.append((kind, _FORMS[kind]))
    return name, text.strip().partition("@")[0][:MAX_NAME_CHARACTERS]


def _password(field_name: str, value: object, min_bytes: int, problems: Problems) -> bytes:
    """What is wrong is added to `problems`. Measured as it is kept: what one keyboard may type, every other may."""
    text = value if isinstance(value, str) else ""
    # Composing takes the square of a run of marks: of a whole body, half a minute.
    password = normalize("NFC", text).encode() if len(text) <= MAX_TYPED else b""
    if not min_bytes <= len(password) <= MAX_PASSWORD_BYTES:
        problems.append((field_name, f"must be text of {min_bytes} to {MAX_PASSWORD_BYTES} bytes in UTF-8"))
    return password
