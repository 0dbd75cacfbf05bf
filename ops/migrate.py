# SPDX-License-Identifier: Apache-2.0
"""`python -m ops migrate`: bring the database to the schema that this version needs."""

from pathlib import Path

import click

from models.db import migrate as migrations
from ops.opening import CannotRun, explained, of_a_server, progress, settings


@click.command()
@of_a_server
@click.option("--dry-run", is_flag=True, help="Say what would be done and change nothing.")
def migrate(file: Path | None, data_dir: Path | None, *, dry_run: bool) -> None:
    """Bring the database to the schema of this version, or make it.

    A run that is interrupted goes on where it was. Exit status 0, or 2 when it could not run.
    """
    path = settings(file, data_dir).database_path
    with explained():
        if not path.parent.is_dir():
            raise CannotRun(f"there is no directory {path.parent}")
        before = migrations.inspect(path)
        if dry_run:
            click.echo(f"{path} has schema {before.version}.")
        elif before.pending:
            with progress("Migrating"):
                after = migrations.run(path)
            click.echo(f"{path} has schema {after.version} now.")
        for step in before.pending:
            click.echo(f"{'to do' if dry_run else 'done'}: {step}")
        if not before.pending:
            click.echo("There is nothing to do.")
