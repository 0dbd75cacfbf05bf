# SPDX-License-Identifier: Apache-2.0
"""The route table as what the transport gives requests to, with the description of the interface made beforehand."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tornado.escape import url_unescape
from tornado.httputil import HTTPConnection, HTTPServerRequest
from tornado.web import Application

from handlers.docs import docs_page
from handlers.openapi import document_bytes
from handlers.route import Route
from handlers.routes import ROUTES
from handlers.shared import Rule, Services, Who
from handlers.system import NothingHereHandler
from handlers.uploading import UPLOADS
from handlers.web import AssetHandler, WebApp, load
from transport.exchange import Exchange
from transport.tornado_names import Found, HandlerDelegate

OVERRIDES = ("PATCH", "DELETE")
"""What a POST to an upload may mean, for clients and firewalls that know no such methods (tus 1.0.0, core)."""
METHODS_OF_GET = ("GET", "HEAD")
"""What can be got can be asked for its head (RFC 9110, 9.1), whether or not the table names that."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A route whose path has variables."""

    pattern: re.Pattern[str]
    found: Found


class Table(Application):
    """The table: a path without variables is found at once, any other among those of its method and depth."""

    def __init__(self, routes: Iterable[Route], services: Services, web_app: WebApp) -> None:
        super().__init__(openapi_document=document_bytes(), docs_page=docs_page(), web_app=web_app)
        routes = list(routes)
        self._plain: dict[tuple[str, str], Found] = {}
        self._branches: dict[tuple[str, int], list[Branch]] = {}
        for route in routes:
            rule = Rule(route.path, route.who, route.limit, route.needs_room)
            found = Found(route.handler, {"services": services, "rule": rule}, {})
            for method in METHODS_OF_GET if route.method == "GET" else (route.method,):
                if "{" in route.path:
                    at = method, route.path.count("/")
                    self._branches.setdefault(at, []).append(Branch(route.pattern, found))
                else:
                    self._plain[method, route.path] = found
        self._add_assets(web_app, services)
        self._plain_paths = {path for _, path in self._plain}
        nowhere = {"services": services, "rule": Rule("", Who.ANYBODY, "default"), "methods_of": self.methods_of}
        self._nowhere = Found(NothingHereHandler, nowhere, {})

    def _add_assets(self, web_app: WebApp, services: Services) -> None:
        """Files are no operations: they all are counted and logged as one."""
        rule = Rule("/assets/{path}", Who.ANYBODY, "default")
        for path, asset in web_app.by_path(enabled=services.settings.web_enabled).items():
            found = Found(AssetHandler, {"services": services, "rule": rule, "asset": asset}, {})
            for method in METHODS_OF_GET:
                self._plain[method, path] = found

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HandlerDelegate:  # noqa: ARG002
        assert isinstance(request_conn, Exchange)
        return HandlerDelegate(self, request_conn, self.find)

    def find(self, request: HTTPServerRequest) -> Found:
        """The handler of a request; the path's variables become arguments of its method."""
        method, path = request.method or "", request.path
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain
        if path in self._plain_paths:
            return self._nowhere
        for branch in self._branches.get((method, path.count("/")), ()):
            match = branch.pattern.fullmatch(path)
            if match:
                variables = {name: url_unescape(value, None, plus=False) for name, value in match.groupdict().items()}
                return Found(branch.found.handler, branch.found.arguments, variables)  # type: ignore[arg-type]  # bytes, as Tornado's
        meant = request.headers.get("X-HTTP-Method-Override")
        if method == "POST" and meant in OVERRIDES and path.startswith(f"{UPLOADS}/"):
            request.method = meant
            return self.find(request)
        return self._nowhere

    def methods_of(self, path: str) -> set[str]:
        """What may be asked of a path. One without variables is not one of those that it would fit."""
        if path in self._plain_paths:
            return {method for method, known in self._plain if known == path}
        branches = [(method, branch) for (method, _), found in self._branches.items() for branch in found]
        return {method for method, branch in branches if branch.pattern.fullmatch(path)}


def application(services: Services) -> Application:
    """The table, ready to be listened on."""
    return Table([route for route in ROUTES if services.settings.samples.enabled or not route.sample], services, load())
