# SPDX-License-Identifier: Apache-2.0
"""Names of Tornado that it does not promise to keep, all in one place; a test fails when one has changed.

Tornado's public way checks once more what `transport.head` has checked, and prepares every request for templates,
cookies and logs that nobody here asks for: half of what a small request costs.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from time import time
from typing import Any, ClassVar, NamedTuple

from tornado.escape import parse_qs_bytes
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)
from tornado.util import ObjectDict
from tornado.web import Application, RequestHandler

from models.errors import MalformedRequest
from transport.exchange import Exchange
from transport.fields import Fields
from transport.first_step import begin

MAX_QUERY_FIELDS = 1000


@lru_cache(1)
def _date(second: int) -> str:
    return format_timestamp(second)


class Request(HTTPServerRequest):
    """As Tornado's, of a head that has been checked. Raises MalformedRequest for a query of too many fields."""

    def __init__(self, exchange: Exchange, start_line: RequestStartLine, headers: HTTPHeaders) -> None:
        self.method, self.uri, self.version = start_line
        self.headers = headers
        self.connection = exchange
        self.server_connection = None
        self.remote_ip, self.protocol = exchange.context.remote_ip, exchange.context.protocol
        self.host = exchange.head.host
        self.body, self.files, self.body_arguments = b"", {}, {}
        self.path, _, self.query = start_line.path.partition("?")
        self.query_arguments = _query(self.query) if self.query else {}
        self.arguments = self.query_arguments
        self._start_time, self._finish_time = 0.0, None
        self._body_future = asyncio.get_running_loop().create_future()


def _query(text: str) -> dict[str, list[bytes]]:
    try:
        return parse_qs_bytes(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise MalformedRequest("The query cannot be read.") from error


class LeanHandler(RequestHandler):
    """A handler without templates, cookies and Tornado's own log lines. `constant_headers` are every reply's."""

    constant_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, application: Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self.application = application
        self.request = request
        self.ui = ObjectDict()
        self._headers_written = self._finished = False
        self._auto_finish = True
        self._prepared_future = None
        self._transforms = []
        self.clear()
        assert isinstance(request.connection, Exchange)
        request.connection.set_close_callback(self.on_connection_close)
        self.initialize(**kwargs)

    def clear(self) -> None:
        self._headers = Fields({name: [value] for name, value in self.constant_headers.items()})
        self._headers["Date"] = _date(int(time()))
        self._write_buffer: list[bytes] = []
        self._status_code, self._reason = 200, "OK"
        self.set_default_headers()

    def set_header(self, name: str, value: Any) -> None:
        """As Tornado's; that no value breaks its line is looked at when all are written."""
        if type(value) is str:
            self._headers[name] = value
        else:
            super().set_header(name, value)

    def set_etag_header(self) -> None:
        """A handler sets what tag it has by itself, and looks at If-None-Match before it makes the reply."""

    def check_etag_header(self) -> bool:
        return False

    def _log(self) -> None:
        """The access line is the handler's own."""

    def _break_cycles(self) -> None:
        """There is none: no template's functions hold the handler."""


class Found(NamedTuple):
    """What a request leads to."""

    handler: type[RequestHandler]
    arguments: dict[str, Any]
    path_arguments: dict[str, str]


class HandlerDelegate(HTTPMessageDelegate):
    """Between a connection and a handler that streams, as Tornado's own; but the handler's first step runs at once."""

    def __init__(self, app: Application, exchange: Exchange, find: Callable[[HTTPServerRequest], Found]) -> None:
        self._app = app
        self._exchange = exchange
        self._find = find

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> asyncio.Future[None] | None:
        assert isinstance(start_line, RequestStartLine)
        self._request = request = Request(self._exchange, start_line, headers)
        found = self._find(request)
        self._handler = handler = found.handler(self._app, request, **found.arguments)
        prepared: asyncio.Future[None] | None = None
        if self._exchange.head.length == 0:
            request._body_future.set_result(None)  # noqa: SLF001
        else:
            prepared = asyncio.get_running_loop().create_future()
            handler._prepared_future = prepared  # type: ignore[assignment]  # noqa: SLF001 - declared as None
        begin(handler._execute([], **found.path_arguments))  # type: ignore[arg-type]  # noqa: SLF001
        return prepared

    def data_received(self, chunk: bytes) -> Any:
        return self._handler.data_received(chunk)

    def finish(self) -> None:
        if not self._request._body_future.done():  # noqa: SLF001
            self._request._body_future.set_result(None)  # noqa: SLF001


def body_has_ended(request: HTTPServerRequest) -> bool:
    """Whether all of it has come, so that the handler's method runs or has run."""
    return request._body_future.done()  # noqa: SLF001
