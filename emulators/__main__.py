# SPDX-License-Identifier: Apache-2.0
"""`python -m emulators NAME`: stand-ins for the vendors, to work without an account."""

import click

from emulators import getui


@click.group()
def main() -> None:
    """Emulate a vendor on this machine."""


main.add_command(getui.command)

if __name__ == "__main__":
    main()
