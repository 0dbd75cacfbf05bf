# SPDX-License-Identifier: Apache-2.0
"""The only map from an error's kind to an HTTP status, and the only writer of `application/problem+json`."""

import json
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError

from models.errors import AppError, InternalError, Kind, MalformedRequest, MethodNotAllowed, NotFound

STATUS: dict[Kind, int] = {
    Kind.MALFORMED: HTTPStatus.BAD_REQUEST,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.METHOD: HTTPStatus.METHOD_NOT_ALLOWED,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.GONE: HTTPStatus.GONE,
    Kind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Kind.UNSUPPORTED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Kind.HEADERS_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    Kind.RANGE: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    Kind.PRECONDITION: HTTPStatus.PRECONDITION_FAILED,
    Kind.CHECKSUM: 460,  # tus 1.0.0, checksum
    Kind.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
}
REASONS = {Kind.CHECKSUM: "Checksum Mismatch"}
"""Reason phrases of statuses that HTTP itself has none for."""
RETRY_AFTER_SECONDS = {Kind.RATE_LIMITED: 60, Kind.UNAVAILABLE: 5, Kind.STORAGE_FULL: 60}
"""For refusals that do not know better: what is unavailable is mostly back at once, a full disk is not."""


def problem(error: AppError, request_id: str) -> dict[str, Any]:
    """The RFC 9457 document of an error."""
    document: dict[str, Any] = {
        "type": f"urn:glimpse:error:{error.code}",
        "title": error.message,
        "status": int(STATUS[error.kind]),
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
        **error.extra,
    }
    if error.kind is Kind.INVALID:
        document["errors"] = [{"field": field, "message": message} for field, message in error.fields]
    return document


def headers(error: AppError, *, browser: bool) -> dict[str, str]:
    """The reply headers that go with an error. A browser must not open its password dialog."""
    found = {"Content-Type": "application/problem+json"}
    if error.kind is Kind.UNAUTHENTICATED:
        found["WWW-Authenticate"] = 'Bearer realm="glimpse"' + ("" if browser else ', Basic realm="glimpse"')
    retry_after = error.retry_after if error.retry_after is not None else RETRY_AFTER_SECONDS.get(error.kind)
    if retry_after is not None:
        found["Retry-After"] = str(max(1, retry_after))
    return found


def body(error: AppError, request_id: str) -> bytes:
    return json.dumps(problem(error, request_id), ensure_ascii=False).encode()


def whole_reply(error: AppError, request_id: str) -> bytes:
    """The HTTP response to an invalid request, after which its connection ends."""
    content, status = body(error, request_id), HTTPStatus(STATUS[error.kind])
    fields = {
        **headers(error, browser=False),
        "X-Request-Id": request_id,
        "Date": formatdate(usegmt=True),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(len(content)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + content


def known(error: BaseException | None) -> AppError:
    """The error as the catalogue has it; anything unknown is an InternalError without a word of its text."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, HTTPError):
        refusals = {400: MalformedRequest, 404: NotFound, 405: MethodNotAllowed}
        return refusals.get(error.status_code, InternalError)()
    return InternalError()
