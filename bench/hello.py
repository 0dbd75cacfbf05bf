# SPDX-License-Identifier: Apache-2.0
"""Tornado's hello world on the event loop that Glimpse uses: what a request costs where nothing is done."""

import asyncio

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler


class HelloHandler(RequestHandler):
    def get(self) -> None:
        self.write("Hello, world")


async def main() -> None:
    """Serve on a free port of loopback until ended."""
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([(r"/", HelloHandler)])).add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
