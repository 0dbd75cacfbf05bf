# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document is valid and says what the route table and the catalogue of errors say; the page shows it."""

import copy
import json
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from handlers.docs import page, render
from handlers.errors import STATUS
from handlers.openapi import ERRORS, document, resolve
from handlers.routes import ROUTES
from handlers.shared import Who
from handlers.web import OF_THE_INTERFACE, load
from tests.support import contract

HEADERS: list[Any] = [{"ukey": []}, {"access_token": []}]
SECURITY: dict[Who, list[Any]] = {
    Who.ANYBODY: [],
    Who.PERSON: HEADERS,
    Who.FORM: [*HEADERS, {}],
    Who.FRAME: [*HEADERS, {}],
    Who.SESSION: [{"session": []}],
}
REQUEST_ID = {"X-Request-Id": "58ecf3c0ecd192ac"}
VOID = {"br", "hr", "img", "input", "link", "meta"}


def test_the_document_is_valid_openapi() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_the_document_has_the_operations_of_the_route_table_and_no_other() -> None:
    described = {
        (operation["method"], operation["path"], name, json.dumps(operation.get("security", document()["security"])))
        for name, operation in contract.operations().items()
    }
    assert described == {
        (route.method, route.path, route.operation_id, json.dumps(SECURITY[route.who])) for route in ROUTES
    }


def test_every_variable_of_a_path_is_a_parameter_and_no_other_is() -> None:
    for name, operation in contract.operations().items():
        parameters = map(resolve, operation.get("parameters", ()))
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", operation["path"])), name


@pytest.mark.parametrize("name", ["headImage", "headOldestImage"])
def test_a_look_at_an_image_has_nothing_to_do_with_ranges(name: str) -> None:
    look = contract.operations()[name]
    asked = {parameter["name"] for parameter in map(resolve, look["parameters"])}
    assert asked.isdisjoint({"Range", "If-Range"})
    assert look["responses"].keys() >= {"200", "304", "410"}
    assert look["responses"].keys().isdisjoint({"206", "416"})


def test_every_code_of_the_catalogue_stands_in_the_document_with_its_status() -> None:
    examples = document()["components"]["examples"].values()
    documented = {(example["value"]["status"], example["value"]["code"]) for example in examples}
    assert documented == {(int(STATUS[error.kind]), error.code) for error in ERRORS.values()}
    code = document()["components"]["schemas"]["Problem"]["properties"]["code"]
    assert set(re.findall("`([a-z_]+)`", code["description"])) >= ERRORS.keys()
    assert "enum" not in code, "a client must read codes that came later"


def test_a_code_stands_under_its_own_status_and_its_example_fits() -> None:
    seen = set()
    for name, operation in contract.operations().items():
        for status, reply in operation["responses"].items():
            media = reply.get("content", {}).get("application/problem+json", {})
            for code, example in media.get("examples", {}).items():
                assert int(status) == STATUS[ERRORS[code].kind], (name, code)
                schema = Draft202012Validator({**media["schema"], "components": document()["components"]})
                schema.validate(resolve(example)["value"])
                seen.add(code)
    assert seen == set(ERRORS) - {"gone", "method_not_allowed"}, "these no operation gives"


def test_every_example_of_a_reply_fits_its_schema() -> None:
    count = 0
    for name, operation in contract.operations().items():
        for status, reply in operation["responses"].items():
            for media, body in reply.get("content", {}).items():
                if "example" in body:
                    expected = contract.described_reply(name, status)
                    assert expected
                    contract.check_value(f"{name} {status}", expected.content[media], body["example"])
                    count += 1
    assert count >= 10


def reply(method: str, path: str, status: int, headers: dict[str, str], body: Any = None) -> httpx.Response:
    request = httpx.Request(method, f"http://127.0.0.1{path}")
    return httpx.Response(status, headers={**REQUEST_ID, **headers}, json=body, request=request)


JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}
NOT_FOUND = document()["components"]["examples"]["not_found"]["value"]
UNAVAILABLE = document()["components"]["examples"]["unavailable"]["value"]


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        (("GET", "/healthz", 200, JSON, {"status": "ok"}), ("GET", "/healthz", 204, {}), "status"),
        (("GET", "/healthz", 200, JSON, {"status": "ok"}), ("GET", "/healthz", 200, JSON, {"status": "no"}), "ok"),
        (
            ("GET", "/healthz", 200, JSON, {"status": "ok"}),
            ("GET", "/healthz", 200, JSON, {"status": "ok", "more": 1}),
            "more",
        ),
        (
            ("GET", "/healthz", 200, JSON, {"status": "ok"}),
            ("GET", "/healthz", 200, {"Content-Type": "text/plain"}),
            "content type",
        ),
        (
            ("GET", "/healthz", 503, {**PROBLEM, "Retry-After": "5"}, UNAVAILABLE),
            ("GET", "/healthz", 503, PROBLEM, UNAVAILABLE),
            "Retry-After is missing",
        ),
        (
            ("GET", "/healthz", 503, {**PROBLEM, "Retry-After": "5"}, UNAVAILABLE),
            ("GET", "/healthz", 503, {**PROBLEM, "Retry-After": "soon"}, UNAVAILABLE),
            "soon",
        ),
        (
            ("GET", "/v1/users/7", 404, PROBLEM, NOT_FOUND),
            ("GET", "/v1/users/7", 404, PROBLEM, {**NOT_FOUND, "code": "no_pending_image"}),
            "no_pending_image",
        ),
        (
            ("GET", "/nothing", 404, PROBLEM, NOT_FOUND),
            ("GET", "/nothing", 405, PROBLEM, NOT_FOUND),
            "Allow",
        ),
        (
            ("DELETE", "/v1/images/0", 204, {}),
            ("DELETE", "/v1/images/0", 204, JSON),
            "no content is described",
        ),
        (
            ("GET", "/v1/inbox?limit=1", 200, JSON, {"items": [], "next": None}),
            ("GET", "/v1/inbox?page=1", 200, JSON, {"items": [], "next": None}),
            "page",
        ),
    ],
)
def test_the_judge_passes_what_is_described_and_nothing_else(
    right: tuple[Any, ...], wrong: tuple[Any, ...], complaint: str
) -> None:
    contract.check(reply(*right))
    with pytest.raises(AssertionError, match=complaint):
        contract.check(reply(*wrong))


class Page(HTMLParser):
    """Tags, ids and links of a page. Raises AssertionError when a tag is not closed where it should be."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"line {self.getpos()[0]}"


def test_the_page_has_an_anchor_for_every_operation_and_code_and_no_link_leads_nowhere() -> None:
    found = Page(page())
    assert len(found.ids) == len(set(found.ids))
    assert {route.operation_id for route in ROUTES} | {f"error-{code}" for code in ERRORS} <= set(found.ids)
    assets = {f"{load().root}/{name}" for name in OF_THE_INTERFACE}
    assert {link.removeprefix("#") for link in found.links} <= {*found.ids, "/openapi.json", *assets}


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    found = Page(page())
    assert found.tags.isdisjoint({"style", "img", "iframe", "form", "base"})
    assert b"<script>" not in page()
    assert not [name for name in found.attributes if name.startswith("on")]
    assert b"url(" not in page()
    assert b"@import" not in page()


def test_every_text_of_the_document_is_escaped() -> None:
    def is_text(name: str, value: Any) -> bool:
        return isinstance(value, str) and name in ("description", "summary", "title", "scheme", "example", "pattern")

    def poisoned(thing: Any) -> Any:
        if isinstance(thing, dict):
            return {name: poison if is_text(name, value) else poisoned(value) for name, value in thing.items()}
        return [poisoned(item) for item in thing] if isinstance(thing, list) else thing

    poison = "<script>alert('`<b>`')</script>"
    html = render(poisoned(copy.deepcopy(document())))
    assert "b" not in Page(html).tags
    assert html.count(b"<script") == 1
    assert html.count(b"&lt;script&gt;") > 100
