# SPDX-License-Identifier: Apache-2.0
"""The numbers of several runs as pictures, drawn without a display. Needs matplotlib, which nothing else does."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from bench.report import NAMES, Run

DOTS_PER_INCH = 100
WIDTH_INCHES = 7.6
BLUES = ("#9ecae1", "#4292c6", "#08519c")
AIM = "#d7301f"
# What is compared has one colour; the dashed lines are nginx.
LINES = {
    "get": ("#2171b5", "--"),
    "look": ("#2171b5", "-"),
    "fetch": ("#41ae76", "-"),
    "put": ("#cc4c02", "--"),
    "send": ("#cc4c02", "-"),
    "life": ("#6a51a3", "-"),
}


def draw(runs: Sequence[Run], folder: Path) -> None:
    """Write ratios.png, images.png and processor.png into the folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    _draw_ratios(runs, folder / "ratios.png")
    _draw_images(runs, folder / "images.png")
    _draw_processor(runs, folder / "processor.png")


def _draw_ratios(runs: Sequence[Run], path: Path) -> None:
    """Groups of bars, one bar per concurrency, each group under the line of its aim."""
    aims = runs[0].aims
    axes = _axes(3.6)
    _bars(
        axes.bar,
        "yerr",
        {count: [[run.cost_ratio(aim, count) for run in runs] for aim in aims] for count in runs[0].connections},
    )
    for place, aim in enumerate(aims):
        axes.plot((place - 0.42, place + 0.42), (aim.most, aim.most), color=AIM, label="" if place else "the aim")
    axes.set_xticks(range(len(aims)), [f"{_plain(aim.name)}\nto {_plain(aim.other)}" for aim in aims])
    axes.set_ylabel("ratio, less is better")
    _save(axes, path, legend={"ncols": 4, "loc": "lower center", "bbox_to_anchor": (0.5, 1.0)})


def _draw_images(runs: Sequence[Run], path: Path) -> None:
    """One line per operation over the concurrencies, on a logarithmic scale."""
    counts = runs[0].connections
    axes = _axes(3.8)
    for name, (color, style) in LINES.items():
        if runs[0].has(name):
            values = [[run.numbers[name, count].per_second for run in runs] for count in counts]
            middles = [median(some) for some in values]
            axes.errorbar(
                range(len(counts)),
                middles,
                yerr=_spans(values),
                color=color,
                linestyle=style,
                marker="o",
                markersize=4,
                capsize=2,
                label=_plain(name),
            )
    axes.set_xticks(range(len(counts)), [_at_once(count) for count in counts])
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("images per second")
    axes.grid(visible=True, which="both", axis="y", color="#eeeeee")
    _save(axes, path, legend={"loc": "center left", "bbox_to_anchor": (1.0, 0.5)})


def _draw_processor(runs: Sequence[Run], path: Path) -> None:
    """Groups of lying bars, one bar per concurrency, each with its number."""
    names = [name for name in NAMES if runs[0].has(name)]
    axes = _axes(4.8)
    bars = _bars(
        axes.barh,
        "xerr",
        {count: [[run.numbers[name, count].cpu_ms for run in runs] for name in names] for count in runs[0].connections},
    )
    for group in bars:
        axes.bar_label(group, fmt="%.2f", padding=3, fontsize=7)
    axes.set_yticks(range(len(names)), [_plain(name) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds of processor time each, less is better")
    _save(axes, path, legend={"loc": "lower right"})


def _bars(bar: Callable[..., Any], error: str, values: Mapping[int, Sequence[Sequence[float]]]) -> list[Any]:
    """Bars of the medians with their spread: `values` holds for each concurrency each group's values, one of a run.

    `bar` and `error` are matplotlib's for bars that stand or lie; returns its bars of each concurrency.
    """
    thickness = 0.8 / len(values)
    made = []
    for number, (count, groups) in enumerate(values.items()):
        shift = (number - (len(values) - 1) / 2) * thickness
        made.append(
            bar(
                [group + shift for group in range(len(groups))],
                [median(group) for group in groups],
                thickness,
                color=BLUES[number % len(BLUES)],
                label=_at_once(count),
                ecolor="#666666",
                error_kw={"elinewidth": 1},
                **{error: _spans(groups)},
            )
        )
    return made


def _axes(height_inches: float) -> Any:
    axes = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained").add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    return axes


def _save(axes: Any, path: Path, legend: dict[str, Any]) -> None:
    axes.legend(frameon=False, fontsize=8, **legend)
    axes.figure.savefig(path, dpi=DOTS_PER_INCH, backend="agg", metadata={"Software": None})


def _spans(values: Sequence[Sequence[float]]) -> list[list[float]]:
    """How far below and above the median the runs lie."""
    return [
        [median(some) - min(some) for some in values],
        [max(some) - median(some) for some in values],
    ]


def _plain(name: str) -> str:
    return NAMES[name].replace("`", "")


def _at_once(count: int) -> str:
    return f"{count} at once"
