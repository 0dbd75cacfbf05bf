# SPDX-License-Identifier: Apache-2.0
"""Small request bodies, whole in memory: JSON, urlencoded and multipart forms to plain fields.

Images never come this way: see `handlers.uploads`.
"""

import json
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from multipart import parse_options_header

from handlers.forms import DEFAULT_CHARSET, FormReader, Part
from models.errors import InvalidField, MalformedRequest, UnsupportedType
from services.fields import shown

MAX_BODY_BYTES = 256 * 1024
"""The largest body but for images: a contact list of 500 hashes takes 34 KB, a text at most 32 KB."""
MAX_FIELDS = 64
"""No operation has half as many; bounds what a form costs to read."""


def fields(content_type: str, body: bytes) -> dict[str, Any]:
    """The fields of a body: a JSON object's members, or a form's values as text.

    Raises MalformedRequest, InvalidField (a field given twice), UnsupportedType.
    """
    kind, options = parse_options_header(content_type)
    if kind == "application/json" or (not kind and not body):
        return json_object(body)
    if kind == "application/x-www-form-urlencoded":
        return unique(_urlencoded(body))
    if kind == "multipart/form-data":
        return unique(_multipart(options.get("boundary", ""), body))
    raise UnsupportedType("Send application/json or a form.")


def json_object(body: bytes) -> dict[str, Any]:
    """One JSON object in UTF-8; an empty body is an empty object. Raises MalformedRequest."""
    if not body:
        return {}
    try:
        value = _decode(body.decode())
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise MalformedRequest("The body must be a JSON object.")
    return value


def unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a dict. Raises InvalidField for a name that comes twice."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidField(fields=[(shown(name), "given more than once")])
        found[name] = value
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant).decode


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    """As the URL standard has it: UTF-8, raw or in escapes; nothing between two `&` is not a field."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise MalformedRequest("The form cannot be read.") from error


def _multipart(boundary: str, body: bytes) -> list[tuple[str, str]]:
    reader = FormReader(boundary, max_parts=MAX_FIELDS)
    parts: list[tuple[Part, bytearray]] = []
    for event in reader.whole(body):
        if isinstance(event, Part):
            parts.append((event, bytearray()))
        elif event:
            parts[-1][1].extend(event)
    texts = [(part.name, reader.text(part, value)) for part, value in parts]
    return [(name, text) for name, text in texts if name != DEFAULT_CHARSET]
