# SPDX-License-Identifier: Apache-2.0
"""A phone that is told by webhook."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Phone:
    """Answers `/{status}/…` with that status, after `before` was called. Keeps the bodies that each path got.

    `other_url` is another origin: one that fails is left alone for a while, and must not take the first with it.
    """

    url: str
    other_url: str
    got: dict[str, list[Any]] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None


@contextmanager
def running_phone() -> Iterator[Phone]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.setdefault(self.path, []).append(json.loads(body))
            found.before()
            self.send_response(int(self.path.split("/")[1]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Phone(f"http://127.0.0.1:{server.server_port}", f"http://localhost:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
