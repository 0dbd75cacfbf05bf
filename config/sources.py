# SPDX-License-Identifier: Apache-2.0
"""The layers of the configuration before they are typed: reading, merging, and the words for what is wrong in them."""

import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types
from pydantic_core import ErrorDetails

SHIPPED = Path(__file__).parent.with_name("config.yaml")
PREFIX = "GLIMPSE_"
NOT_KEYS = {"GLIMPSE_FAULT"}
Values = dict[str, Any]

RENAMED = {"events.allowed_origins": "server.cors_origins", "messaging.who": "messaging.friends_only"}
"""The keys of earlier versions that go by another name now."""

WORDS = {
    "missing": "is missing; config.yaml must hold every key",
    "model_type": "must hold keys with values",
    "model_attributes_type": "must hold keys with values",
    "dict_type": "must hold keys with values",
    "tuple_type": "must be a list",
    "string_type": "must be text; write it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "finite_number": "must be a whole number",
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


def nested(path: Sequence[str], value: object) -> Values:
    """One value at a place: (["server", "port"], 1) is {"server": {"port": 1}}."""
    first, *rest = path
    return {first: nested(rest, value) if rest else value}


@cache
def shipped() -> tuple[Values, tuple[str, ...]]:
    """What config.yaml says, and what is wrong with it as YAML."""
    problems: list[str] = []
    return read(SHIPPED, problems), tuple(problems)


def read(path: Path, problems: list[str]) -> Values:
    """What one YAML file says; what is wrong with it as YAML joins `problems`."""
    try:
        with path.open(encoding="utf-8") as stream:
            loader = _Loader(stream)
            loader.problems = problems
            values = loader.get_single_data() or {}
            flat(values if isinstance(values, dict) else {})  # what holds itself has no end
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except RecursionError:
        problems.append(f"{path}: is nested too deep")
    except UnicodeDecodeError:
        problems.append(f"{path}: is no YAML: it holds no plain text")
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not, a number without end
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        problems.append(f"{place}: is no YAML: {getattr(error, 'problem', None) or error}")
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


def restored(values: Values, below: Values, place: Sequence[str]) -> Values:
    """The values, but at this place what stands `below`."""
    name, *rest = place
    kept, under = dict(values), below.get(name)
    if rest and isinstance(kept.get(name), dict):
        kept[name] = restored(kept[name], under if isinstance(under, dict) else {}, rest)
    else:
        kept.pop(name, None)
        kept |= {name: under} if name in below else {}
    return kept


def environment(below: Values, problems: list[str]) -> Values:
    """What the variables GLIMPSE_SECTION__KEY say over `below`; JSON that cannot be read joins `problems`.

    A name that leads nowhere is handed on as a key, so that it is refused like one.
    """
    names = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in NOT_KEYS)
    return reduce(merge, (_variable(name, below, problems) for name in names), {})


def _variable(name: str, below: Values, problems: list[str]) -> Values:
    path, text = name[len(PREFIX) :].lower().split("__"), os.environ[name]
    default: Any = below
    for part in _place_of_default(path):
        if not isinstance(default, dict):
            return {".".join(path): text}
        default = default.get(part, {})
    if not isinstance(default, dict) or not text.lstrip().startswith("{"):
        return nested(path, text)
    try:
        return nested(path, json.loads(text))
    except (ValueError, RecursionError):
        problems.append(f"{'.'.join(path)} ({name}): is no JSON that can be read")
        return {}


def _place_of_default(path: Sequence[str]) -> Sequence[str]:
    """Where config.yaml has the default of a key: a named app's in the section of its vendor."""
    is_of_app = len(path) > 3 and path[0] == "push" and path[2] == "apps"
    return (*path[:2], *path[4:]) if is_of_app else path


def with_named_apps(below: Values, given: Values) -> Values:
    """The defaults, and those of each app that `given` names: what its vendor's section has."""
    for vendor, section in below.get("push", {}).items():
        if isinstance(section, dict) and "apps" in section:
            own = {key: value for key, value in section.items() if key != "apps"}
            apps = find(given, "push", vendor, "apps")
            below = merge(below, {"push": {vendor: {"apps": dict.fromkeys(apps, own)}}})
    return below


def find(values: Values, *path: str) -> Values:
    """The mapping at this place, empty if there is none."""
    found: Any = values
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def describe(error: ErrorDetails, known: Iterable[str]) -> str:
    """One problem that pydantic found, in plain words after the key's path. Never the value: it may be a secret."""
    path = ".".join(place_of(error))
    variable = PREFIX + path.upper().replace(".", "__")
    place = f"{path} ({variable})" if variable in os.environ else path
    if path in RENAMED:
        return f"{place}: is called {RENAMED[path]} now"
    if error["type"] == "extra_forbidden":
        return f"{place}: there is no such key; the nearest is {nearest(path, known)}"
    words = WORDS.get(error["type"])
    return f"{place}: {words.format(**error.get('ctx', {})) if words else error['msg']}"


def place_of(error: ErrorDetails) -> list[str]:
    """The path of the key that pydantic complains about."""
    return [str(part) for part in error["loc"] if part != "[key]"]


def nearest(path: str, known: Iterable[str]) -> str:
    """The real key that looks most like this one, by its last name and, where it has more, by its whole path; of
    several the first.
    """

    def likeness(key: str) -> float:
        last = (path.rpartition(".")[2], key.rpartition(".")[2])
        pairs = [last, (path, key)] if "." in path else [last]
        return sum(difflib.SequenceMatcher(None, one.lower(), other).ratio() for one, other in pairs)

    return max(known, key=likeness)
