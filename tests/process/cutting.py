# SPDX-License-Identifier: Apache-2.0
"""A way to a MySQL-protocol server that can be cut at the worst moment: when a commit has arrived there."""

import socket
import threading
from contextlib import suppress

COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
"""The packet: https://mariadb.com/docs/server/reference/clientserver-protocol/2-text-protocol/com_query"""


class Way:
    """Listens on `port` of loopback and passes all on. After `cut_commits(n)` so many commits get no answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._left = 0
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_commits(self, count: int) -> None:
        self._left = count

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                threading.Thread(target=self._there, args=(near, far), daemon=True).start()
                threading.Thread(target=self._back, args=(far, near), daemon=True).start()

    def _there(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, suppress(OSError):
            while data := near.recv(65536):
                if data == COMMIT and self._left:
                    self._left -= 1
                    # No byte comes back from here on; the server does what it was asked.
                    near.shutdown(socket.SHUT_WR)
                    far.sendall(data)
                    self.cut += 1
                else:
                    far.sendall(data)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
