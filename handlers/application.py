# SPDX-License-Identifier: Apache-2.0
"""The route table as a Tornado application, with the description of the interface made beforehand."""

from tornado.escape import url_unescape
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher
from tornado.routing import Rule as TornadoRule
from tornado.web import Application

from handlers.docs import page
from handlers.openapi import document_bytes
from handlers.routes import ROUTES, Route
from handlers.shared import Rule, Services, Who
from handlers.system import NothingHereHandler


class OperationMatches(Matcher):
    """Matches one method of one path; the path's variables become arguments of the handler's method."""

    def __init__(self, route: Route) -> None:
        self._method = route.method
        self._pattern = route.pattern

    def match(self, request: HTTPServerRequest) -> dict[str, dict[str, bytes]] | None:
        if request.method != self._method:
            return None
        found = self._pattern.fullmatch(request.path)
        if found is None:
            return None
        return {
            "path_kwargs": {name: url_unescape(value, None, plus=False) for name, value in found.groupdict().items()}
        }


def application(services: Services) -> Application:
    """The table, ready to be listened on."""
    routes = [route for route in ROUTES if services.settings.samples.enabled or not route.sample]
    patterns = [(route.method, route.pattern) for route in routes]
    return Application(
        [_rule(route, services) for route in routes],
        openapi_document=document_bytes(),
        docs_page=page(),
        default_handler_class=NothingHereHandler,
        default_handler_args={"services": services, "rule": Rule("", Who.ANYBODY, "default"), "patterns": patterns},
    )


def _rule(route: Route, services: Services) -> TornadoRule:
    rule = Rule(route.path, route.who, route.limit)
    return TornadoRule(OperationMatches(route), route.handler, {"services": services, "rule": rule})
