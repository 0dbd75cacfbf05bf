# SPDX-License-Identifier: Apache-2.0
"""The names of Tornado's own that we touch are there and mean what they did."""

import inspect

import pytest
import tornado
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from transport.fields import Fields
from transport.head import parse
from transport.tornado_names import LeanHandler, Request

HEAD = b"GET /a?b=1&b=2&c= HTTP/1.1\r\nHost: x:80\r\ncontent-TYPE: a\r\nX: 1\r\nx: 2"


def test_the_version_is_one_that_was_looked_at() -> None:
    assert tornado.version.startswith("6.6.")


def test_headers_are_what_tornado_would_have_made_of_them() -> None:
    ours, theirs = parse(HEAD).headers, HTTPHeaders.parse(HEAD.partition(b"\r\n")[2].decode())
    assert list(ours.get_all()) == list(theirs.get_all())
    assert ours["X"] == theirs["X"] == "1,2"
    assert ours.keys() == theirs.keys()
    assert vars(ours).keys() == vars(theirs).keys()
    assert Fields({"www-authenticate": ["a"]})["WWW-Authenticate"] == "a"


@pytest.mark.gen_test(timeout=30)
async def test_a_request_has_what_tornados_has() -> None:
    head = parse(HEAD)
    exchange = ExchangeOfNobody(head)
    start = RequestStartLine(head.method, head.target, head.version)
    ours = Request(exchange, start, head.headers)  # type: ignore[arg-type]
    theirs = HTTPServerRequest(start_line=start, headers=head.headers, connection=exchange)  # type: ignore[arg-type]
    missing = vars(theirs).keys() - vars(ours).keys()
    assert missing == {"host_name"}
    for name in (
        "method",
        "uri",
        "path",
        "query",
        "version",
        "host",
        "remote_ip",
        "protocol",
        "query_arguments",
        "body",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.gen_test(timeout=30)
async def test_a_handler_is_set_up_with_what_tornados_would_be() -> None:
    head = parse(HEAD)
    exchange = ExchangeOfNobody(head)
    request = Request(exchange, RequestStartLine("GET", "/", "HTTP/1.1"), head.headers)  # type: ignore[arg-type]
    theirs = RequestHandler(Application(), request)
    names = {"application", "request", "ui", "_headers", "_write_buffer", "_status_code", "_reason", "_finished"}
    names |= {"_headers_written", "_auto_finish", "_prepared_future"}
    assert vars(theirs).keys() == names
    code = inspect.getsource(LeanHandler)
    assert all(f"self.{name}" in code for name in names)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (
            RequestHandler._execute,
            ("_prepared_future", "_body_future", "_transforms", "path_kwargs", "SUPPORTED_METHODS"),
        ),
        (RequestHandler.flush, ("_write_buffer", "_transforms", "_headers_written", "write_headers")),
        (RequestHandler.finish, ("set_close_callback", "on_finish", "_log", "_break_cycles", "_finished")),
        (RequestHandler.on_connection_close, ("_body_future",)),
    ],
)
def test_tornado_still_does_by_these_names_what_it_did(method: object, names: tuple[str, ...]) -> None:
    code = inspect.getsource(method)  # type: ignore[arg-type]
    assert [name for name in names if name not in code] == []


class ExchangeOfNobody:
    """As much of an exchange as a request asks for when it is made."""

    def __init__(self, head: object) -> None:
        self.head = head
        self.context = self
        self.remote_ip, self.protocol = "127.0.0.1", "http"

    def set_close_callback(self, callback: object) -> None:
        """Nobody closes it."""
