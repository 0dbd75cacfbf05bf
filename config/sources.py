# SPDX-License-Identifier: Apache-2.0
"""The layers of the configuration before they are typed: reading, merging, and the words for what is wrong in them."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource

from config.types import holds_password

PREFIX = "GLIMPSE_"
NOT_KEYS = {"GLIMPSE_FAULT"}
Values = dict[str, Any]
Location = tuple[int | str, ...]

WORDS = {
    "model_type": "must hold keys with values",
    "dict_type": "must hold keys with values",
    "tuple_type": "must be a list",
    "string_type": "must be text; write it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be a path",
    "string_too_short": "must not be empty",
    "string_too_long": "must not be longer than {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


class Layers(BaseSettings):
    """Settings that know which of the files they came from hold a secret itself, and not the name of its file."""

    _files_with_secrets: tuple[Path, ...] = ()

    @property
    def files_with_secrets(self) -> tuple[Path, ...]:
        return self._files_with_secrets

    def came_from(self, files: Mapping[Path, Values]) -> None:
        """Note these files, of which each says what it is mapped to."""
        secrets = [key.removesuffix("_file") for key in keys_of(self.model_dump()) if key.endswith("_file")]
        self._files_with_secrets = tuple(
            file
            for file, said in files.items()
            if any(flat(said).get(key) for key in secrets) or holds_password(flat(said).get("database.url"))
        )


class Written(InitSettingsSource):
    """Values that are merged already."""

    def __init__(self, settings: type[BaseSettings], values: Values) -> None:
        super().__init__(settings, {})
        self.init_kwargs = values


class Environment(EnvSettingsSource):
    """GLIMPSE_SECTION__KEY. A name that leads nowhere is handed on as a key, so that it is refused like one."""

    def __call__(self) -> Values:
        values = super().__call__()
        prefix = PREFIX.lower()
        for name in self.env_vars.keys() - {name.lower() for name in NOT_KEYS}:
            path = name.removeprefix(prefix).replace("__", ".")
            if name.startswith(prefix) and path.partition(".")[0] not in values:
                values[path] = ""
        return values


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml ships no types
    """YAML that keeps two of its surprises from passing in silence: a key given twice, and a key that is no text."""

    problems: list[str]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Values:
        seen: set[str] = set()
        for key, _ in node.value:
            place = f"{self.name}, line {key.start_mark.line + 1}"
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                self.problems.append(f"{place}: this key is not read as text; write it in quotes")
            elif key.value in seen:
                self.problems.append(f"{place}: {key.value} stands here a second time; keep one of them")
            seen.add(str(key.value))
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


def flat(values: Mapping[str, Any], prefix: str = "") -> Values:
    """Nested settings as one mapping from dotted path to value."""
    found: Values = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return found


def nested(path: str, value: object) -> Values:
    """One value at a dotted path: ("server.port", 1) is {"server": {"port": 1}}."""
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def read(path: Path, problems: list[str]) -> Values:
    """What one YAML file says; what is wrong with it as YAML joins `problems`."""
    try:
        with path.open(encoding="utf-8") as stream:
            loader = _Loader(stream)
            loader.problems = problems
            values = loader.get_single_data() or {}
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        problems.append(f"{place}: is no YAML: {getattr(error, 'problem', None) or 'it holds no plain text'}")
    else:
        if isinstance(values, dict):
            return values
        problems.append(f"{path}: must hold keys with values")
    return {}


def merge(below: Values, above: Values) -> Values:
    """Both, key by key; where both speak, `above` wins."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = merge(below[key], value) if both else value
    return merged


def keys_of(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted path of every section and every setting."""
    found = []
    for key, value in values.items():
        found.append(prefix + key)
        found += keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) else []
    return found


def without(values: Values, location: Location) -> Values:
    """The values but for the one at this place."""
    name, *rest = location
    kept = dict(values)
    if rest and isinstance(kept.get(str(name)), dict):
        kept[str(name)] = without(kept[str(name)], tuple(rest))
    else:
        kept.pop(str(name), None)
    return kept


def describe(error: ErrorDetails, known: Iterable[str]) -> str:
    """One problem that pydantic found, in plain words after the key's path. Never the value: it may be a secret."""
    location = [str(part) for part in error["loc"]]
    path = ".".join(part for part in location if part != "[key]")
    variable = PREFIX + path.upper().replace(".", "__")
    place = f"{path} ({variable})" if variable in os.environ else path
    if error["type"] == "extra_forbidden":
        return f"{place}: there is no such key; the nearest is {nearest(path, known)}"
    words = WORDS.get(error["type"])
    return f"{place}: {words.format(**error.get('ctx', {})) if words else error['msg']}"


def nearest(path: str, known: Iterable[str]) -> str:
    """The real key that looks most like this one, by its whole path and by its last name."""

    def likeness(key: str) -> float:
        pairs = ((path, key), (path.rpartition(".")[2], key.rpartition(".")[2]))
        return sum(difflib.SequenceMatcher(None, one.lower(), other).ratio() for one, other in pairs)

    return max(known, key=likeness)
