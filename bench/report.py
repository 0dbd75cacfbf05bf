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

from bench.engines import OPERATIONS, Measured
from bench.load import Load


class Aim(NamedTuple):
    """What measurement `name` costs is to be at most so many times what `other` does."""

    name: str
    other: str
    text: str
    most: float


class RateAim(NamedTuple):
    """Of measurement `name` there are to be at least so many times as many a second as of `other`."""

    name: str
    other: str
    text: str
    least: float


JUDGED_AT = 16
"""Connections."""
AIMS = (
    Aim("send", "put", "send : nginx's PUT", 3.5),
    Aim("send", "synced", "send : that PUT, synced", 1.6),
    Aim("look", "get", "fetch, `ack=manual` : nginx's GET", 3.5),
    Aim("inbox", "get", "inbox : nginx's GET", 2.2),
    Aim("text", "get", "text : nginx's GET", 4.5),
)
RATE_AIMS = (
    RateAim("send", "put", "send : nginx's PUT", 0.28),
    RateAim("look", "get", "fetch, `ack=manual` : nginx's GET", 0.45),
)
NAMES = {
    "send": "send an image",
    "fetch": "fetch and consume",
    "look": "fetch, `ack=manual`",
    "life": "whole life",
    "inbox": "`GET /v1/inbox`",
    "text": "send a text",
    "put": "nginx PUT",
    "synced": "nginx PUT, synced",
    "get": "nginx GET",
    "hello": "Tornado hello world",
    "own": "our transport's",
}
OTHERS = {
    "nginx": ("put", "get"),
    "nginx, synced": ("synced", "get"),
    "Glimpse": ("send", "look"),
    "SeaweedFS": ("seaweed in", "seaweed out"),
    "SeaweedFS, `fsync=true`": ("seaweed synced in", "seaweed synced out"),
    "Synapse, media": ("synapse in", "synapse out"),
    "Prosody, HTTP upload": ("prosody in", "prosody out"),
}
"""What takes a file, and what gives it back."""
ENGINES = """Milliseconds of the server's processor time for each, its ratio to SQLite's (aim, of an image: ≤ 1.6), and
the database's own.
"""
MOST_TRIPS = 8
PLOTS = {
    "ratios": "Bars: the ratios of the table below, at every concurrency, under the line of their aim",
    "images": "Lines: images per second at every concurrency, nginx dashed, as in the table below",
    "processor": "Bars: milliseconds of processor time that an operation costs its server, as in the table",
}
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
FIGURES = """Medians of {runs} runs, with the least and the greatest behind; each measurement took {seconds:g} s.
Machine: {machine}.
Before a run other programs kept {busy} of its cores busy: the more, the less the rates say.
"""
MEMORY = """- Under 100 parallel uploads of 20 MB and 100 readers that read nothing the server grew by {growth} MB
  (aim: under 30). At its most in the other measurements it had {peak} MB resident.
- An image sent to a group of 255 people with {readers} WebSockets costs {event} ms of processor time: {each} µs for
  each that is told, sending and pushing included.
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
    event_ms: float = 0
    event_readers: int = 0
    peak_mb: float = 0
    growth_mb: float = 0

    def cost_ratio(self, aim: Aim, connections: int) -> float:
        return self.numbers[aim.name, connections].cpu_ms / self.numbers[aim.other, connections].cpu_ms

    def rate_ratio(self, aim: RateAim, connections: int) -> float:
        return self.numbers[aim.name, connections].per_second / self.numbers[aim.other, connections].per_second

    def has(self, name: str) -> bool:
        return (name, self.connections[0]) in self.numbers

    @property
    def connections(self) -> list[int]:
        return sorted({connections for _, connections in self.numbers})

    @property
    def aims(self) -> list[Aim]:
        """The aims of which both sides were measured."""
        return [aim for aim in AIMS if self.has(aim.name) and self.has(aim.other)]


@dataclass(frozen=True, slots=True)
class Beside:
    """What was measured once: `engines` by run, place and operation; seconds and processor seconds of so many
    `pushes`, by route; round trips by request; which servers are `missing`.
    """

    engines: Sequence[dict[str, dict[str, Measured]]]
    pushes: dict[str, tuple[float, float]]
    pushes_each: int
    trips: dict[str, int]
    missing: Sequence[str]


def one_line(run: Run) -> str:
    """The ratios of one run, and how it grew."""
    ratios = [f"{aim.name}/{aim.other} {run.cost_ratio(aim, JUDGED_AT):.2f}" for aim in run.aims]
    return f"{', '.join(ratios)}; event {run.event_ms:.0f} ms; grew {run.growth_mb:.0f} MB"


def rewritten(page: str, runs: Sequence[Run], seconds: float, plots: str, beside: Beside) -> str:
    """The page with new figures. `plots`: the folder of the pictures beside it, empty when there are none."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown(runs, seconds, plots, beside)}\n{END}{after}"


def markdown(runs: Sequence[Run], seconds: float, plots: str, beside: Beside) -> str:
    """The figures."""
    heads = [f"{count} at once" for count in runs[0].connections]
    busy = _spread([run.busy_cores for run in runs], 1)
    parts = [
        FIGURES.format(runs=len(runs), seconds=seconds, machine=machine(), busy=busy),
        "### Processor time, as a ratio\n",
        _plot(plots, "ratios"),
        _table(["", "aim", *heads], _cost_rows(runs)),
        "### Rates, as a ratio\n",
        _table(["", "aim", *heads], _rate_rows(runs)),
        "" if runs[0].has("put") else "nginx was not installed.\n",
        "### Beside others, 16 at once\n",
        _table(["", "in, ms", "× nginx's PUT", "per second", "out, ms", "× its GET", "per second"], _other_rows(runs)),
        f"Not installed: {', '.join(beside.missing)}.\n" if beside.missing else "",
        "### SQLite and MariaDB, 16 at once\n",
        ENGINES,
        _table(["", *OPERATIONS], _engine_rows(beside.engines)),
        _trips(beside.trips),
        "### Notifications\n",
        _table(["through", "per second", "µs of processor time, each"], _push_rows(beside)),
        "### Memory and events\n",
        _memory(runs),
        "### Milliseconds of processor time, each\n",
        _plot(plots, "processor"),
        _table(["", *heads], _rows(runs, lambda numbers: numbers.cpu_ms, 3)),
        "### Per second\n",
        _plot(plots, "images"),
        _table(["", *heads], _rows(runs, lambda numbers: numbers.per_second, 0)),
        "### Milliseconds, median\n",
        _table(["", *heads], _rows(runs, lambda numbers: numbers.p50_ms, 1)),
        "### Milliseconds, 99 of 100\n",
        _table(["", *heads], _rows(runs, lambda numbers: numbers.p99_ms, 1)),
    ]
    return "\n".join(part for part in parts if part)


def _memory(runs: Sequence[Run]) -> str:
    readers = max(1, runs[0].event_readers)
    return MEMORY.format(
        growth=_spread([run.growth_mb for run in runs], 0),
        peak=_spread([run.peak_mb for run in runs], 0),
        readers=readers,
        event=_spread([run.event_ms for run in runs], 0),
        each=_spread([1000 * run.event_ms / readers for run in runs], 0),
    )


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


def _cost_rows(runs: Sequence[Run]) -> list[list[str]]:
    return [
        [
            aim.text,
            f"≤ {aim.most:.1f}",
            *(_spread([run.cost_ratio(aim, count) for run in runs], 2) for count in runs[0].connections),
        ]
        for aim in runs[0].aims
    ]


def _rate_rows(runs: Sequence[Run]) -> list[list[str]]:
    return [
        [
            aim.text,
            f"≥ {aim.least:.2f}",
            *(_spread([run.rate_ratio(aim, count) for run in runs], 2) for count in runs[0].connections),
        ]
        for aim in RATE_AIMS
        if runs[0].has(aim.other)
    ]


def _rows(runs: Sequence[Run], value: Callable[[Numbers], float], digits: int) -> list[list[str]]:
    return [
        [text, *(_spread([value(run.numbers[name, count]) for run in runs], digits) for count in runs[0].connections)]
        for name, text in NAMES.items()
        if runs[0].has(name)
    ]


def _other_rows(runs: Sequence[Run]) -> list[list[str]]:
    return [
        [text, *_beside_nginx(runs, inward, "put"), *_beside_nginx(runs, outward, "get")]
        for text, (inward, outward) in OTHERS.items()
        if (inward, JUDGED_AT) in runs[0].numbers
    ]


def _beside_nginx(runs: Sequence[Run], name: str, of_nginx: str) -> list[str]:
    found = [run.numbers[name, JUDGED_AT] for run in runs]
    base = [run.numbers.get((of_nginx, JUDGED_AT)) for run in runs]
    ratios = [each.cpu_ms / nginx.cpu_ms for each, nginx in zip(found, base, strict=True) if nginx]
    return [
        f"{median(each.cpu_ms for each in found):.2f}",
        f"{median(ratios):.1f}" if ratios else "",
        f"{median(each.per_second for each in found):.0f}",
    ]


def _engine_rows(engines: Sequence[dict[str, dict[str, Measured]]]) -> list[list[str]]:
    sqlite = next(iter(engines[0]))
    return [[place, *(_engine_cell(engines, place, sqlite, name) for name in OPERATIONS)] for place in engines[0]]


def _engine_cell(engines: Sequence[dict[str, dict[str, Measured]]], place: str, sqlite: str, operation: str) -> str:
    found = [run[place][operation] for run in engines]
    server = f"{median(each.server_ms for each in found):.2f}"
    if place == sqlite:
        return server
    ratio = median(run[place][operation].server_ms / run[sqlite][operation].server_ms for run in engines)
    database = median(each.database_ms for each in found)
    return f"{server} ({ratio:.2f}×) + {database:.2f}"


def _trips(trips: dict[str, int]) -> str:
    image = {name: count for name, count in trips.items() if name.startswith(("send an image to a uid", "fetch an"))}
    said = ", ".join(f"to {name} {count}" for name, count in image.items())
    return f"Round trips to the database: {said} (aim, of an image: ≤ {MOST_TRIPS}).\n"


def _push_rows(beside: Beside) -> list[list[str]]:
    count = beside.pushes_each
    return [
        [route, f"{count / seconds:.0f}", f"{1e6 * processor / count:.0f}"]
        for route, (seconds, processor) in beside.pushes.items()
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
