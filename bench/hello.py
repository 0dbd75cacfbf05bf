# SPDX-License-Identifier: Apache-2.0
"""Hello world on the event loop that Glimpse uses, by Tornado's HTTP server or by ours: what a request costs where
nothing is done. A POST is received and thrown away.
"""

import asyncio
import sys

import uvloop
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body

from transport.exchange import Exchange
from transport.limits import Limits
from transport.server import Server
from transport.tornado_names import Found, HandlerDelegate, LeanHandler


@stream_request_body
class HelloHandler(RequestHandler):
    def data_received(self, chunk: bytes) -> None:
        """Throw it away."""

    def get(self) -> None:
        self.write("Hello, world")

    def post(self) -> None:
        self.write("Hello, world")


@stream_request_body
class OwnHelloHandler(LeanHandler):
    data_received = HelloHandler.data_received
    get = HelloHandler.get
    post = HelloHandler.post


class OwnHello(Application):
    """One handler for every path, found and begun as Glimpse's are."""

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HandlerDelegate:  # noqa: ARG002
        assert isinstance(request_conn, Exchange)
        return HandlerDelegate(self, request_conn, self._find)

    def _find(self, request: HTTPServerRequest) -> Found:  # noqa: ARG002
        return Found(OwnHelloHandler, {}, {})


async def main(whose: str) -> None:
    """Serve on a free port of loopback until ended. `whose` is tornado or own."""
    sockets = bind_sockets(0, "127.0.0.1")
    if whose == "own":
        server = Server(OwnHello(), Limits(), refusal=lambda error: error.code.encode())
        server.listen(sockets)
    else:
        HTTPServer(Application([(r"/.*", HelloHandler)])).add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1] if len(sys.argv) > 1 else "tornado"))
