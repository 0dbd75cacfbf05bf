# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.outage`: what six hours without a push vendor cost those who send, and how soon all has arrived.

Two servers, one whose vendor is well, and one that has the outbox that six hours of a vendor that is down leave, one
notification a second, and whose vendor still is down. People send images to both by turns, so that whatever else the
machine does falls on both. Then the second vendor is well again.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import click
import httpx
import uvloop

from bench.outbox import fill
from models.clock import HOUR_MS
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg
from tests.support.push_vendors import PushVendor, emulated

HOURS = 6
DEVICES = 1000
IMAGE_BYTES = 100_000
DOWN = {"fail": 100}
WARM_UP = 50
LONGEST_SECONDS = 600


@dataclass
class Side:
    """A server, its vendor, and how long each image to it took, in seconds."""

    server: Server
    vendor: PushVendor
    sender: Person
    receiver: Person
    client: httpx.Client
    took: list[float] = field(default_factory=list)

    def send(self, image: bytes) -> None:
        began = perf_counter()
        reply = self.client.post(
            "/v1/images",
            auth=self.sender.auth,
            data={"receiver_uid": str(self.receiver.uid)},
            files={"img_file": ("x.jpg", image, "image/jpeg")},
        )
        self.took.append(perf_counter() - began)
        assert reply.status_code == 201, reply.text

    def waiting(self) -> int:
        """How many notifications are due; what others wait for, this server's database is asked for."""
        [(count,)] = self.server.database.rows("SELECT count(*) FROM outbox WHERE state = 'due'")
        return int(count)


@click.command()
@click.option("--images", default=1000, show_default=True, help="sent to each of the two servers")
@click.option("--waiting", default=HOURS * 3600, show_default=True, help="notifications that the outage has left")
def main(*, images: int, waiting: int) -> None:
    """Measure sending beside an outage, and its end."""
    with ExitStack() as stack:
        well = stack.enter_context(side("well", 0))
        down = stack.enter_context(side("down", waiting))
        for number in range(WARM_UP + images):
            # Whoever is second finds the machine warm: by turns.
            for each in (well, down) if number % 2 else (down, well):
                each.send(jpeg(IMAGE_BYTES))
        left = down.waiting()
        told(well, down)
        began = perf_counter()
        down.vendor.tell("chances")
        wait_until(lambda: down.waiting() == 0, LONGEST_SECONDS, "the outbox to empty", pause=0.5)
        seconds = perf_counter() - began
        arrived = len({(push.target, push.message_id) for push in down.vendor.received()})
    click.echo(f"{left} notifications waited; {arrived} arrived within {seconds:.0f} s of the vendor's return")
    raise SystemExit(arrived != left)


@contextmanager
def side(name: str, waiting: int) -> Iterator[Side]:
    """A server and its vendor, which is down where anything waits for it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=name)))
        vendors = stack.enter_context(emulated(folder, ["getui"]))
        vendor = vendors.each["getui"]
        (folder / "data").mkdir(mode=0o700)
        if waiting:
            vendor.tell("chances", **DOWN)
            tokens = {("getui", ""): [vendor.token(number) for number in range(DEVICES)]}
            uvloop.run(fill(folder / "data", tokens, waiting // DEVICES, over_ms=HOURS * HOUR_MS))
        settings = {"limits": {"enabled": False}, "push": vendors.push}
        server = stack.enter_context(running(folder, settings))
        sender, receiver = server.register("Ann"), server.register("Ben", push_provider="getui", cid="ben")
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False))
        yield Side(server, vendor, sender, receiver, client)


def told(well: Side, down: Side) -> None:
    click.echo("| | median, ms | 95 % below, ms |")
    click.echo("|---|---|---|")
    rows = []
    for name, each in (("vendor well", well), ("vendor down for six hours", down)):
        took = [1000 * seconds for seconds in each.took[WARM_UP:]]
        rows.append((median(took), quantiles(took, n=20)[-1]))
        click.echo(f"| {name} | {rows[-1][0]:.2f} | {rows[-1][1]:.2f} |")
    click.echo(f"| ratio | {rows[1][0] / rows[0][0]:.2f} | {rows[1][1] / rows[0][1]:.2f} |")


if __name__ == "__main__":
    main()
