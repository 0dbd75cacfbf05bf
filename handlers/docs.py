# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document as a page that reads without a script and needs nothing from elsewhere.

The page's frame is `docs.html`, its look and what makes calls are `web/docs/`; every text of the document is escaped on
its way into it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tornado.escape import xhtml_escape
from tornado.template import Template

from handlers.openapi import document, resolve
from handlers.web import POLICY, Asset, load

SAMPLES = "Sample clients"
"""The tag of what was made for others' clients, which is no part of the native interface."""
TEMPLATE = Path(__file__).with_name("docs.html")
BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches {}",
    "default": "default {}",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table of fields. `name` is a path: `items[].uid`."""

    name: str
    kind: str
    required: bool
    text: str


@cache
def page() -> bytes:
    """The page for this server's own document."""
    return render(document())


@cache
def docs_page() -> Asset:
    """The page as it is sent."""
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",
    }
    return Asset.of(headers, page(), compress=True)


def render(described: dict[str, Any]) -> bytes:
    """An OpenAPI document of ours as HTML in UTF-8."""
    template = Template(TEMPLATE.read_text(), name=TEMPLATE.name)
    return template.generate(
        api=described,
        root=load().root,
        parts=parts(described),
        operations=operations(described),
        resolve=resolve,
        fields=fields,
        kind=kind,
        prose=prose,
        pretty=pretty,
    )


def parts(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The native interface, then the front doors for the sample clients: each with its tags."""
    tags = described["tags"]
    return [
        {"title": "", "tags": [tag for tag in tags if tag["name"] != SAMPLES]},
        {"title": "Front doors for sample clients", "tags": [tag for tag in tags if tag["name"] == SAMPLES]},
    ]


def operations(described: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations by tag, each with its `method` and `path`, in the order of the document."""
    found: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append({**operation, "method": method.upper(), "path": path})
    return found


def fields(schema: dict[str, Any], prefix: str = "") -> Iterator[Field]:
    """The members of an object, those of inner objects after their own."""
    found = resolve(schema)
    if found.get("type") == "array":
        yield from fields(found["items"], f"{prefix.removesuffix('.')}[].")
    for name, member in found.get("properties", {}).items():
        meant = resolve(member)
        required = name in found.get("required", ())
        yield Field(prefix + name, kind(meant), required, meant.get("description", ""))
        yield from fields(meant, f"{prefix}{name}.")


def kind(schema: dict[str, Any]) -> str:
    """What a value is, in words."""
    found = resolve(schema)
    bounds = [words.format(found[name]) for name, words in BOUNDS.items() if name in found]
    return ", ".join([_sort(found), *bounds])


def _sort(found: dict[str, Any]) -> str:
    if "const" in found or "enum" in found:
        return " | ".join(json.dumps(value) for value in found.get("enum", [found.get("const")]))
    if "type" not in found and "oneOf" in found:
        return " or ".join(_sort(resolve(option)) for option in found["oneOf"])
    if found.get("type") == "array":
        return f"array of {_sort(resolve(found['items']))}"
    sorts = found.get("type", "any")
    return sorts if isinstance(sorts, str) else " or ".join(sorts)


def prose(text: str) -> str:
    """Text with `code` and blank lines between paragraphs, as HTML that is safe to stand as it is."""
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", xhtml_escape(text.strip()))
    return "".join(f"<p>{paragraph}</p>" for paragraph in re.split(r"\n\s*\n", escaped) if paragraph)


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
