# SPDX-License-Identifier: Apache-2.0
"""`python -m ops`: the operator's commands. Each stands in a file of its own; here they only come together."""

from functools import partial

import click

from app import program
from models.version import VERSION
from ops.audit import audit
from ops.backup import backup
from ops.clock import clock
from ops.config import config
from ops.database import database
from ops.doctor import doctor
from ops.fsck import fsck
from ops.keys import keys
from ops.migrate import migrate
from ops.outbox import outbox
from ops.purge import purge
from ops.reports import reports
from ops.restore import restore
from ops.status import status
from ops.storage import storage
from ops.uploads import uploads
from ops.users import users
from telemetry import logs


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message="Glimpse %(version)s")
def main() -> None:
    """Look after a Glimpse server. The commands run while it runs; only restore and database copy want it stopped."""
    logs.configure("warning", "auto")


for command in (
    audit,
    backup,
    clock,
    config,
    database,
    doctor,
    fsck,
    keys,
    migrate,
    outbox,
    purge,
    reports,
    restore,
    status,
    storage,
    uploads,
    users,
):
    main.add_command(command)

if __name__ == "__main__":
    program.run(partial(main, prog_name="python -m ops"))
