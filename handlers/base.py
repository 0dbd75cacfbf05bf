# SPDX-License-Identifier: Apache-2.0
"""What every HTTP handler shares: request id, who is calling, bodies in, JSON and refusals out.

Every handler takes its body as a stream, so that a request can be refused before its body is read.
"""

import asyncio
import json
import logging
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from time import perf_counter
from typing import Any, ClassVar, TypeVar

from structlog.contextvars import bind_contextvars
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from handlers import bodies, errors
from handlers.refusing import RefusingHandler
from handlers.shared import Rule, Services, Who
from models.errors import (
    AppError,
    CrossSite,
    InternalError,
    InvalidField,
    MalformedRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedType,
    cause_of,
)
from models.origin import normal_origin
from models.user import UserId
from services.authentication import Caller
from services.fields import raise_if_any, unknown
from telemetry import logs, metrics
from transport.tornado_names import body_has_ended

log = logging.getLogger("glimpse.http")
PIECE_BYTES = 24 * 1024
"""Of this size are the pieces of a long reply, or one text: so much waits in memory for a client that takes nothing."""
_to_json = json.JSONEncoder(ensure_ascii=False).encode
P = TypeVar("P")
"""What stands for one piece of a long list until it is read."""


class BaseHandler(RefusingHandler):
    """A handler of one path. Subclasses define the methods that the route table names for it."""

    constant_headers: ClassVar[Mapping[str, str]] = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    max_body_bytes = bodies.MAX_BODY_BYTES
    confirmed_by_service: Collection[str] = ()
    """Methods whose service asks where it writes whether the caller's credential still stands."""
    recalls_caller: Collection[str] = ()
    """Methods that do nothing, and say nothing that is the caller's, before they have asked the database whether the
    credential still stands: a proof of a moment ago is enough for them to begin with.
    """
    request_id: str
    caller: Caller | None

    def initialize(self, services: Services, rule: Rule) -> None:  # type: ignore[override]
        super().initialize()
        self.services = services
        self.rule = rule
        self.caller = None
        self.started = perf_counter()
        self._body: list[bytes] = []
        self._closed = False
        self._ended = False
        self._set_origin_headers()
        services.activity.begin()

    def set_default_headers(self) -> None:
        if not hasattr(self, "request_id"):
            self.request_id = secrets.token_hex(8)
        self.set_header("X-Request-Id", self.request_id)
        if hasattr(self, "services"):  # Tornado calls this once before `initialize`
            self._set_origin_headers()

    def _set_origin_headers(self) -> None:
        for name, value in self.services.origins.reply_headers(self.request.headers.get("Origin")).items():
            self.set_header(name, value)

    # -- who is calling, and may they --

    @property
    def peer(self) -> str:
        return self.request.remote_ip or ""

    @property
    def address(self) -> str:
        """The address that limits are counted by."""
        return self.services.proxies.client(self.peer, self.request.headers.get("X-Forwarded-For"))

    @property
    def reached_as(self) -> str | None:
        """The origin that the client called us by; scheme and port as a trusted proxy names them."""
        headers, scheme, port = self.request.headers, self.request.protocol, None
        if self.services.proxies.trusts(self.peer):
            scheme, port = headers.get("X-Forwarded-Proto", "https").lower(), headers.get("X-Forwarded-Port")
        named = normal_origin(f"{scheme}://{headers.get('Host', '')}")
        return normal_origin(f"{named}:{port}") if named and port else named

    @property
    def uid(self) -> UserId:
        """Who is calling. Raises Unauthenticated when nobody is."""
        if self.caller is None:
            raise Unauthenticated
        return self.caller.uid

    async def prepare(self) -> None:
        bind_contextvars(request_id=self.request_id)
        try:
            if self.services.activity.stopping:
                raise Unavailable("The server is stopping.")
            await self.admit()
            if self.content_length != 0:
                setattr(self, (self.request.method or "get").lower(), self._run_confirmed)
        except AppError as error:
            self.refuse(error)
        except Exception:
            log.exception("a request could not be admitted")
            self.refuse(InternalError())

    async def _run_confirmed(self, *args: str, **kwargs: str) -> None:
        """The handler's own method, unless the caller's credential has ended while the body was on its way."""
        name = (self.request.method or "get").lower()
        delattr(self, name)  # or the handler would hold itself, and all that it holds, until the collector comes
        if self.caller is not None and self.request.method not in self.confirmed_by_service:
            await self.services.authentication.confirm(self.caller)
        await getattr(self, name)(*args, **kwargs)

    async def head(self, *args: Any, **kwargs: Any) -> None:
        """Answer as GET does; the content stays here (RFC 9110, 9.3.2)."""
        await type(self).get(self, *args, **kwargs)  # type: ignore[misc]  # Tornado declares no method as a coroutine

    async def admit(self) -> None:
        """Everything that can be said before the body is read. Raises an AppError to refuse."""
        self.check_request()
        if self.rule.who is Who.PERSON:
            self.caller = await self.authenticate()
        await self.check_rate()
        self.check_room()

    def check_request(self) -> None:
        """Refuse what cannot be taken from anybody. Raises UnsupportedType, CrossSite, TooLarge."""
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedType("Send the body without a Content-Encoding.")
        if self._is_cross_site():
            raise CrossSite
        self.check_length()

    def _is_cross_site(self) -> bool:
        method, headers = self.request.method or "", self.request.headers
        return self.services.origins.is_cross_site(method, headers, lambda: self.reached_as)

    async def check_rate(self) -> None:
        """Raises RateLimited, DatabaseError."""
        uid = self.caller.uid if self.caller else None
        await self.services.limits.check(self.rule.limit, address=self.address, uid=uid)

    def check_room(self) -> None:
        """Raises StorageFull where the operation makes the database grow and a disk has too little left."""
        if self.rule.needs_room:
            self.services.health.check_room()

    def check_length(self) -> None:
        """Refuse by Content-Length. Raises TooLarge."""
        if (self.content_length or 0) > self.max_body_bytes:
            raise TooLarge(f"A body here has at most {self.max_body_bytes} bytes.")

    async def authenticate(self) -> Caller:
        """The caller that the Authorization header proves; who proves nothing is counted by their address.

        Raises Unauthenticated, RateLimited.
        """
        try:
            return await self._proved()
        except Unauthenticated:
            await self.check_rate()
            raise

    async def _proved(self) -> Caller:
        proof, authentication = self.request.headers.get("Authorization", ""), self.services.authentication
        if self.request.method not in self.recalls_caller:
            return await self._prove(proof)
        caller = authentication.recall(proof)
        if caller is None:
            caller = await self._prove(proof)
            authentication.remember(proof, caller)
        return caller

    async def _prove(self, proof: str) -> Caller:
        scheme, _, value = proof.partition(" ")
        if scheme.lower() == "bearer":
            return await self.services.authentication.bearer(value.strip())
        if scheme.lower() != "basic":
            raise Unauthenticated
        try:
            phone_hash, colon, ukey = b64decode(value.strip(), validate=True).decode("ascii").partition(":")
        except ValueError:
            raise Unauthenticated from None
        if not colon:
            raise Unauthenticated
        return await self.services.authentication.basic(phone_hash, ukey, self.address)

    # -- bodies in --

    async def data_received(self, chunk: bytes) -> None:
        if self._closed:
            return
        self.body_bytes += len(chunk)
        try:
            await self.take(chunk)
        except AppError as error:
            self.refuse(error)
        except StreamClosedError:
            return
        except Exception:
            log.exception("a body could not be taken")
            self.refuse(InternalError())

    async def take(self, chunk: bytes) -> None:
        """Keep a piece of the body. Raises TooLarge."""
        if self.body_bytes > self.max_body_bytes:
            raise TooLarge(f"A body here has at most {self.max_body_bytes} bytes.")
        self._body.append(chunk)

    def fields(self) -> dict[str, Any]:
        """The body's fields, from JSON or a form. Raises MalformedRequest, UnsupportedType, InvalidField."""
        return bodies.fields(self.request.headers.get("Content-Type", ""), b"".join(self._body))

    def query(self, *allowed: str) -> dict[str, str]:
        """The query's fields. Raises InvalidField for one that is not allowed, given twice, or no text."""
        found: dict[str, str] = {}
        given = self.request.query_arguments
        raise_if_any(unknown(given, allowed))
        for name, values in given.items():
            if len(values) > 1:
                raise InvalidField(fields=[(name, "given more than once")])
            try:
                found[name] = values[0].decode()
            except UnicodeDecodeError:
                raise InvalidField(fields=[(name, "must be UTF-8 text")]) from None
        return found

    def idempotency_key(self, least: int = 1) -> str | None:
        """The Idempotency-Key header, if there is one. Raises MalformedRequest."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return None
        if not least <= len(key) <= 64 or not all("!" <= letter <= "~" for letter in key):
            raise MalformedRequest(f"Idempotency-Key must be {least} to 64 visible ASCII characters.")
        return key

    # -- replies out --

    def reply(self, status: int, body: Mapping[str, Any] | None = None) -> None:
        """Answer with JSON, or with nothing."""
        self.set_status(status)
        if body is None:
            self.clear_header("Content-Type")
            self.finish()
        else:
            self.finish(_to_json(body).encode())

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        if not self._headers_written:
            super().send_error(status_code, **kwargs)
            return
        # Behind the head of an answer an error can only cut it off: the client sees so by the Content-Length.
        self.connection.close()
        if not self._finished:
            self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's name
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.refused = errors.known(error)
        if isinstance(self.refused, Unauthenticated):
            self.services.authentication.forget(self.request.headers.get("Authorization", ""))
        self.write_problem(self.refused)
        self.finish()

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if not isinstance(value, AppError | HTTPError | StreamClosedError):
            log.error("a request failed", exc_info=(typ, value, tb) if value else None)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:  # noqa: ARG002 - Tornado's name
        # What is no text names nothing: the handler finds that out, after `prepare` had its say about the body.
        return value.decode(errors="replace")

    async def reply_in_pieces(
        self,
        pieces: Sequence[P],
        read: Callable[[P], Awaitable[Sequence[Mapping[str, Any]]]],
        rest: Mapping[str, Any],
        *,
        name: str = "items",
    ) -> None:
        """Answer 200 with one JSON object: under `name` what is read for each piece, one after the other, and `rest`.

        A piece is read when the client has taken the one before. A failure after the first cuts the connection off.
        """
        if len(pieces) < 2:
            self.reply(200, {name: [item for piece in pieces for item in await read(piece)], **rest})
            return
        self.connection.pace()
        self.write(f'{{"{name}": [')
        comma = ""
        for piece in pieces:
            await self.services.turns.take()
            items = await read(piece)
            if items:
                self.write(comma + json.dumps(items, ensure_ascii=False)[1:-1])
                comma = ", "
                del items  # what was written waits for the client; this need not
                await self.flush_within(self.services.settings.stall_seconds)
        self.finish(f"], {json.dumps(rest, ensure_ascii=False)[1:]}")

    async def flush_within(self, seconds: float) -> None:
        """Send what was written, and return when the client has taken it but for what the kernel holds.

        This is how a reply without measure is written: piece by piece, no faster than the client takes it. Raises
        StreamClosedError for a client that is gone or takes nothing for so long; its connection is cut off then.
        """
        sent = self.flush()
        if not sent.done():
            await asyncio.wait({sent}, timeout=seconds)
        if not sent.done():
            self.connection.close()
        await sent

    def on_connection_close(self) -> None:
        self._closed = True
        body_ended = body_has_ended(self.request)
        super().on_connection_close()
        self.release()
        if not body_ended:
            self._end(self.get_status() if self.refused else 499)

    def on_finish(self) -> None:
        self.release()
        self._end(self.get_status())

    def _end(self, status: int) -> None:
        """The access line, once: route pattern, never the query or a path that may hold a key."""
        if self._ended:
            return
        self._ended = True
        self.services.activity.end()
        if cause := cause_of(self.refused):
            log.error("the database failed", extra={"cause": cause})
        error = self.refused.code if self.refused else ""
        _tell_end(self.request.method or "", self.rule.path, status, error, self.request_id, self.started)


def refused_unread(error: AppError) -> bytes:
    """The reply to what cannot be read as a request; it is counted and logged as any."""
    request_id = secrets.token_hex(8)
    _tell_end("", "", int(errors.STATUS[error.kind]), error.code, request_id, perf_counter())
    return errors.whole_reply(error, request_id)


def _tell_end(  # noqa: PLR0917 - one place writes the line, two call it
    method: str, route: str, status: int, error: str, request_id: str, started: float
) -> None:
    seconds = perf_counter() - started
    metrics.request_ended(method, route, status, error, seconds)
    logs.request_ended(
        {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "error": error,
            "ms": round(seconds * 1000, 1),
        }
    )
