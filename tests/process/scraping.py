# SPDX-License-Identifier: Apache-2.0
"""A server with a metrics port, and what a scrape of it says."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.harness import Server, running, wait_until

Sample = tuple[str, frozenset[tuple[str, str]]]


def free_port(in_a_row: int = 1) -> int:
    """The first of so many ports that nobody listens on. They are below the range (RFC 6056) that the kernel gives to
    outgoing connections, one of which could take a port before the server does.
    """
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    while True:
        first = random.randrange(10_000, lowest_given - in_a_row)
        with ExitStack() as held, suppress(OSError):
            for port in range(first, first + in_a_row):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


class Scraped:
    """One answer of the metrics port."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples: dict[Sample, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """A sample's value, 0 where there is none."""
        return self._samples.get((f"glimpse_{name}", frozenset(labels.items())), 0)

    def values(self, label: str) -> set[str]:
        """Every value that a label has in any sample of ours."""
        return {value for name, labels in self._samples for key, value in labels if key == label and "glimpse" in name}


class Metered:
    """A server and its metrics port."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{port}"

    def scrape(self) -> Scraped:
        reply = httpx.get(f"{self.url}/metrics", trust_env=False, verify=False)
        assert reply.status_code == 200
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Scraped(reply.text)

    def wait_for(self, name: str, value: float, **labels: str) -> Scraped:
        scrapes = [self.scrape()]

        def arrived() -> bool:
            scrapes.append(self.scrape())
            return scrapes[-1](name, **labels) == value

        wait_until(arrived, what=f"{name} {labels} = {value}")
        return scrapes[-1]


@contextmanager
def metered(folder: Path, settings: dict[str, Any]) -> Iterator[Metered]:
    port = free_port()
    with running(folder, {**settings, "metrics": {"port": port}}) as server:
        yield Metered(server, port)
