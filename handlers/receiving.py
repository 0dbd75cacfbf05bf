# SPDX-License-Identifier: Apache-2.0
"""A form with a picture on its way in, whatever it is for. The parsing is in `handlers.uploads`."""

import asyncio
from asyncio import Task, TimerHandle
from collections.abc import Mapping

from multipart import parse_options_header

from handlers.base import BaseHandler
from handlers.uploads import FORM_OVERHEAD_BYTES, WHOLE_BYTES, ImageSink, Upload
from models.errors import ImageTooLarge, MalformedRequest, UnsupportedType
from storage.base import Reservation

LONGEST_UPLOAD_SECONDS = 900
"""The largest image at the slowest rate that is allowed; retention keeps temporary files four times as long."""

_ending: set[Task[None]] = set()


class ReceivingHandler(BaseHandler):
    """Streams the picture into a sink, cuts an upload that crawls, and gives back what it held when that is cut."""

    upload: Upload | None = None
    reservation: Reservation | None = None
    watch: TimerHandle | None = None
    watched_bytes = 0

    def check_form_bytes(self, count: int) -> None:
        """Raises ImageTooLarge for a form of so many bytes."""
        most = self.services.settings.images_max_bytes
        if count > most + FORM_OVERHEAD_BYTES:
            raise ImageTooLarge(f"An image has at most {most} bytes.")

    def boundary(self) -> str:
        """Of the form. Raises UnsupportedType, MalformedRequest."""
        kind, options = parse_options_header(self.request.headers.get("Content-Type", ""))
        if kind != "multipart/form-data":
            raise UnsupportedType("Send multipart/form-data.")
        if not options.get("boundary"):
            raise MalformedRequest("The form names no boundary.")
        return str(options["boundary"])

    def start_upload(self, boundary: str, sink: ImageSink, fields: Mapping[str, int]) -> None:
        """Take the body, as it comes, as a form of these fields, each with the bytes that it may have."""
        self.upload = Upload(
            boundary,
            sink=sink,
            fields=fields,
            images_max_bytes=self.services.settings.images_max_bytes,
            budget=self.services.buffers,
            removal=self.services.settings.images_metadata,
            gathered=self.caller is not None and 0 < (self.content_length or 0) <= WHOLE_BYTES,
        )
        self.connection.set_body_timeout(LONGEST_UPLOAD_SECONDS)
        self.watch_rate()

    def take_over(self) -> tuple[Upload, Reservation | None]:
        """The whole body is there: from here on the upload ends with the use case, not with the connection."""
        self.stop_watch()
        upload, reservation = self.upload, self.reservation
        self.upload = self.reservation = None
        assert upload
        return upload, reservation

    def release(self) -> None:
        self.stop_watch()
        if self.reservation is not None:
            self.reservation.release()
            self.reservation = None
        if self.upload is not None:
            ending = asyncio.ensure_future(self.upload.abort())
            self.upload = None
            _ending.add(ending)
            ending.add_done_callback(_ending.discard)

    def watch_rate(self) -> None:
        """From now on cut an upload that crawls: it holds room on the disk that others need."""
        loop = asyncio.get_running_loop()
        self.watched_bytes = self.body_bytes
        self.watch = loop.call_later(self.services.settings.body_timeout_seconds, self._check_rate_of_bytes)

    def _check_rate_of_bytes(self) -> None:
        least = self.services.settings.min_bytes_per_second * self.services.settings.body_timeout_seconds
        if self.body_bytes - self.watched_bytes < least:
            self.connection.close()
        else:
            self.watch_rate()

    def stop_watch(self) -> None:
        if self.watch is not None:
            self.watch.cancel()
            self.watch = None
