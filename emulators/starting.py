# SPDX-License-Identifier: Apache-2.0
"""How an emulator is started as a process, alone or beside the others, and what it prints to be pasted."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import count, repeat
from pathlib import Path
from typing import Any

import click
import yaml  # type: ignore[import-untyped]  # it ships no types

KEYS_DIRECTORY = Path("data/emulators")


@dataclass(frozen=True, slots=True)
class Started:
    """An emulator that listens: the address of its page, and the configuration that points a server at it."""

    title: str
    url: str
    config: dict[str, Any]


# Given a host and the ports that it may take, one after the other.
Starter = Callable[[str, Iterator[int]], Awaitable[Started]]


def with_chances(calls: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that let its calls fail by chance; it takes them as `chances`, as `Faults` does."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--fail", default=0.0, help=f"percent of the {calls} answered 502")
        @click.option("--hang", default=0.0, help="percent never answered")
        @click.option("--reset", default=0.0, help="percent kept, then cut off")
        @wraps(command)
        def called(*, fail: float, hang: float, reset: float, **others: object) -> None:
            command(chances={"fail": fail, "hang": hang, "reset": reset}, **others)

        return called

    return decorated


def ports_from(first: int) -> Iterator[int]:
    """This port and those after it; from 0, a free one each time."""
    return count(first) if first else repeat(0)


def announce(*emulators: Started) -> None:
    """Print where each listens, and one block for `config.yaml` with all that a server needs to use them."""
    config: dict[str, Any] = {}
    for emulator in emulators:
        names = ", ".join(_leaves(emulator.config))
        shown = f" ({names})" if names and len(emulators) == 1 else ""
        click.echo(f"{emulator.title} emulator at {emulator.url}{shown}")
        _merge(config, emulator.config)
    click.echo(f"\n# for config.yaml\n{yaml.safe_dump(config, sort_keys=False)}")


async def serve(host: str, first_port: int, *starters: Starter) -> None:
    """Start them on successive ports, say so, and serve until interrupted."""
    ports = ports_from(first_port)
    announce(*[await starter(host, ports) for starter in starters])
    await asyncio.Event().wait()


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        known = into.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            known.extend(one for one in value if one not in known)
        else:
            into[name] = _copy(value)


def _copy(value: Any) -> Any:
    """A value of its own, since what is merged grows."""
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, list) else value


def _leaves(config: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        elif name.endswith("url"):
            yield f"{path}{name}: {value}"
