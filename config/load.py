# SPDX-License-Identifier: Apache-2.0
"""How the layers of the configuration are put together and typed.

What each key means stands in config.yaml and nowhere else. Only the roots, `server`, `app`, `ops` and `bench`, import
this; everything below them is handed plain values.
"""

import argparse
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path

from pydantic import ValidationError

from config.contradictions import contradictions
from config.sections import Config
from config.sources import (
    SHIPPED,
    Values,
    describe,
    environment,
    keys_of,
    merge,
    nested,
    place_of,
    read,
    restored,
    shipped,
    with_named_apps,
)
from models.version import VERSION

__all__ = ["SHIPPED", "Config", "ConfigError", "from_command_line", "load", "unrelated"]


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are all that were found, in plain words.

    `usable` has defaults in place of what is wrong, with the keys `broken`, so that the rest can be looked at; None
    where that is of no use.
    """

    def __init__(self, problems: Sequence[str], usable: Config | None = None, broken: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
        self.usable = usable
        self.broken = broken


def load(
    file: Path | None = None, *, host: str | None = None, port: int | str | None = None, data_dir: Path | None = None
) -> Config:
    """The configuration: config.yaml, over it `file`, then the environment, then what is given here.

    Raises ConfigError with every problem that was found.
    """
    defaults, wrong = shipped()
    problems = list(wrong)
    said = read(file, problems) if file else {}
    arguments = {("server", "host"): host, ("server", "port"): port, ("data_dir",): data_dir}
    given = (nested(place, value) for place, value in arguments.items() if value is not None)
    above = reduce(merge, (said, environment(defaults, problems), *given))
    below = with_named_apps(defaults, above)
    config, broken = _typed(merge(below, above), below, problems)
    if config:
        config.came_from({SHIPPED: defaults} | ({file: said} if file else {}))
    if problems or config is None:
        raise ConfigError(problems, config, broken)
    return config


def from_command_line(arguments: Sequence[str]) -> Config:
    """The configuration of a server started with these arguments. Raises ConfigError; exits for --help, --version."""
    parser = argparse.ArgumentParser(prog="server.py", description="Run a Glimpse server.")
    parser.add_argument("--host", help="address to listen on (server.host)")
    parser.add_argument("--port", help="port to listen on, 0 for any (server.port)")
    parser.add_argument("--data-dir", type=Path, help="where everything is kept (data_dir)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a YAML file laid over config.yaml")
    parser.add_argument("--version", action="version", version=f"Glimpse {VERSION}")
    given = parser.parse_args(arguments)
    return load(given.config, host=given.host, port=given.port, data_dir=given.data_dir)


def _typed(values: Values, below: Values, problems: list[str]) -> tuple[Config | None, list[str]]:
    """The settings that these values make, and the keys that are wrong; what is wrong with them joins `problems`.

    So that everything is said at once, wrong values give way to those `below`, and the rest is judged all the same.
    """
    broken: list[str] = []
    config = None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        broken = [".".join(place_of(each)) for each in errors]
        broken += [key.removesuffix("_file") for key in broken if key.endswith("_file")]
        known = [key for key in keys_of(below) if key not in broken]
        problems += [describe(each, known) for each in errors]
        for each in errors:
            values = restored(values, below, place_of(each))
        with suppress(ValidationError):
            config = Config.model_validate(values)
    if config:
        problems += unrelated(contradictions(config), broken)
    return config, broken


def unrelated(lines: Iterable[str], broken: Sequence[str]) -> list[str]:
    """Those that tell of no key that is wrong by itself, nor of a section that holds one: mended, they may be gone."""
    return [
        line for line in lines if not any(key in line or key.startswith(f"{line.partition(':')[0]}.") for key in broken)
    ]
