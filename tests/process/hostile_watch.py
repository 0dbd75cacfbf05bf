# SPDX-License-Identifier: Apache-2.0
"""What no attack may do, whatever it was: harm others, leak, make the server fail."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.process.hostile_wire import read_answer, request
from tests.support.harness import Server, errors, wait_until

PATIENCE_SECONDS = 0.5
"""Of the server's own processor time: what others run beside it does not count."""
TICKS = os.sysconf("SC_CLK_TCK")
ASK = request("GET", "/healthz")


class Bystander:
    """A second client that asks on one kept connection, over and over, how the server is."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.busiest_seconds = 0.0
        self.answered = 0
        self.failed = ""

    def __enter__(self) -> "Bystander":
        """Return when it has been answered once: its connection is there before those of any crowd."""
        self._thread.start()
        wait_until(lambda: bool(self.answered or self.failed), what="the bystander's first answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        try:
            with self._server.connect() as connection:
                while not self._ended.wait(0.005) or not self.answered:
                    before = computed(self._server)
                    connection.sendall(ASK)
                    answer = read_answer(connection)
                    assert answer, "closed"
                    assert answer.status == 200
                    self.busiest_seconds = max(self.busiest_seconds, computed(self._server) - before)
                    self.answered += 1
        except (OSError, AssertionError) as error:
            self.failed = f"{type(error).__name__}: {error}"


def computed(server: Server) -> float:
    """Seconds that the server's threads have computed, from its start (proc(5), fields 14 and 15 of stat)."""
    assert server.process
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def unharmed(server: Server, *allowed: int, provokes: str | None = None) -> Iterator[Bystander]:
    """Assert after the block that nothing is left of it and nobody felt it. `allowed` are 5xx that it may cause,
    `provokes` is the event of the one error line that it must cause.
    """
    server.client.get("/healthz")
    files_before, log_before = server.open_files(), len(server.log.read_text())
    with Bystander(server) as bystander:
        yield bystander
    assert bystander.failed == ""
    assert bystander.busiest_seconds < PATIENCE_SECONDS
    wait_until(lambda: server.open_files() <= files_before, what="the return of all descriptors")
    said = server.log.read_text()[log_before:]
    assert [json.loads(line)["event"] for line in errors(said)] == ([provokes] if provokes else [])
    server.provoked.update(errors(said))
    assert {status for status in statuses(said) if status >= 500} <= set(allowed)
    assert list((server.data_dir / "images" / ".tmp").iterdir()) == []


def statuses(log: str) -> list[int]:
    """The statuses of the access lines in a log."""
    lines = [json.loads(line) for line in log.splitlines() if '"event": "request"' in line]
    return [line["status"] for line in lines]
