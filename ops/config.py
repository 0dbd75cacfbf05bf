# SPDX-License-Identifier: Apache-2.0
"""`python -m ops config`: what is wrong with the configuration, and what it comes to."""

import json
from pathlib import Path
from typing import NoReturn

import click

from config.exposure import banner, guard
from config.load import Config, ConfigError, load
from config.sources import flat

config_file = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A YAML file laid over config.yaml, as the server is given it.",
)


def loaded(file: Path | None) -> Config:
    """The configuration; where it cannot be used, every problem goes to stderr and the exit status is 1."""
    try:
        return load(file)
    except ConfigError as error:
        _refuse(error.problems)


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@config_file
def check(file: Path | None) -> None:
    """Say what keeps a server with this configuration from starting. Exit status 0 or 1."""
    settings = loaded(file)
    refusals = guard(settings)
    if refusals:
        _refuse([f"server.host {settings.server.host}: {refusal}" for refusal in refusals])
    if banner(settings):
        click.echo(banner(settings), err=True)
    click.echo("The configuration is good.")


@config.command()
@config_file
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def show(file: Path | None, *, as_json: bool) -> None:
    """Print every setting as it is in effect, secrets hidden."""
    values = loaded(file).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(values, ensure_ascii=False, indent=2))
        return
    for path, value in flat(values).items():
        click.echo(f"{path}: {json.dumps(value, ensure_ascii=False)}")


def _refuse(problems: list[str]) -> NoReturn:
    for problem in problems:
        click.echo(problem, err=True)
    raise SystemExit(1)
