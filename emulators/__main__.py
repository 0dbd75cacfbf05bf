# SPDX-License-Identifier: Apache-2.0
"""`python -m emulators NAME`: stand-ins for the vendors, to work without an account."""

import asyncio

import click

from emulators import agora, aliyun, apns, fcm, getui, ntfy, sendbird, twilio, webhook, webpush
from emulators.starting import Starter, serve

# Each command, and what starts it beside the others: in this order they have the ports of docs/emulators/.
EMULATORS: tuple[tuple[click.Command, Starter], ...] = (
    (getui.command, getui.start),
    (fcm.command, fcm.start),
    (apns.command, apns.start),
    (webpush.command, webpush.start),
    (ntfy.command, ntfy.start),
    (webhook.command, webhook.start),
    (twilio.command, twilio.start),
    (aliyun.command, aliyun.start),
    (agora.command, agora.start),
    (sendbird.command, sendbird.start),
)


@click.group()
def main() -> None:
    """Emulate a vendor on this machine."""


@main.command("all")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9101, show_default=True, help="the first one; 0: free ones")
def every(*, host: str, port: int) -> None:
    """Emulate every vendor, on successive ports, until interrupted."""
    asyncio.run(serve(host, port, *(starter for _, starter in EMULATORS)))


for command, _ in EMULATORS:
    main.add_command(command)

if __name__ == "__main__":
    main()
