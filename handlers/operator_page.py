# SPDX-License-Identifier: Apache-2.0
"""The operator's page, on a port of its own that this machine alone can reach: its files, and what it asks.

Whoever asks shows the token of `{data_dir}/admin.token`. A page elsewhere that has its own name resolve to this
machine is known by the `Host` that its browser sends, and refused; so is what a page of another origin asks.
"""

import hmac
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from functools import partial
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, url

from handlers import bodies, errors
from handlers.metrics import measured
from handlers.shared import Services
from handlers.web import Asset, load, send
from models.errors import AppError, CrossSite, InvalidField, NotFound, Unauthenticated
from models.ids import MAX_ID, parse_id, read_id
from models.imagefile.types import CONTENT_TYPES
from services.operator_page import OperatorPage
from telemetry import metrics

log = logging.getLogger("glimpse.operator_page")

LOCAL_HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))
"""Names of this machine, with any port: a tunnel to it has one of its own."""
PAGE_ROWS = 50
MAX_BYTES = 64 * 1024
"""Of a request's head, and of its body."""
PIECE_BYTES = 128 * 1024
ID = r"([1-9][0-9]{0,17})"


class LocalHandler(RequestHandler):
    """What all share: only this machine may ask, and a browser keeps nothing."""

    def set_default_headers(self) -> None:
        self.request_id = secrets.token_hex(8)
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Raises CrossSite."""
        origin = self.request.headers.get("Origin")
        if not _is_local(self.request.host) or origin not in (None, f"http://{self.request.host}"):
            raise CrossSite

    async def head(self, *args: str) -> None:
        """Answer as GET does, where there is one; the content stays here (RFC 9110, 9.3.2)."""
        answered = self.get(*args)
        if answered is not None:
            await answered

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's name
        error = errors.known(kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(int(errors.STATUS[error.kind]))
        for name, value in errors.headers(error, browser=True).items():
            self.set_header(name, value)
        self.finish(errors.body(error, self.request_id))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if not isinstance(value, AppError | StreamClosedError):
            super().log_exception(typ, value, tb)

    def compute_etag(self) -> str | None:
        return None


class FileHandler(LocalHandler):
    """The page, or one of its files."""

    def initialize(self, asset: Asset) -> None:
        self.asset = asset

    def get(self) -> None:
        send(self, self.asset)


class NowhereHandler(LocalHandler):
    """Any other path."""

    def prepare(self) -> None:
        super().prepare()
        raise NotFound


@dataclass(frozen=True, slots=True)
class Behind:
    """What a caller with the token reaches. `numbers` makes what `/metrics` says."""

    page: OperatorPage
    token: bytes
    numbers: Callable[[], Awaitable[bytes]]


class AskingHandler(LocalHandler):
    """What asks, or does something: for whoever has the token."""

    def initialize(self, behind: Behind) -> None:
        self.page = behind.page
        self.behind = behind

    def prepare(self) -> None:
        """Raises CrossSite, Unauthenticated."""
        super().prepare()
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.behind.token):
            raise Unauthenticated

    def fields(self) -> dict[str, Any]:
        """The body's fields. Raises MalformedRequest, UnsupportedType."""
        return bodies.fields(self.request.headers.get("Content-Type", ""), self.request.body)

    def before(self) -> int:
        """Under which id a list goes on. Raises InvalidField."""
        before = parse_id(self.get_query_argument("before", str(MAX_ID)))
        if before is None:
            raise InvalidField(fields=[("before", "a positive integer")])
        return before

    def reply_page(self, name: str, rows: Sequence[Any]) -> None:
        """Answer with rows, of which one more than fits was asked for."""
        self.finish({name: [asdict(row) for row in rows[:PAGE_ROWS]], "more": len(rows) > PAGE_ROWS})


class OverviewHandler(AskingHandler):
    async def get(self) -> None:
        self.finish(asdict(await self.page.overview()))


class NumbersHandler(AskingHandler):
    async def get(self) -> None:
        numbers = await self.behind.numbers()
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        self.finish(numbers)


class PeopleHandler(AskingHandler):
    async def get(self) -> None:
        what = self.get_query_argument("what", "")
        self.reply_page("people", await self.page.find_people(what, before=self.before(), limit=PAGE_ROWS + 1))


class PersonHandler(AskingHandler):
    """One person: looked at, shut out or let in again, ended."""

    async def get(self, uid: str) -> None:
        self.finish(asdict(await self.page.describe(int(uid))))

    async def patch(self, uid: str) -> None:
        disabled = self.fields().get("disabled")
        if not isinstance(disabled, bool):
            raise InvalidField(fields=[("disabled", "true or false")])
        self.finish({"changed": await self.page.set_disabled(int(uid), disabled=disabled)})

    async def delete(self, uid: str) -> None:
        await self.page.delete(int(uid))
        self.set_status(204)


class DeletionHandler(AskingHandler):
    """What the end of an account would erase."""

    async def get(self, uid: str) -> None:
        self.finish({"rows": await self.page.what_would_go(int(uid))})


class ExportHandler(AskingHandler):
    """All that is kept about a person. It is an act, and so no GET."""

    async def post(self, uid: str) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Disposition", f'attachment; filename="glimpse-{uid}.json"')
        async for piece in self.page.export_of(int(uid)):
            self.write(piece)
            await self.flush()


class ReportsHandler(AskingHandler):
    async def get(self) -> None:
        only_open = self.get_query_argument("all", "") != "true"
        rows = await self.page.list_reports(only_open=only_open, before=self.before(), limit=PAGE_ROWS + 1)
        self.reply_page("reports", rows)


class ReportHandler(AskingHandler):
    """One report: looked at, or resolved."""

    async def get(self, report_id: str) -> None:
        shown = await self.page.show_report(int(report_id))
        picture = shown.picture
        self.finish(
            {
                "report": asdict(shown.report),
                "picture": {"filetype": picture.filetype, "size": picture.size} if picture else None,
            }
        )

    async def patch(self, report_id: str) -> None:
        note = self.fields().get("note")
        if not isinstance(note, str):
            raise InvalidField(fields=[("note", "a text")])
        self.finish({"changed": await self.page.resolve(int(report_id), note)})


class PictureHandler(AskingHandler):
    """A report's picture. To look at it is an act, and so no GET."""

    async def post(self, report_id: str) -> None:
        blob, filetype = await self.page.open_picture(int(report_id))
        with closing(blob):
            self.set_header("Content-Type", CONTENT_TYPES[filetype])
            self.set_header("Content-Length", str(blob.size))
            for offset in range(0, blob.size, PIECE_BYTES):
                self.write(await blob.read(offset, PIECE_BYTES))
                await self.flush()


class OutboxHandler(AskingHandler):
    async def get(self) -> None:
        asked = {name: self.get_query_argument(name, None) for name in ("state", "provider", "app")}
        rows = await self.page.list_outbox(**asked, before=self.before(), limit=PAGE_ROWS + 1)
        self.reply_page("notifications", rows)


class RetryHandler(AskingHandler):
    """Send again what was given up: `ids`, or all of one `provider` and `app`."""

    async def post(self) -> None:
        fields = self.fields()
        if "ids" in fields:
            self.finish({"done": await self.page.retry(_ids(fields["ids"]))})
            return
        provider, app = fields.get("provider"), fields.get("app")
        if not isinstance(provider, str) or not isinstance(app, str):
            raise InvalidField(fields=[("ids", "or provider and app")])
        self.finish({"done": await self.page.retry_all(provider, app)})


class DropHandler(AskingHandler):
    """End notifications unsent: `ids`."""

    async def post(self) -> None:
        self.finish({"done": await self.page.drop(_ids(self.fields().get("ids")))})


class ActsHandler(AskingHandler):
    async def get(self) -> None:
        self.reply_page("acts", await self.page.list_acts(before=self.before(), limit=PAGE_ROWS + 1))


ASKED: dict[str, type[AskingHandler]] = {
    r"/api/overview": OverviewHandler,
    r"/api/metrics": NumbersHandler,
    r"/api/people": PeopleHandler,
    rf"/api/people/{ID}": PersonHandler,
    rf"/api/people/{ID}/deletion": DeletionHandler,
    rf"/api/people/{ID}/export": ExportHandler,
    r"/api/reports": ReportsHandler,
    rf"/api/reports/{ID}": ReportHandler,
    rf"/api/reports/{ID}/picture": PictureHandler,
    r"/api/outbox": OutboxHandler,
    r"/api/outbox/retry": RetryHandler,
    r"/api/outbox/drop": DropHandler,
    r"/api/audit": ActsHandler,
}


def _is_local(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in LOCAL_HOSTS
    except ValueError:
        return False


def _ids(given: object) -> list[int]:
    """Raises InvalidField."""
    ids = [read_id(each) for each in given] if isinstance(given, list) else []
    known = [each for each in ids if each is not None]
    if not known or len(known) < len(ids):
        raise InvalidField(fields=[("ids", "a list of positive integers")])
    return known


def application(behind: Behind) -> Application:
    """The page's paths."""
    web_app = load()
    files = {"/": web_app.operators_page, **web_app.for_operators()}
    return Application(
        [
            *(url(re.escape(path), FileHandler, {"asset": asset}) for path, asset in files.items()),
            *(url(path, handler, {"behind": behind}) for path, handler in ASKED.items()),
        ],
        default_handler_class=NowhereHandler,
    )


@asynccontextmanager
async def served(
    sockets: Sequence[socket], services: Services, token: str, connections: Callable[[], int]
) -> AsyncIterator[None]:
    """Serve the page on these listening sockets for the length of a block, if there are any.

    `connections` tells how many this process has on the public port.
    """
    if not sockets:
        yield
        return
    behind = Behind(services.operator_page, token.encode(), partial(measured, services, connections))
    server = HTTPServer(application(behind), max_header_size=MAX_BYTES, max_body_size=MAX_BYTES)
    server.add_sockets(sockets)
    try:
        yield
    finally:
        server.stop()
        await server.close_all_connections()
