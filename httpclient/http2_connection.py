# SPDX-License-Identifier: Apache-2.0
"""One HTTP/2 connection: concurrent requests, each with its own answer or failure."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import NoAvailableStreamIDError, ProtocolError
from h2.settings import SettingCodes, Settings

from httpclient.http1 import MAX_ANSWER_BYTES, Answer, NoAnswer
from httpclient.http1_connection import MAX_HEAD_BYTES

# Per request under way, between two that ended: a host may send any number of interim answers and pings.
MAX_RECEIVED_BYTES = MAX_ANSWER_BYTES + MAX_HEAD_BYTES

Header = tuple[bytes, bytes]


class Unprocessed(Exception):
    """The host has not processed the request and never will: it is safe to send it again."""


@dataclass(slots=True, eq=False)
class _Stream:
    stream_id: int
    result: "asyncio.Future[Answer | NoAnswer | Unprocessed]"
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Http2Connection(asyncio.Protocol):
    """Made by the event loop. `ready` resolves to whether the host speaks HTTP/2; `lost` when the connection is closed.

    A retired connection takes no more requests and closes after the last one under way.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Validating our own headers would cost a tenth of a push's processor time.
        config = H2Configuration(
            header_encoding=None, normalize_outbound_headers=False, validate_outbound_headers=False
        )
        self._h2 = H2Connection(config)
        self._streams: dict[int, _Stream] = {}
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport
        self._writable = True
        self._flushing = False
        self._heard_at = self._used_at = self._loop.time()
        self._received = 0
        self.retired = False
        self.ready: asyncio.Future[bool] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request ended; 0 while one is under way."""
        return 0.0 if self._streams else self._loop.time() - self._used_at

    async def exchange(self, headers: list[Header], content: bytes, *, seconds: float) -> Answer | NoAnswer:
        """Send a request and wait for its answer. Raises Unprocessed."""
        stream = None
        try:
            async with asyncio.timeout(seconds):
                while not self._has_room(len(content)):
                    await self._changed.wait()
                stream = self._send(headers, content)
                result = await stream.result
        except TimeoutError:
            if self._loop.time() - self._heard_at > seconds / 2:
                self.retired = True  # no byte on any stream: the connection itself is dead
            return NoAnswer("timed out")
        finally:
            if stream is not None:
                self._forget(stream)
        if isinstance(result, Unprocessed):
            raise result
        return result

    def retire(self) -> None:
        """Take no more requests."""
        self.retired = True
        self._change()
        if not self._streams:
            self.close()

    def close(self) -> None:
        """Send GOAWAY and close; requests under way fail."""
        self.retired = True
        self._fail("connection closed")
        try:
            self._h2.close_connection()
        except ProtocolError:
            pass
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close without flushing."""
        self.retired = True
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self.abort()
            return
        self._h2.local_settings = Settings(client=True, initial_values={SettingCodes.ENABLE_PUSH: 0})
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, _: Exception | None) -> None:
        self._fail("connection broken")
        if not self.ready.done():
            self.ready.set_result(False)
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._change()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._received += len(data)
        try:
            if self._received > MAX_RECEIVED_BYTES * max(len(self._streams), 1):
                raise ProtocolError
            for event in self._h2.receive_data(data):
                self._handle(event)
        except ProtocolError:
            self._fail("connection broken")
            self.abort()
            return
        self._flush()

    def _has_room(self, size: int) -> bool:
        """Whether the host's limits allow a request of this size now. Raises Unprocessed when retired."""
        if self.retired:
            raise Unprocessed
        settings = self._h2.remote_settings
        window = min(settings.initial_window_size, self._h2.outbound_flow_control_window)
        return self._writable and len(self._streams) < settings.max_concurrent_streams and window >= size

    def _send(self, headers: list[Header], content: bytes) -> _Stream:
        """Send a request in one frame: the smallest maximum frame size (16 KiB, RFC 9113, 6.5.2) holds any push."""
        try:
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, headers)
            self._h2.send_data(stream_id, content, end_stream=True)
        except (NoAvailableStreamIDError, ProtocolError):
            self.retire()
            raise Unprocessed from None
        stream = self._streams[stream_id] = _Stream(stream_id, self._loop.create_future())
        if not self._flushing:
            # Requests of one turn of the event loop leave in one write.
            self._flushing = True
            self._loop.call_soon(self._flush)
        return stream

    def _forget(self, stream: _Stream) -> None:
        """Remove a stream, and reset it if it has no answer yet."""
        self._streams.pop(stream.stream_id, None)
        self._used_at = self._loop.time()
        if stream.result.cancelled() or not stream.result.done():
            self._reset(stream.stream_id)
        self._change()
        if self.retired and not self._streams:
            self.close()

    def _reset(self, stream_id: int) -> None:
        try:
            self._h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        except ProtocolError:
            pass
        self._flush()

    def _handle(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                if not self.ready.done():
                    self.ready.set_result(True)
                self._change()
            case WindowUpdated():
                self._change()
            case ConnectionTerminated(last_stream_id=last):
                self._go_away(last or 0)
            case ResponseReceived(stream_id=int(stream_id), headers=headers) if stream_id in self._streams:
                stream = self._streams[stream_id]
                stream.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers or []}
                status = stream.headers.pop(":status", "")
                stream.status = int(status) if len(status) == 3 and status.isascii() and status.isdigit() else 0
            case DataReceived(stream_id=int(stream_id)):
                self._take(event, stream_id)
            case StreamEnded(stream_id=int(stream_id)) if stream_id in self._streams:
                stream = self._streams[stream_id]
                self._settle(stream, Answer(stream.status, stream.headers, bytes(stream.body)))
            case StreamReset(stream_id=int(stream_id)) if stream_id in self._streams:
                refused = event.error_code == ErrorCodes.REFUSED_STREAM
                self._settle(self._streams[stream_id], Unprocessed() if refused else NoAnswer("connection broken"))

    def _take(self, event: DataReceived, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.body += event.data or b""
            if len(stream.body) > MAX_ANSWER_BYTES:
                self._settle(stream, NoAnswer("answer too large"))
                self._reset(stream_id)
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)

    def _go_away(self, last_stream_id: int) -> None:
        """GOAWAY: `h2` accepts no frames after it, so answers still under way are lost."""
        for stream_id, stream in self._streams.items():
            late = stream_id > last_stream_id
            self._settle(stream, Unprocessed() if late else NoAnswer("connection going away"))
        self.retire()

    def _fail(self, reason: str) -> None:
        self.retired = True
        for stream in self._streams.values():
            self._settle(stream, NoAnswer(reason))
        self._change()

    def _settle(self, stream: _Stream, result: Answer | NoAnswer | Unprocessed) -> None:
        if not stream.result.done():
            self._received = 0
            stream.result.set_result(result)

    def _change(self) -> None:
        """Wake everybody who waits for `_has_room`."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _flush(self) -> None:
        self._flushing = False
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
