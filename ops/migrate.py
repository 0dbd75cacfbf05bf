# SPDX-License-Identifier: Apache-2.0
"""`python -m ops migrate`: bring the database to the schema that this version needs."""

import asyncio
from pathlib import Path

import click

from models.db.engine import bring_up_to_date, inspect
from ops.opening import CannotRun, explained, of_a_server, progress, settings


@click.command()
@of_a_server
@click.option("--dry-run", is_flag=True, help="Say what would be done and change nothing.")
def migrate(file: Path | None, data_dir: Path | None, *, dry_run: bool) -> None:
    """Bring the database to the schema of this version, or make it.

    A run that is interrupted goes on where it was. Exit status 0, or 2 when it could not run.
    """
    location = settings(file, data_dir).database_location
    with explained():
        if isinstance(location, Path) and not location.parent.is_dir():
            raise CannotRun(f"there is no directory {location.parent}")
        before = asyncio.run(inspect(location))
        if dry_run:
            click.echo(f"{location} has schema {before.version}.")
        elif before.pending:
            with progress("Migrating"):
                after = asyncio.run(bring_up_to_date(location))
            click.echo(f"{location} has schema {after.version} now.")
        for step in before.pending:
            click.echo(f"{'to do' if dry_run else 'done'}: {step}")
        if not before.pending:
            click.echo("There is nothing to do.")
