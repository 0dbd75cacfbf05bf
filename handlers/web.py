# SPDX-License-Identifier: Apache-2.0
"""The web app's files: read once, compressed once, and named by what is in them, so that browsers keep them for good.

Paths mirror the repository (`/assets/{version}/web/…`, `/assets/{version}/clients/js/src/…`), so that a module imports
another by the same relative name here, in Node and for a type checker.
"""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tornado.template import Template
from tornado.web import RequestHandler

from handlers.base import BaseHandler
from handlers.negotiation import is_known, is_taken

ROOT = Path(__file__).parents[1]
FOLDERS = ("web", "clients/js/src")
MEDIA = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
COMPRESSED = {".js", ".css", ".svg", ".webmanifest"}
PAGE, WORKER = "web/index.html", "web/sw.js"
OPERATOR, OPERATORS_PAGE = "web/operator/", "web/operator/index.html"
OF_THE_INTERFACE = {"web/docs/docs.css", "web/docs/docs.js", "web/icons/mark.svg", "web/ui/render.js"}
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types glimpse"
)
"""Nothing inline and nothing from elsewhere; the one trusted type is the address of the service worker."""
OPERATORS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
FOREVER = "public, max-age=31536000, immutable"
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent. `gzipped` is empty where compressing it gains nothing."""

    headers: Mapping[str, str]
    body: bytes
    gzipped: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str], body: bytes, *, compress: bool) -> "Asset":
        return cls(headers, body, gzip.compress(body, 9, mtime=0) if compress else b"")


@dataclass(frozen=True, slots=True)
class WebApp:
    """The page, its service worker, and everything else by its path."""

    version: str
    page: Asset
    worker: Asset
    operators_page: Asset
    assets: Mapping[str, Asset]

    @property
    def root(self) -> str:
        """What the path of every asset begins with."""
        return f"/assets/{self.version}"

    def for_operators(self) -> Mapping[str, Asset]:
        """What the operator's page loads, by path: its own files, and what it shares with the app."""
        shared = ("web/styles/", "web/icons/", "web/ui/render.js")
        return {
            f"{self.root}/{name}": asset for name, asset in self.assets.items() if name.startswith((OPERATOR, *shared))
        }

    def by_path(self, *, enabled: bool) -> Mapping[str, Asset]:
        """What is served beside the page; where the app is not enabled, what the page of the interface needs."""
        found = {
            f"{self.root}/{name}": asset
            for name, asset in self.assets.items()
            if (enabled and not name.startswith(OPERATOR)) or name in OF_THE_INTERFACE
        }
        return found | ({"/sw.js": self.worker} if enabled else {})


@cache
def load() -> WebApp:
    """All of it, from the files as they are now."""
    files = dict(_files())
    digest = hashlib.sha256()
    for name, body in sorted(files.items()):
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    version = digest.hexdigest()[:16]
    page, worker, operators_page = files.pop(PAGE), files.pop(WORKER), files.pop(OPERATORS_PAGE)
    root, names = f"/assets/{version}", sorted(files)
    of_the_app = [name for name in names if "/docs/" not in name and not name.startswith(OPERATOR)]
    rendered = Template(page.decode(), name=PAGE, whitespace="all").generate(
        root=root,
        styles=[name for name in of_the_app if name.endswith(".css")],
        modules=[name for name in of_the_app if name.endswith(".js")],
    )
    operators_headers = PAGE_HEADERS | {"Content-Security-Policy": OPERATORS_POLICY}
    worker_headers = {"Content-Type": MEDIA[".js"], "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    return WebApp(
        version,
        Asset.of(PAGE_HEADERS | {"ETag": f'"{version}"'}, rendered, compress=True),
        Asset.of(worker_headers, worker.replace(b"VERSION", version.encode()), compress=True),
        Asset.of(operators_headers, Template(operators_page.decode()).generate(root=root), compress=True),
        {name: _asset(name, body) for name, body in files.items()},
    )


def _files() -> Iterator[tuple[str, bytes]]:
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (*MEDIA, ".html"):
                yield file.relative_to(ROOT).as_posix(), file.read_bytes()


def _asset(name: str, body: bytes) -> Asset:
    suffix = Path(name).suffix
    return Asset.of({"Content-Type": MEDIA[suffix], "Cache-Control": FOREVER}, body, compress=suffix in COMPRESSED)


class AssetHandler(BaseHandler):
    """GET of one file of the web app."""

    def initialize(self, asset: Asset, **kwargs: object) -> None:  # type: ignore[override]
        super().initialize(**kwargs)  # type: ignore[arg-type]
        self.asset = asset

    async def get(self) -> None:
        send(self, self.asset)


def send(handler: RequestHandler, asset: Asset) -> None:
    """Answer with a file, compressed for whoever takes that; with 304 for a browser that has it."""
    for name, value in asset.headers.items():
        handler.set_header(name, value)
    handler.add_header("Vary", "Accept-Encoding")
    if "ETag" in asset.headers and is_known(handler.request.headers.get("If-None-Match"), asset.headers["ETag"]):
        handler.clear_header("Content-Type")
        handler.set_status(304)
        handler.finish()
        return
    zipped = bool(asset.gzipped) and is_taken(handler.request.headers.get("Accept-Encoding"), "gzip")
    if zipped:
        handler.set_header("Content-Encoding", "gzip")
    handler.finish(asset.gzipped if zipped else asset.body)
