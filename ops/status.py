# SPDX-License-Identifier: Apache-2.0
"""`python -m ops status`: which generation of the server runs here, and what became of the last restart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from app.status_file import read_status
from config.load import ConfigError, load
from ops.opening import CannotRun, as_json, explained, of_a_server, print_json, when
from storage.ownership import is_owned


@click.command()
@of_a_server
@as_json
def status(file: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Say which version serves this data directory, and what became of the last restart.

    Exit status 0, or 1 when no server runs or the last restart was refused.
    """
    place = _data_dir(file, data_dir)
    with explained():
        found = read_status(place)
        runs = found is not None or (place.is_dir() and is_owned(place))
    last = found["last_restart"] if found else None
    if as_json:
        print_json({"running": runs, **(found or {})})
    elif found:
        for line in _lines(found):
            click.echo(line)
    else:
        click.echo("a server is starting, or one runs without its main process" if runs else "no server runs")
    if not runs or (last and last["outcome"] == "refused"):
        raise SystemExit(1)


def _data_dir(file: Path | None, data_dir: Path | None) -> Path:
    """Where the server keeps everything. Wrong settings elsewhere are no reason not to say it: they are what refuses a
    restart, and somebody asks. Raises CannotRun.
    """
    try:
        return load(file, data_dir=data_dir).data_dir
    except ConfigError as error:
        if error.usable is None or "data_dir" in error.broken:
            raise CannotRun("; ".join(error.problems)) from None
        return error.usable.data_dir


def _lines(found: dict[str, Any]) -> Iterator[str]:
    workers = f"{found['workers']} workers" if found["workers"] > 1 else "1 worker"
    yield f"Glimpse {found['version']} serves since {when(found['since'])} with {workers}"
    yield f"generation {found['generation']} is process {found['serving_pid']}, the main process {found['pid']}"
    if found["leaving_pids"]:
        yield f"finishing what they took: {', '.join(map(str, found['leaving_pids']))}"
    last = found["last_restart"]
    if last is None:
        yield "it has not been restarted"
    elif last["outcome"] == "refused":
        yield f"the restart of {when(last['at'])} was refused: {last['reason']}"
    else:
        yield f"restarted {when(last['at'])}, in {last['seconds']} s"
