# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document as a judge of live replies: what it does not describe fails the test that met it."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from handlers.openapi import PROBLEM_TYPE, document, resolve

JSON_TYPE = "application/json"
NOTHING_HERE = {(404, "not_found"), (405, "method_not_allowed"), (429, "rate_limited"), (503, "unavailable")}


@dataclass(frozen=True)
class Header:
    """One header of a reply. `integer`: its text stands for a number."""

    required: bool
    integer: bool
    schema: Draft202012Validator


@dataclass(frozen=True)
class Reply:
    """One status of one operation, compiled. `codes` are those of its refusals."""

    headers: dict[str, Header]
    content: dict[str, Draft202012Validator]
    codes: frozenset[str]


def check(response: httpx.Response) -> None:
    """Raises AssertionError for a reply that the document does not describe, or a request that it does not allow."""
    __tracebackhide__ = True
    request = response.request
    path = request.url.raw_path.partition(b"?")[0].decode()
    operation = operation_of(request.method, path)
    if operation is None and request.method == "HEAD":
        operation = operation_of("GET", path)
    if operation is None:
        if not is_preflight(request, response):
            check_nothing_here(response)
        return
    where = f"{operation} {response.status_code}"
    expected = described_reply(operation, str(response.status_code))
    assert expected, f"{where}: the status is not described"
    check_headers(where, expected.headers, response.headers)
    if request.method != "HEAD":
        check_body(where, expected.content, response)
        if response.headers.get("Content-Type") == PROBLEM_TYPE:
            check_problem(where, expected.codes, response)
    if response.is_success:
        check_request(operation, request)


def is_preflight(request: httpx.Request, response: httpx.Response) -> bool:
    """The Fetch standard's question, which belongs to every path and is no operation of its own."""
    asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return asks and response.status_code == 204


def check_headers(where: str, expected: dict[str, Header], headers: httpx.Headers) -> None:
    for name, header in expected.items():
        text = headers.get(name)
        if text is None:
            assert not header.required, f"{where}: {name} is missing"
        else:
            number = header.integer and re.fullmatch("[0-9]+", text)
            check_value(f"{where}: {name}", header.schema, int(text) if number else text)


def check_body(where: str, expected: dict[str, Draft202012Validator], response: httpx.Response) -> None:
    media = response.headers.get("Content-Type", "").partition(";")[0]
    if not expected:
        assert not media, f"{where}: no content is described, and it has {media}"
        assert response.headers.get("Content-Length", "0") == "0", f"{where}: no content is described, and it has some"
        return
    assert media in expected, f"{where}: the content type {media or 'none'} is not described"
    if media in (JSON_TYPE, PROBLEM_TYPE):
        check_value(f"{where}: the body", expected[media], json.loads(response.read()))


def check_problem(where: str, codes: frozenset[str], response: httpx.Response) -> None:
    problem = json.loads(response.read())
    assert problem["status"] == response.status_code, f"{where}: the body has another status"
    assert problem["code"] in codes, f"{where}: {problem['code']} is not described"
    assert ("errors" in problem) == (response.status_code == 422), f"{where}: errors go with 422 alone"


def check_request(operation: str, request: httpx.Request) -> None:
    """What the server took, the document must allow."""
    unknown = set(request.url.params) - query_of(operation)
    assert not unknown, f"{operation}: takes {unknown}, which the document does not describe"
    schema = described_request(operation)
    if schema and request.headers.get("Content-Type") == JSON_TYPE:
        check_value(f"{operation}: the request", schema, json.loads(request.read()))


def check_nothing_here(response: httpx.Response) -> None:
    """The reply to a path or method that the document does not have."""
    where = f"{response.request.method} {response.request.url.path} {response.status_code}"
    assert response.headers.get("Content-Type") == PROBLEM_TYPE, f"{where}: no problem document"
    assert "X-Request-Id" in response.headers, f"{where}: no request id"
    assert ("Allow" in response.headers) == (response.status_code == 405), f"{where}: Allow goes with 405 alone"
    if response.request.method != "HEAD":
        problem = json.loads(response.read())
        check_value(f"{where}: the body", any_problem(), problem)
        assert (response.status_code, problem["code"]) in NOTHING_HERE, f"{where}: {problem['code']} is not described"


def check_value(what: str, schema: Draft202012Validator, value: object) -> None:
    problems = [f"{error.json_path}: {error.message}" for error in schema.iter_errors(value)]
    assert not problems, f"{what} is not as described: {problems}"


@cache
def operations() -> dict[str, dict[str, Any]]:
    """The document's operations by id, each with its `method` and `path`."""
    return {
        operation["operationId"]: {**operation, "method": method.upper(), "path": path}
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


@cache
def operation_of(method: str, path: str) -> str | None:
    paths = [path] if path in document()["paths"] else document()["paths"]
    for name, operation in operations().items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", operation["path"])
        if operation["path"] in paths and operation["method"] == method and re.fullmatch(pattern, path):
            return name
    return None


@cache
def query_of(operation: str) -> frozenset[str]:
    parameters = map(resolve, operations()[operation].get("parameters", ()))
    return frozenset(parameter["name"] for parameter in parameters if parameter["in"] == "query")


@cache
def described_reply(operation: str, status: str) -> Reply | None:
    reply = operations()[operation]["responses"].get(status)
    if reply is None:
        return None
    return Reply(
        {name: header_of(resolve(header)) for name, header in reply["headers"].items()},
        {media: strict(body.get("schema", {})) for media, body in reply.get("content", {}).items()},
        frozenset(reply.get("content", {}).get(PROBLEM_TYPE, {}).get("examples", {})),
    )


def header_of(header: dict[str, Any]) -> Header:
    integer = resolve(header["schema"]).get("type") == "integer"
    return Header(header.get("required", False), integer, strict(header["schema"]))


@cache
def described_request(operation: str) -> Draft202012Validator | None:
    body = operations()[operation].get("requestBody", {"content": {}})["content"].get(JSON_TYPE)
    return Draft202012Validator({**body["schema"], "components": widened(document()["components"])}) if body else None


def widened(thing: Any) -> Any:
    """What is described, and what the server is said to take besides in `x-taken-too`."""
    if isinstance(thing, list):
        return [widened(item) for item in thing]
    if not isinstance(thing, dict):
        return thing
    found = {name: widened(value) for name, value in thing.items()}
    if "x-taken-too" in found:
        usual = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*usual, found["x-taken-too"]]
    return found


@cache
def any_problem() -> Draft202012Validator:
    return strict({"$ref": "#/components/schemas/Problem"})


def strict(schema: dict[str, Any]) -> Draft202012Validator:
    """A judge to whom a member that is not described is wrong. Clients are told to ignore such members."""
    return Draft202012Validator({**closed(schema), "components": closed_components()})


@cache
def closed_components() -> dict[str, Any]:
    found: dict[str, Any] = closed(document()["components"])
    return found


def closed(thing: Any) -> Any:
    if isinstance(thing, list):
        return [closed(item) for item in thing]
    if not isinstance(thing, dict):
        return thing
    found = {name: closed(value) for name, value in thing.items()}
    if found.get("type") == "object" and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found
