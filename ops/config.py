# SPDX-License-Identifier: Apache-2.0
"""`python -m ops config`: what is wrong with the configuration, and what it comes to."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from app.preflight import checked
from config.exposure import banner
from config.load import Config, ConfigError, load
from config.sources import flat
from config.warnings import warnings

config_file = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A YAML file laid over config.yaml, as the server is given it.",
)


def loaded(load: Callable[[], Config]) -> Config:
    """The configuration; where it cannot be used, every problem goes to stderr and the exit status is 2."""
    try:
        return load()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise SystemExit(2) from None


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@config_file
@click.option("--host", metavar="HOST", help="As the server is given it (server.host).")
@click.option("--port", metavar="PORT", help="As the server is given it (server.port).")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="As the server is given it (data_dir)."
)
def check(file: Path | None, host: str | None, port: str | None, data_dir: Path | None) -> None:
    """Say everything that keeps a server with this configuration from starting, and what may surprise.

    Settings, the files they name, directories, keys and the database are looked at; nothing is made. A server with this
    configuration may be running. Exit status 0, or 2 when one could not start.
    """
    settings = loaded(partial(checked, partial(load, file, host=host, port=port, data_dir=data_dir), ask_server=True))
    for warning in warnings(settings):
        click.echo(f"warning: {warning}", err=True)
    if banner(settings):
        click.echo(banner(settings), err=True)
    click.echo("The configuration is good.")


@config.command()
@config_file
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def show(file: Path | None, *, as_json: bool) -> None:
    """Print every setting as it is in effect, secrets hidden."""
    values = loaded(partial(load, file)).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(values, ensure_ascii=False, indent=2))
        return
    for path, value in flat(values).items():
        click.echo(f"{path}: {json.dumps(value, ensure_ascii=False)}")
