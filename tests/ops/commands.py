# SPDX-License-Identifier: Apache-2.0
"""Operators' commands as tests give them: in this process, beside a server that is another."""

import json
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from tests.support.engines import environment_of


def invoke(command: click.Command, data_dir: Path, *arguments: object, typed: str | None = None) -> Result:
    """What an operator gets who types this; `typed` is what they answer."""
    words = [*map(str, arguments), "--data-dir", str(data_dir)]
    result = CliRunner().invoke(command, words, input=typed, env=environment_of(data_dir))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def asked(command: click.Command, data_dir: Path, *arguments: object, status: int = 0) -> dict[str, Any]:
    """The JSON document of a command that ends with this status."""
    result = invoke(command, data_dir, *arguments, "--json")
    assert result.exit_code == status, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(command: click.Command, data_dir: Path, *arguments: object) -> str:
    """The one line of a command that could not run."""
    result = invoke(command, data_dir, *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr
