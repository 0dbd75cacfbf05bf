# SPDX-License-Identifier: Apache-2.0
"""The HTTP/2 side of the APNs emulator: streams in, answers out, and the ways in which a connection can fail."""

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from emulators.apns_rules import STATUS_OF, ApnsState, Connection, Refused

# What a connection can do wrong, before a push is looked at and after it was kept; the rest is in APNs' reasons.
FAULTS_BEFORE = ("502", "hang_before", "reset_before", "huge", "redirect", "garbage", "goaway", "rst_stream", "silent")
FAULTS_AFTER = ("hang_after", "reset_after", "goaway_after", "goaway_answered")
CONCURRENT_STREAMS = 1000
LONGEST_BODY = 8192
HEADERS_ON_STREAM_0 = bytes.fromhex("000000 01 04 00000000")


@dataclass(slots=True)
class _Request:
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)


class ApnsConnection(asyncio.Protocol):
    """One connection of a provider."""

    def __init__(self, state: ApnsState, opened: set["ApnsConnection"]) -> None:
        self._state = state
        self._opened = opened
        self._h2 = H2Connection(
            H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=False)
        )
        self._h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = CONCURRENT_STREAMS
        self._requests: dict[int, _Request] = {}
        self._unsent: dict[int, bytes] = {}
        self._memory = Connection()
        self._silent = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._opened.add(self)
        self._state.connections += 1
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, _: Exception | None) -> None:
        self._opened.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                if not self._transport.is_closing():
                    self._handle(event)
        except ProtocolError:  # also where the caller's goodbye came with what is answered here
            self._flush()
            self._transport.close()
            return
        self._flush()

    def abort(self) -> None:
        """Break the connection off."""
        self._transport.abort()

    def _go_away(self, last_stream_id: int) -> None:
        """Say that no stream after this one was looked at, and close."""
        self._h2.close_connection(ErrorCodes.NO_ERROR, json.dumps({"reason": "Shutdown"}).encode(), last_stream_id)
        self._flush()
        self._transport.close()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream_id)):
                self._requests[stream_id] = _Request(
                    [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers or []]
                )
            case DataReceived(stream_id=int(stream_id)):
                self._h2.increment_flow_control_window(event.flow_controlled_length or 1)
                request = self._requests.get(stream_id)
                if request is not None and len(request.body) <= LONGEST_BODY:
                    request.body += event.data or b""
            case StreamEnded(stream_id=int(stream_id)):
                request = self._requests.pop(stream_id, None)
                if request is not None and not self._silent:
                    self._meet(stream_id, request)
            case StreamReset(stream_id=int(stream_id)):
                self._requests.pop(stream_id, None)
                self._unsent.pop(stream_id, None)
            case WindowUpdated():
                for waiting in list(self._unsent):
                    self._pump(waiting)
            case ConnectionTerminated():
                self._transport.close()

    def _meet(self, stream_id: int, request: _Request) -> None:
        """Answer, or do what the next fault asks for."""
        self._state.calls["push"] += 1
        kind = self._state.faults.next()
        if kind in STATUS_OF:
            refused = self._state.fault(kind or "")
            self._answer(stream_id, request, refused.status, refused.document)
        elif kind in FAULTS_BEFORE:
            self._fail_before(kind or "", stream_id, request)
        else:
            status, document = self._push(request)
            if kind in {None, "goaway_answered"}:
                self._answer(stream_id, request, status, document)
            if kind is not None:
                self._fail_after(kind, stream_id)

    def _push(self, request: _Request) -> tuple[int, Any]:
        try:
            self._state.push(request.headers, bytes(request.body), self._memory)
        except Refused as refused:
            self._state.violations.append(str(refused))
            return refused.status, refused.document
        return 200, None

    def _answer(self, stream_id: int, request: _Request, status: int, document: Any) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self._send(stream_id, request, status, body)

    def _send(self, stream_id: int, request: _Request, status: int, body: bytes, *more: tuple[str, str]) -> None:
        apns_id = dict(request.headers).get("apns-id") or str(uuid.uuid4()).upper()
        self._h2.send_headers(stream_id, [(":status", str(status)), ("apns-id", apns_id), *more], end_stream=not body)
        if body:
            self._unsent[stream_id] = body
            self._pump(stream_id)

    def _pump(self, stream_id: int) -> None:
        """Send as much of an answer as the caller's window takes."""
        body = self._unsent.pop(stream_id)
        while body and (room := self._h2.local_flow_control_window(stream_id)):
            piece = body[: min(room, self._h2.max_outbound_frame_size)]
            body = body[len(piece) :]
            self._h2.send_data(stream_id, piece, end_stream=not body)
        if body:
            self._unsent[stream_id] = body

    def _fail_before(self, kind: str, stream_id: int, request: _Request) -> None:
        match kind:
            case "502":
                self._send(stream_id, request, 502, b"<html><body>Bad gateway</body></html>")
            case "huge":
                self._send(stream_id, request, 200, b" " * 1_000_000)
            case "redirect":
                self._send(stream_id, request, 302, b"", ("location", "/elsewhere"))
            case "garbage":
                self._flush()
                self._transport.write(HEADERS_ON_STREAM_0)
            case "goaway":
                self._go_away(stream_id - 1)
            case "rst_stream":
                self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            case "reset_before":
                self.abort()
            case "silent":
                self._silent = True

    def _fail_after(self, kind: str, stream_id: int) -> None:
        if kind == "reset_after":
            self.abort()
        elif kind != "hang_after":
            self._go_away(stream_id)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._silent and not self._transport.is_closing():
            self._transport.write(data)
