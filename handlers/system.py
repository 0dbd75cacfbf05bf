# SPDX-License-Identifier: Apache-2.0
"""What a stranger or an operator asks first: what is this, does it live, is it ready; and where nothing is."""

import re

from handlers.base import BaseHandler
from models.errors import MethodNotAllowed, NotFound
from models.version import VERSION

UNKNOWN_METHOD = "UNKNOWN"
DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page at /docs runs no script and loads nothing."""


class RootHandler(BaseHandler):
    """GET /: what this server is."""

    async def get(self) -> None:
        self.reply(
            200,
            {
                "name": "Glimpse",
                "version": VERSION,
                "api": "/v1",
                "docs": "/docs",
                "openapi": "/openapi.json",
                "health": "/healthz",
                "ready": "/readyz",
            },
        )


class HealthHandler(BaseHandler):
    """GET /healthz: the process is up."""

    async def get(self) -> None:
        self.reply(200, {"status": "ok"})

    async def head(self) -> None:
        await self.get()


class ReadyHandler(BaseHandler):
    """GET /readyz: database, storage and relay work and the disks have room; 503 names the one that does not."""

    async def get(self) -> None:
        failing = await self.services.health.failing()
        if failing:
            self.set_header("Retry-After", "5")
        status = "failing" if failing else "ready"
        self.reply(503 if failing else 200, {"status": status, "failing": failing, "version": VERSION})

    async def head(self) -> None:
        await self.get()


class DescriptionHandler(BaseHandler):
    """GET /openapi.json: the description that the application was made with."""

    async def get(self) -> None:
        self.finish(self.settings["openapi_document"])


class DocsHandler(BaseHandler):
    """GET /docs: the same as a page."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", DOCS_POLICY)
        self.finish(self.settings["docs_page"])


class VapidHandler(BaseHandler):
    """GET /v1/push/vapid: the key that a web client subscribes to pushes with. It is public."""

    async def get(self) -> None:
        key = self.services.settings.vapid_public_key
        if not key:
            raise NotFound
        self.reply(200, {"public_key": key})


class NothingHereHandler(BaseHandler):
    """Every path and method that the route table does not name."""

    SUPPORTED_METHODS = (*BaseHandler.SUPPORTED_METHODS, UNKNOWN_METHOD)

    def initialize(self, patterns: list[tuple[str, re.Pattern[str]]], **kwargs: object) -> None:  # type: ignore[override]
        super().initialize(**kwargs)  # type: ignore[arg-type]
        self._patterns = patterns
        # Tornado ends a request with a method of its own making before `prepare` can look after the body.
        if self.request.method not in self.SUPPORTED_METHODS:
            self.request.method = UNKNOWN_METHOD

    async def admit(self) -> None:
        await self.check_rate()
        allowed = {method for method, pattern in self._patterns if pattern.fullmatch(self.request.path)}
        if not allowed:
            raise NotFound
        self.set_header("Allow", ", ".join(sorted(allowed)))
        if self.request.method != "OPTIONS" or "Access-Control-Request-Method" not in self.request.headers:
            raise MethodNotAllowed
        origin = self.request.headers.get("Origin")
        for name, value in self.services.origins.preflight_headers(origin, allowed).items():
            self.set_header(name, value)

    async def options(self, *_: str) -> None:
        """What a browser asks before a page of another origin may call (the Fetch standard, CORS-preflight)."""
        self.reply(204)
