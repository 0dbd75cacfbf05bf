# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface described: one OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1.html).

Method, path, operation id and who may call an operation come from the route table, the lists of an export and the kinds
of push tokens from where they are made; what an operation takes and answers stands under its id in `operations/*.yaml`.
Added here is what all operations have in common: the refusals of the catalogue and the headers of every reply.
`refused_with` of an operation refers to the schema of its refusals where those are no problem documents.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from handlers import errors
from handlers.origins import READING
from handlers.route import Route
from handlers.routes import ROUTES
from handlers.shared import Who
from models import errors as catalogue
from models.errors import AppError
from push.registry import VENDORS
from services.accounts.export import LISTS

OPERATIONS = Path(__file__).with_name("operations")
SHARED = "shared.yaml"
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
EXAMPLE_REQUEST_ID = "58ecf3c0ecd192ac"

# What any operation may answer, and what one that knows its caller, or writes to the database, may add.
ALWAYS = (
    "malformed_request",
    "too_large",
    "headers_too_large",
    "unsupported_type",
    "rate_limited",
    "internal_error",
    "unavailable",
)
WITH_CALLER = ("unauthenticated",)
WRITING = ("cross_site", "storage_full")

ERRORS: dict[str, type[AppError]] = {
    error.code: error for error in vars(catalogue).values() if isinstance(error, type) and issubclass(error, AppError)
}

BY_ID = {route.operation_id: route for route in ROUTES}


@cache
def document() -> dict[str, Any]:
    """The whole description. Callers must not change it."""
    found: dict[str, Any] = _read(OPERATIONS / SHARED)
    found["paths"] = {}
    components = found["components"]
    components["examples"] = {code: _example(ERRORS[code]) for code in sorted(ERRORS)}
    # No enum: a client that was generated today must read what a server says tomorrow.
    components["schemas"]["Problem"]["properties"]["code"]["description"] += f" Known: {_named(sorted(ERRORS))}."
    for part in map(_read, _subjects()):
        components["schemas"] |= part["schemas"]
        for operation_id, described in part["operations"].items():
            route = BY_ID[operation_id]
            operations = found["paths"].setdefault(route.path, {})
            operations[route.method.lower()] = _operation(route, described, found["security"])
    export = components["schemas"]["Export"]
    for name, about in LISTS.items():
        export["required"].append(name)
        export["properties"][name] = {"$ref": "#/components/schemas/ExportedRows", "description": about}
    kinds = "; ".join(f"`{vendor.name}`: {vendor.token}" for vendor in VENDORS.values())
    components["schemas"]["PushToken"]["description"] += f" {kinds}."
    return found


@cache
def document_bytes() -> bytes:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


def resolve(thing: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` of the document means; what stands beside the reference wins."""
    if "$ref" not in thing:
        return thing
    found: Any = document()
    for name in thing["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolve(found) | {name: value for name, value in thing.items() if name != "$ref"}


def _subjects() -> list[Path]:
    return sorted(file for file in OPERATIONS.glob("*.yaml") if file.name != SHARED)


def _read(file: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is many times as fast
    found: dict[str, Any] = yaml.load(file.read_text(), loader)  # noqa: S506 - both are safe
    return found


def _operation(route: Route, described: dict[str, Any], header_credentials: list[Any]) -> dict[str, Any]:
    """One operation with everything that it may answer. `header_credentials` holds where the operation says nothing."""
    knows_caller, writes = route.who is not Who.ANYBODY, route.method not in READING
    usual = (*ALWAYS, *(WITH_CALLER if knows_caller else ()), *(WRITING if writes else ()))
    codes = tuple(dict.fromkeys((*described.get("problems", ()), *usual)))
    found = {name: value for name, value in described.items() if name not in ("problems", "refused_with")}
    if route.who is not Who.PERSON:
        found["security"] = _security(route.who, header_credentials)
    shape = described.get("refused_with")
    found["responses"] = _replies(described["responses"], [ERRORS[code] for code in codes], shape)
    if route.method == "HEAD":
        found["responses"] = {status: _without_body(reply) for status, reply in found["responses"].items()}
    return {"operationId": route.operation_id, **found}


def _security(who: Who, header_credentials: list[Any]) -> list[Any]:
    """The credentials that an operation takes, any one of them; `{}` is none (OAS 3.1.1, section 4.8.30)."""
    if who is Who.ANYBODY:
        return []
    return [{"session": []}] if who is Who.SESSION else [*header_credentials, {}]


def _replies(described: dict[str, Any], refusals: Iterable[type[AppError]], shape: str | None) -> dict[str, Any]:
    by_status: dict[str, list[type[AppError]]] = {}
    for refusal in refusals:
        by_status.setdefault(str(int(errors.STATUS[refusal.kind])), []).append(refusal)
    return {
        status: _reply(described.get(status, {}), by_status.get(status, []), shape)
        for status in sorted({*described, *by_status})
    }


def _reply(described: dict[str, Any], refusals: list[type[AppError]], shape: str | None) -> dict[str, Any]:
    """One status: what the operation says of it, the refusals that have it, and the headers that go with them.

    `shape` names the schema of refusals that are no problem documents.
    """
    description = described.get("description") or " ".join(f"`{each.code}`: {each.message}" for each in refusals)
    names = {"X-Request-Id": None, **{name: None for refusal in refusals for name in _header_names(refusal)}}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names} | described.get("headers", {})
    content = described.get("content", {}) | (_refused(refusals, shape) if refusals else {})
    return {"description": description, "headers": headers} | ({"content": content} if content else {})


def _without_body(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply to HEAD: a client that is told of a body would parse what never comes (RFC 9110, 9.3.2)."""
    return {name: value for name, value in reply.items() if name != "content"}


def _refused(refusals: list[type[AppError]], shape: str | None) -> dict[str, Any]:
    return {JSON_TYPE: {"schema": {"$ref": shape}}} if shape else {PROBLEM_TYPE: _problem(refusals)}


def _header_names(refusal: type[AppError]) -> list[str]:
    return [name for name in errors.headers(refusal(), browser=False) if name != "Content-Type"]


def _problem(refusals: list[type[AppError]]) -> dict[str, Any]:
    """One schema for all refusals: a generator makes one type of it. Which codes a status has, its examples say."""
    return {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {refusal.code: {"$ref": f"#/components/examples/{refusal.code}"} for refusal in refusals},
    }


def _named(codes: Iterable[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


def _example(error: type[AppError]) -> dict[str, Any]:
    return {"summary": error.message, "value": errors.problem(error(), EXAMPLE_REQUEST_ID)}
