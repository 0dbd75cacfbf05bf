# SPDX-License-Identifier: Apache-2.0
"""The numbers of several runs as one page: ratios first, medians with their spread."""

import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple, Self

import tornado

from bench.load import Load


class Aim(NamedTuple):
    """The rate of measurement `name` is to be at least so many times that of `other`."""

    name: str
    other: str
    text: str
    least: float


AIMS = (
    Aim("send", "put", "Durable sending to nginx's PUT, which does not sync", 1.0),
    Aim("fetch", "get", "Fetching and consuming to nginx's static GET", 0.5),
    Aim("look", "get", "Fetching with `ack=manual` to nginx's static GET", 0.5),
    Aim("inbox", "hello", "An inbox of one image to Tornado's hello world", 0.5),
)
NAMES = {
    "send": "send an image",
    "fetch": "fetch and consume",
    "look": "fetch, `ack=manual`",
    "life": "whole life",
    "inbox": "`GET /v1/inbox`",
    "put": "nginx PUT",
    "get": "nginx GET",
    "hello": "Tornado hello world",
}
PLOTS = {
    "ratios": "Bars: each ratio of the table below at every concurrency, under the line of its aim",
    "images": "Lines: images per second at every concurrency, nginx dashed, as in the table below",
    "processor": "Bars: milliseconds of processor time that an operation costs its server, as in the table",
}
INTRODUCTION = """# Benchmarks

Written by `make bench`. Each number is the median of {runs} runs with the least and the greatest behind it; ratios are
of two measurements of the same run, on the same disk, {seconds:g} s each, over loopback. The load comes from one more
process on the same cores. Images are JPEGs of 350 KB.

*A whole life*: sent, pushed to the GeTui emulator, fetched with `ack=manual`, acknowledged, its file removed; the rate
counts until the last push has arrived and the last file is gone. *Sending* alone has a receiver without a device.
*Processor time* is the server process's own, user and system, with its threads. Everything of the server is on as
shipped but the rate limits and quotas, the access log included; nginx runs as one process with its access log on,
Tornado's hello world on uvloop. Where the time goes, and why an aim is not reached, stands in [profile.md](profile.md).

Machine: {machine}.
Before a run other programs kept {busy} of its cores busy: the more, the less the rates below say, and the ratios
of things measured one after the other with them.
"""
MEMORY = """- Under 100 parallel uploads of 20 MB and 100 readers that read nothing the server grew by {growth} MB
  (aim: under 60).
- At its most in the measurements below it had {peak} MB resident.
"""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One measurement: passes per second, their times (ms), the server's processor time per pass (ms)."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float

    @classmethod
    def of(cls, load: Load, cpu_seconds: float) -> Self:
        count = len(load.passes_ms)
        cuts = quantiles(load.passes_ms, n=100)
        return cls(count / load.seconds, cuts[49], cuts[98], 1000 * cpu_seconds / count)


@dataclass(slots=True)
class Run:
    """What one run found, by measurement and number of connections. Memory in MB.

    `busy_cores`: how many cores other programs kept busy when it began.
    """

    numbers: dict[tuple[str, int], Numbers] = field(default_factory=dict)
    busy_cores: float = 0
    peak_mb: float = 0
    growth_mb: float = 0

    def ratio(self, name: str, other: str, connections: int) -> float:
        return self.numbers[name, connections].per_second / self.numbers[other, connections].per_second

    def has(self, name: str) -> bool:
        return (name, self.connections[0]) in self.numbers

    @property
    def connections(self) -> list[int]:
        return sorted({connections for _, connections in self.numbers})

    @property
    def aims(self) -> list[Aim]:
        """The aims of which both sides were measured."""
        return [aim for aim in AIMS if self.has(aim.name) and self.has(aim.other)]


def one_line(run: Run) -> str:
    """The ratios of one run at its highest concurrency, and how it grew."""
    most = run.connections[-1]
    ratios = [f"{aim.name}/{aim.other} {run.ratio(aim.name, aim.other, most):.2f}" for aim in run.aims]
    return f"{', '.join(ratios)}; grew {run.growth_mb:.0f} MB"


def markdown(runs: Sequence[Run], seconds: float, plots: str = "") -> str:
    """The whole page. `plots`: the folder of the pictures beside it, empty when there are none."""
    heads = [f"{count} at once" for count in runs[0].connections]
    parts = [
        INTRODUCTION.format(
            runs=len(runs),
            seconds=seconds,
            machine=machine(),
            busy=_spread([run.busy_cores for run in runs], 1),
        ),
        "## Ratios\n",
        _plot(plots, "ratios"),
        _table(["", "aim", *heads], _ratio_rows(runs)),
        "" if runs[0].has("put") else "nginx was not installed.\n",
        "## Memory\n",
        MEMORY.format(
            growth=_spread([run.growth_mb for run in runs], 0), peak=_spread([run.peak_mb for run in runs], 0)
        ),
        "## Per second\n",
        _plot(plots, "images"),
        _table(["", *heads], _rows(runs, lambda numbers: numbers.per_second, 0)),
        "## Milliseconds, median\n",
        _table(["", *heads], _rows(runs, lambda numbers: numbers.p50_ms, 1)),
        "## Milliseconds, 99 of 100\n",
        _table(["", *heads], _rows(runs, lambda numbers: numbers.p99_ms, 1)),
        "## Milliseconds of processor time, each\n",
        _plot(plots, "processor"),
        _table(["", *heads], _rows(runs, lambda numbers: numbers.cpu_ms, 2)),
    ]
    return "\n".join(part for part in parts if part)


def machine() -> str:
    """The machine in general terms."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    gigabytes = int(memory[1]) / 1024**2 if memory else 0
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {gigabytes:.0f} GB of memory, {platform.system()} {kernel}, "
        f"Python {platform.python_version()}, Tornado {tornado.version}"
    )


def _plot(folder: str, name: str) -> str:
    return f"![{PLOTS[name]}]({folder}/{name}.png)\n" if folder else ""


def _ratio_rows(runs: Sequence[Run]) -> list[list[str]]:
    return [
        [
            aim.text,
            f"{aim.least:.1f}",
            *(_spread([run.ratio(aim.name, aim.other, count) for run in runs], 2) for count in runs[0].connections),
        ]
        for aim in runs[0].aims
    ]


def _rows(runs: Sequence[Run], value: Callable[[Numbers], float], digits: int) -> list[list[str]]:
    return [
        [text, *(_spread([value(run.numbers[name, count]) for run in runs], digits) for count in runs[0].connections)]
        for name, text in NAMES.items()
        if runs[0].has(name)
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
