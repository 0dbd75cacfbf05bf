# SPDX-License-Identifier: Apache-2.0
"""How a request is refused while its body is on its way. That the client can read so is the transport's part: it sends
the refusal at once, and reads and throws away the rest of the body within bounds before it closes.
"""

from tornado.web import stream_request_body

from handlers import errors
from models.errors import AppError
from transport.exchange import Exchange
from transport.tornado_names import LeanHandler


@stream_request_body
class RefusingHandler(LeanHandler):
    """A handler that can refuse from `prepare` and from `data_received`."""

    request_id: str

    def initialize(self) -> None:
        self.body_bytes = 0
        self.refused: AppError | None = None

    @property
    def connection(self) -> Exchange:
        assert isinstance(self.request.connection, Exchange)
        return self.request.connection

    @property
    def content_length(self) -> int | None:
        """None for a chunked body; 0 without a body."""
        return self.connection.head.length

    def write_problem(self, error: AppError) -> None:
        self.set_status(errors.STATUS[error.kind], errors.REASONS.get(error.kind))
        for name, value in errors.headers(error, browser="Sec-Fetch-Mode" in self.request.headers).items():
            self.set_header(name, value)
        body = errors.body(error, self.request_id)
        self.set_header("Content-Length", str(len(body)))
        self.write(body)

    def refuse(self, error: AppError) -> None:
        """Answer an error, before the request's body has ended if it has one."""
        self.release()
        self.refused = error
        if self.content_length != 0:
            self.set_header("Connection", "close")
        self.write_problem(error)
        self.finish()
        super().on_connection_close()  # as for who has gone: the handler's method does not run

    def release(self) -> None:
        """Give back what a request holds while its body is on its way. Called once or more; never raises."""
