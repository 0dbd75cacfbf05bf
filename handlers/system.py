# SPDX-License-Identifier: Apache-2.0
"""What a stranger or an operator asks first: what is this, does it live, is it ready; and where nothing is."""

import io
from collections.abc import Callable

import segno

from handlers import web
from handlers.base import BaseHandler
from handlers.negotiation import is_taken
from handlers.route import ANYBODY, PERSON, Route
from models.errors import InvalidField, MethodNotAllowed, NotFound
from models.version import VERSION

MAX_QR_LETTERS = 300
"""An invitation's link; more makes a code that no phone reads from a screen."""
UNKNOWN_METHOD = "UNKNOWN"


class RootHandler(BaseHandler):
    """GET /: the web app to a browser, to anybody else what this server is."""

    async def get(self) -> None:
        self.add_header("Vary", "Accept")
        if self.services.settings.web_enabled and is_taken(self.request.headers.get("Accept"), "text/html"):
            web.send(self, self.settings["web_app"].page)
            return
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


class ReadyHandler(BaseHandler):
    """GET /readyz: database, storage and relay work and the disks have room; 503 names the one that does not."""

    async def get(self) -> None:
        failing = await self.services.health.failing()
        if failing:
            self.set_header("Retry-After", "5")
        status = "failing" if failing else "ready"
        self.reply(503 if failing else 200, {"status": status, "failing": failing, "version": VERSION})


class DescriptionHandler(BaseHandler):
    """GET /openapi.json: the description that the application was made with."""

    async def get(self) -> None:
        self.finish(self.settings["openapi_document"])


class DocsHandler(BaseHandler):
    """GET /docs: the same as a page."""

    async def get(self) -> None:
        web.send(self, self.settings["docs_page"])


class VapidHandler(BaseHandler):
    """GET /v1/push/vapid: the key that a web client subscribes to pushes with. It is public."""

    async def get(self) -> None:
        key = self.services.settings.vapid_public_key
        if not key:
            raise NotFound
        self.reply(200, {"public_key": key})


class QrHandler(BaseHandler):
    """GET /v1/qr: a text, such as the link of an invitation, as a QR code (ISO/IEC 18004) in SVG."""

    async def get(self) -> None:
        text = self.query("text").get("text", "")
        if not 1 <= len(text) <= MAX_QR_LETTERS:
            raise InvalidField(fields=[("text", f"must be 1 to {MAX_QR_LETTERS} characters")])
        drawn = io.BytesIO()
        segno.make(text, error="m", micro=False).save(drawn, kind="svg", border=2, dark="#000", light="#fff", scale=4)
        self.reply(200, {"svg": drawn.getvalue().decode()})


class NothingHereHandler(BaseHandler):
    """Every path and method that the route table does not name."""

    SUPPORTED_METHODS = (*BaseHandler.SUPPORTED_METHODS, UNKNOWN_METHOD)

    def initialize(self, methods_of: Callable[[str], set[str]], **kwargs: object) -> None:  # type: ignore[override]
        super().initialize(**kwargs)  # type: ignore[arg-type]
        self._methods_of = methods_of
        # Tornado ends a request with a method of its own making before `prepare` can look after the body.
        if self.request.method not in self.SUPPORTED_METHODS:
            self.request.method = UNKNOWN_METHOD

    async def admit(self) -> None:
        await self.check_rate()
        allowed = self._methods_of(self.request.path)
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


ROUTES = (
    Route("GET", "/", RootHandler, ANYBODY, "default", "root"),
    Route("GET", "/healthz", HealthHandler, ANYBODY, "default", "healthz"),
    Route("HEAD", "/healthz", HealthHandler, ANYBODY, "default", "headHealthz"),
    Route("GET", "/readyz", ReadyHandler, ANYBODY, "default", "readyz"),
    Route("HEAD", "/readyz", ReadyHandler, ANYBODY, "default", "headReadyz"),
    Route("GET", "/openapi.json", DescriptionHandler, ANYBODY, "default", "openapi"),
    Route("GET", "/docs", DocsHandler, ANYBODY, "default", "docs"),
    Route("GET", "/v1/push/vapid", VapidHandler, ANYBODY, "default", "vapidKey"),
    Route("GET", "/v1/qr", QrHandler, PERSON, "qr_code", "qrCode"),
)
