# SPDX-License-Identifier: Apache-2.0
"""The dashboard, the alert rules and the page about them speak of the metrics that there are, and of all of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from config.load import load
from handlers.routes import ROUTES
from models import errors
from telemetry import metrics
from tests.support import ROOT

DOCS = ROOT / "docs"
[GROUP] = yaml.safe_load((DOCS / "monitoring/alerts.yaml").read_text())["groups"]
ALERTS = GROUP["rules"]
DASHBOARD = json.loads((DOCS / "monitoring/grafana.json").read_text())
PAGE = (DOCS / "monitoring.md").read_text()
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}
SELECTOR = re.compile(r"\b((?:glimpse|process|python)_\w+)(?:\{((?:[^\"}]|\"[^\"]*\")*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
OF_PROMETHEUS = {"job", "instance", "le"}

Metric = Counter | Gauge | Histogram | metrics.Requests | metrics.RequestSeconds


def defined() -> dict[str, Metric]:
    """The metrics of telemetry/metrics.py, by the name of each sample."""
    found: dict[str, Metric] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Metric):
            [family] = metric.describe()
            found |= {family.name + suffix: metric for suffix in SUFFIXES[family.type]}
    return found


def in_the_dashboard() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def in_the_alerts() -> Iterator[str]:
    yield from (rule["expr"] for rule in ALERTS)


EXPRESSIONS = [*in_the_dashboard(), *in_the_alerts()]


def named_by_the_library() -> set[str]:
    return {sample.name for family in REGISTRY.collect() for sample in family.samples} - defined().keys()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_uses_metrics_and_labels_that_there_are(expression: str) -> None:
    ours = defined()
    for name, matchers in SELECTOR.findall(expression):
        assert name in ours or name in named_by_the_library(), name
        labels = set(ours[name]._labelnames) if name in ours else set()
        assert {label for label, _ in MATCHER.findall(matchers)} <= labels | OF_PROMETHEUS, name
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        known = {label for name, _ in SELECTOR.findall(expression) if name in ours for label in ours[name]._labelnames}
        assert {label.strip() for label in grouped.split(",")} <= known | OF_PROMETHEUS


def test_a_label_is_compared_with_values_that_it_can_have() -> None:
    known = {
        "method": {route.method for route in ROUTES},
        "route": {route.path for route in ROUTES},
        "error": {"", *_codes(errors.AppError)},
        "outcome": {*metrics.OUTCOMES, "sent", "failed"},
        "state": set(metrics.ENDS),
        "kind": {"full", "failed"},
        "job": {"glimpse"},
    }
    for expression in EXPRESSIONS:
        for label, value in re.findall(r'(\w+)\s*!?="([^"]*)"', expression):
            assert value in known[label], expression


def _codes(error: type[errors.AppError]) -> Iterator[str]:
    yield error.code
    for heir in error.__subclasses__():
        yield from _codes(heir)


def test_the_dashboard_shows_every_metric() -> None:
    shown = {defined().get(name) for expression in in_the_dashboard() for name, _ in SELECTOR.findall(expression)}
    assert {str(metric) for metric in set(defined().values()) - shown} == set()


def test_the_dashboard_can_be_imported() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]
    used = {name for name in re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)) if not name.startswith("__")}
    assert used == variables


def test_each_alert_says_what_it_means_and_where_to_look() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["alert"].startswith("Glimpse")
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_names_settings_that_there_are(rule: dict[str, Any]) -> None:
    for section, key in re.findall(r"(?<!\$)\b([a-z]+)\.([a-z_]+)\b", " ".join(rule["annotations"].values())):
        assert key in getattr(load(), section).model_dump()


def test_the_page_lists_every_metric_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"^\| `(glimpse_\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", labels) for name, labels in rows}
    expected = {}
    for metric in set(defined().values()):
        [family] = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        expected[name] = list(metric._labelnames)
    assert listed == expected
    assert len(rows) == len(listed)


def test_each_metric_that_another_page_names_is_one_of_these() -> None:
    pages = "".join(page.read_text("utf-8") for page in DOCS.rglob("*.md"))
    named, ours = set(re.findall(r"`(glimpse_(?!client)\w+)", pages)), defined().keys()
    assert [name for name in sorted(named) if not {name, f"{name}_bucket"} & ours] == []


def test_the_names_follow_one_rule() -> None:
    for name in defined():
        assert re.fullmatch(r"glimpse_[a-z]+(_[a-z]+)*", name)
