# SPDX-License-Identifier: Apache-2.0
"""Every metric there is, and the counting of what happens. Imports nothing of ours, so that any layer may count.

A label's value comes from a set that is known beforehand: never a phone, a key, a person or a path as it was asked
for. Not here: who asks for the numbers (`handlers.metrics`), and what is only looked up then (`services.gauges`).
"""

import asyncio
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate
from math import nan
from time import monotonic

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["CONTENT_TYPE"]

BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}
OUTCOMES = ("delivered", "retry", "gone", "rejected", "raised")
ENDS = ("delivered", "dropped", "dead")
LAG_EVERY_SECONDS = 0.25
"""Often enough to meet a stall of a tenth of a second now and then; four timers a second cost nothing."""

# They would double the lines, and say nothing that the process's start does not.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Requests(Collector):
    """Requests that ended, counted as plain numbers; what Prometheus reads is made when it asks, of a copy."""

    _labelnames = ("method", "route", "status", "error")

    def __init__(self) -> None:
        self._counts: Counted[tuple[str, str, str, str]] = Counted()

    def add(self, method: str, route: str, status: int, error: str) -> None:
        self._counts[method, route, str(status), error] += 1

    def describe(self) -> list[Metric]:
        return [
            CounterMetricFamily(
                "glimpse_http_requests_total",
                "Requests that ended, by the route table's pattern; status 499 when the client left first; "
                "error is the code.",
                labels=self._labelnames,
            )
        ]

    def collect(self) -> list[Metric]:
        [family] = self.describe()
        assert isinstance(family, CounterMetricFamily)
        for labels, count in self._counts.copy().items():
            family.add_metric(labels, count)
        return [family]


class RequestSeconds(Collector):
    """How long they took, likewise."""

    BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
    _labelnames = ("method", "route")

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def add(self, method: str, route: str, seconds: float) -> None:
        labels = method, route
        buckets = self._buckets.get(labels)
        if buckets is None:
            buckets = self._buckets[labels] = [0] * (len(self.BUCKETS) + 1)
            self._sums[labels] = 0.0
        buckets[bisect_left(self.BUCKETS, seconds)] += 1
        self._sums[labels] += seconds

    def describe(self) -> list[Metric]:
        about = "From a request's headers to its end."
        return [HistogramMetricFamily("glimpse_http_request_seconds", about, labels=self._labelnames)]

    def collect(self) -> list[Metric]:
        [family] = self.describe()
        assert isinstance(family, HistogramMetricFamily)
        bounds = [*map(floatToGoString, self.BUCKETS), "+Inf"]
        for labels, buckets in self._buckets.copy().items():
            family.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), self._sums[labels])
        return [family]


HTTP_REQUESTS = Requests()
HTTP_REQUEST_SECONDS = RequestSeconds()
REGISTRY.register(HTTP_REQUESTS)
REGISTRY.register(HTTP_REQUEST_SECONDS)
HTTP_RUNNING = Gauge("glimpse_http_running_requests", "Requests that run now.")
HTTP_CONNECTIONS = Gauge("glimpse_http_connections", "Connections that are open now.")

IMAGES_SENT = Counter("glimpse_images_sent_total", "Images taken, repeats not counted.")
IMAGES_SENT_BYTES = Counter("glimpse_images_sent_bytes_total", "Their bytes.")
IMAGES_FETCHED = Counter("glimpse_images_fetched_total", "Whole images written to a receiver, each time.")
IMAGES_FETCHED_BYTES = Counter("glimpse_images_fetched_bytes_total", "Their bytes.")
IMAGES_CONSUMED = Counter("glimpse_images_consumed_total", "Images that a receiver has, each receiver once.")
IMAGES_CONSUMED_BYTES = Counter("glimpse_images_consumed_bytes_total", "Their bytes.")
IMAGES_PURGED = Counter("glimpse_images_purged_total", "Image files removed, for whatever reason.")
IMAGES_PURGED_BYTES = Counter("glimpse_images_purged_bytes_total", "Their bytes.")
PREVIEWS = Counter(
    "glimpse_previews_total",
    "Images of which a preview was to be made, by how that ended.",
    ["outcome"],
)
IMAGES_LOST = Counter("glimpse_images_lost_total", "Fetches that met a file that is missing, too short, or no file.")
STORED_BYTES = Gauge("glimpse_stored_bytes", "Bytes of all images that are kept.")
PENDING_BYTES = Gauge("glimpse_pending_bytes", "Those that somebody may still begin to fetch.")

STORAGE_HEALTHY = Gauge("glimpse_storage_healthy", "0 from an I/O error of the image store until a probe succeeds.")
STORAGE_ERRORS = Counter(
    "glimpse_storage_errors_total",
    "What the system refused the image store, fsync included: no room (full) or an I/O error (failed).",
    ["kind"],
)
RETENTION_FAILURES = Counter("glimpse_retention_failures_total", "Steps of retention that failed; they come again.")

DATABASE_HEALTHY = Gauge("glimpse_database_healthy", "1 when the database answered this scrape.")
COMMIT_SECONDS = Histogram(
    "glimpse_commit_seconds",
    "How long a commit took, its fsync included.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
COMMIT_UNITS = Histogram("glimpse_commit_units", "Writes that shared one commit.", buckets=(1, 2, 4, 8, 16, 32, 64))
UNITS_RERUN = Counter(
    "glimpse_units_rerun_total", "Writes that a deadlock or a lost connection undid, and that were tried again."
)
COMMIT_FAILURES = Counter("glimpse_commit_failures_total", "Commits that failed: an fsync error, or a full disk.")

WAKE_HEALTHY = Gauge(
    "glimpse_wake_healthy", "1 while other machines' wake-ups come, 0 while wake.url does not answer, NaN without one."
)
WAKE_HEALTHY.set(nan)

OUTBOX_DUE = Gauge("glimpse_outbox_due", "Notifications that are neither delivered nor given up.", ["provider", "app"])
OUTBOX_OLDEST_SECONDS = Gauge(
    "glimpse_outbox_oldest_seconds", "The age of the oldest of them; 0 when there is none.", ["provider", "app"]
)
PUSH_ATTEMPTS = Counter(
    "glimpse_push_attempts_total", "Notifications handed to a provider, by its answer.", ["provider", "app", "outcome"]
)
PUSH_CALL_SECONDS = Histogram(
    "glimpse_push_call_seconds",
    "How long a provider took to answer a call.",
    ["provider", "app"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PUSH_DELAY_SECONDS = Histogram(
    "glimpse_push_delay_seconds",
    "From a notification's commit to a provider's taking it.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200),
)
PUSH_SETTLED = Counter(
    "glimpse_push_settled_total",
    "Notifications that ended: delivered, dropped unsent, or dead (a dead letter).",
    ["provider", "app", "state"],
)
PUSH_BREAKER_STATE = Gauge(
    "glimpse_push_breaker_state", "A provider's breaker: 0 closed, 1 half open, 2 open.", ["provider", "app"]
)
PUSH_PAUSED_SECONDS = Gauge(
    "glimpse_push_paused_seconds",
    "How much longer a provider has asked to be left alone, 0 where it has not.",
    ["provider", "app"],
)
SMS = Counter("glimpse_sms_total", "Codes by SMS, by what became of them after every try: sent or failed.", ["outcome"])

EVENT_LOOP_LAG_SECONDS = Histogram(
    "glimpse_event_loop_lag_seconds",
    "How much later than asked the event loop woke a sleeper.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

# The outbox's lanes that have been shown: one that is empty by now is shown as empty.
_lanes: set[tuple[str, str]] = set()
_STORAGE_FULL, _STORAGE_FAILED = STORAGE_ERRORS.labels("full"), STORAGE_ERRORS.labels("failed")
_SMS_SENT, _SMS_FAILED = SMS.labels("sent"), SMS.labels("failed")
# Looking a child up by its labels costs more than counting does.
_attempts = cache(PUSH_ATTEMPTS.labels)
_settled = cache(PUSH_SETTLED.labels)
_call_seconds = cache(PUSH_CALL_SECONDS.labels)


def exposition() -> bytes:
    """All metrics in Prometheus's text format, with those of the process. Any thread may call; takes milliseconds.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    return generate_latest()


def request_ended(method: str, route: str, status: int, error: str, seconds: float) -> None:
    """Count a request. `route` is a pattern of the route table, empty for a path that is not in it."""
    route = route or "unknown"
    HTTP_REQUESTS.add(method, route, status, error)
    HTTP_REQUEST_SECONDS.add(method, route, seconds)


def image_sent(size: int) -> None:
    IMAGES_SENT.inc()
    IMAGES_SENT_BYTES.inc(size)


def image_fetched(size: int) -> None:
    IMAGES_FETCHED.inc()
    IMAGES_FETCHED_BYTES.inc(size)


def image_consumed(size: int) -> None:
    IMAGES_CONSUMED.inc()
    IMAGES_CONSUMED_BYTES.inc(size)


def image_lost() -> None:
    IMAGES_LOST.inc()


def preview_made(outcome: str) -> None:
    """`made`, `refused` by the decoder, `killed` with its process, or `skipped` for want of one in time."""
    PREVIEWS.labels(outcome).inc()


def images_purged(files: int, size: int) -> None:
    """Count files that were removed, and their bytes together."""
    IMAGES_PURGED.inc(files)
    IMAGES_PURGED_BYTES.inc(size)


def storage_refused(*, full: bool) -> None:
    """Count an error of the image store: no room, or anything else. Any thread may call."""
    (_STORAGE_FULL if full else _STORAGE_FAILED).inc()


def committed(units: int, seconds: float) -> None:
    """Count a commit that succeeded and how many writes shared it."""
    COMMIT_UNITS.observe(units)
    COMMIT_SECONDS.observe(seconds)


def push_provider(provider: str, app: str) -> None:
    """Show a provider's counters from the start: a rate cannot see a counter that begins with one."""
    _lanes.add((provider, app))
    for outcome in OUTCOMES:
        _attempts(provider, app, outcome)
    for state in ENDS:
        _settled(provider, app, state)


def push_called(provider: str, app: str, outcomes: Iterable[str], seconds: float) -> None:
    """Count a call and its answers, each of OUTCOMES."""
    _call_seconds(provider, app).observe(seconds)
    for outcome, count in Counted(outcomes).items():
        _attempts(provider, app, outcome).inc(count)


def push_settled(provider: str, app: str, state: str, seconds: float) -> None:
    """Count a notification that ended in a state of ENDS, `seconds` after its commit."""
    _settled(provider, app, state).inc()
    if state == "delivered":
        PUSH_DELAY_SECONDS.observe(seconds)


def push_breaker(provider: str, app: str, state: str) -> None:
    """Show a breaker's state, one of BREAKER_STATES."""
    PUSH_BREAKER_STATE.labels(provider, app).set(BREAKER_STATES[state])


def push_paused(provider: str, app: str, seconds: float) -> None:
    """Show for how many seconds more a provider has asked to be left alone."""
    PUSH_PAUSED_SECONDS.labels(provider, app).set(seconds)


def sms_ended(*, sent: bool) -> None:
    (_SMS_SENT if sent else _SMS_FAILED).inc()


def database_answered(*, due: Mapping[tuple[str, str], tuple[int, float]], pending_bytes: int) -> None:
    """Show what the database said at this scrape: `due` is, by provider and app, how many wait and the oldest's age."""
    DATABASE_HEALTHY.set(1)
    _lanes.update(due)
    for lane in _lanes:
        count, oldest_seconds = due.get(lane, (0, 0.0))
        OUTBOX_DUE.labels(*lane).set(count)
        OUTBOX_OLDEST_SECONDS.labels(*lane).set(oldest_seconds)
    PENDING_BYTES.set(pending_bytes)


def database_unavailable() -> None:
    """Show that it said nothing: an old number would look like a new one."""
    DATABASE_HEALTHY.set(0)
    PENDING_BYTES.set(nan)
    for lane in _lanes:
        OUTBOX_DUE.labels(*lane).set(nan)
        OUTBOX_OLDEST_SECONDS.labels(*lane).set(nan)


async def watch_event_loop() -> None:
    """Measure the event loop's lag four times a second until cancelled."""
    while True:
        due = monotonic() + LAG_EVERY_SECONDS
        await asyncio.sleep(LAG_EVERY_SECONDS)
        EVENT_LOOP_LAG_SECONDS.observe(max(0.0, monotonic() - due))
