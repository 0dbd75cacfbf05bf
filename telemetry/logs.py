# SPDX-License-Identifier: Apache-2.0
"""Log lines: one per record whatever is in it, on stderr, without secrets.

Write them with structlog or with `logging` and `extra`: a constant event text, the rest as key=value. What is bound
with `structlog.contextvars` (the request id) joins every line. Not here: what is worth a line.
"""

import asyncio
import json
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache, partial
from typing import Any, TextIO

import structlog
from structlog.contextvars import merge_contextvars
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer
from structlog.stdlib import BoundLogger, ExtraAdder, LoggerFactory, ProcessorFormatter, filter_by_level

SECRET_KEYS = frozenset(
    ("ukey", "code", "password", "token", "phone", "phone_num", "phone_hash", "authorization", "cid", "secret")
)
ACCESS = "glimpse.access"
ACCESS_JSON = (
    '"request_id": "%(request_id)s", "method": "%(method)s", "route": "%(route)s", '
    '"status": %(status)d, "error": "%(error)s", "ms": %(ms)s'
)
"""The fields of an access line. Written by hand: nothing in them needs an escape."""
REDACTED = "[redacted]"
LONGEST = 500
"""Characters of one value: a line stays readable, and a stranger's text cannot fill the disk."""
PLAIN = (bool, int, float, type(None))

# What other libraries and exceptions put into free text: a query string, a run of digits as long as a phone number,
# a run of letters as long as a key or a hash.
REVEALING = re.compile(r"(?<=\?)[^\s'\"]+|\d{7,}|[A-Za-z0-9_-]{32,}")

_lines: "AccessLines | None" = None
"""None where lines are for a terminal."""

Fields = MutableMapping[str, Any]


def configure(level: str, format: str, worker: int | None = None) -> None:  # noqa: A002 - the key in config.yaml
    """Send every log record of this process to stderr, from `level` (debug, info, warning, error) on.

    `format` is json, console, or auto: console when stderr is a terminal. Where `worker` is given, every line names it.
    """
    of_worker = {} if worker is None else {"worker": worker}
    terminal = sys.stderr.isatty()
    console = format == "console" or (format == "auto" and terminal)
    handler = InOrder(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[merge_contextvars, ExtraAdder()],
            processors=[
                partial(_record, of_worker),
                _redact,
                ConsoleRenderer(colors=terminal) if console else JSONRenderer(),
            ],
        )
    )
    # No line tells its thread or process, so no record need find out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    global _lines  # noqa: PLW0603 - as the handlers of `logging` are
    _lines = None if console else AccessLines(logging.getLevelName(level.upper()), of_worker)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    _tame_libraries()
    structlog.configure(
        processors=[filter_by_level, merge_contextvars, ProcessorFormatter.wrap_for_formatter],
        logger_factory=LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )


def request_ended(fields: Mapping[str, str | int | float]) -> None:
    """The line of one ended request, with the fields of ACCESS_JSON: the only line whose cost every request pays.

    Its fields come from closed sets and numbers of ours, so that nothing in it needs to be looked through. As JSON it
    is written with all others of the event loop's turn.
    """
    if _lines is None:
        logging.getLogger(ACCESS).info("request", extra=fields)
    else:
        _lines.add(fields)


def flush() -> None:
    """Write the lines that have been gathered."""
    if _lines is not None:
        _lines.flush()


class AccessLines:
    """JSON lines on their way to stderr. Of one thread, that of the event loop."""

    def __init__(self, level: int, of_worker: Mapping[str, int]) -> None:
        self._is_off = level > logging.INFO
        self._always = json.dumps({"level": "info", "logger": ACCESS, "event": "request", **of_worker})[1:-1]
        self._gathered: list[str] = []

    def add(self, fields: Mapping[str, str | int | float]) -> None:
        if self._is_off:
            return
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self.flush)
        second, ms = divmod(time.time_ns() // 1_000_000, 1000)
        timestamp = f'"timestamp": "{_second(second)}.{ms:03d}+00:00"'
        self._gathered.append(f"{{{timestamp}, {self._always}, {ACCESS_JSON % fields}}}")

    def flush(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            sys.stderr.write("\n".join(gathered) + "\n")
            sys.stderr.flush()


@lru_cache(1)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class InOrder(logging.StreamHandler[TextIO]):
    """Writes what was gathered before each record."""

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is threading.main_thread():
            flush()
        super().emit(record)


def _tame_libraries() -> None:
    """Tornado's own access line and httpx's info line carry whole URLs; the server writes its own access line."""
    logging.getLogger("tornado.access").disabled = True
    for name in ("tornado.general", "httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _record(of_worker: Mapping[str, int], _logger: Any, _method: str, fields: Fields) -> Fields:
    """What every line begins with, and an exception as two values."""
    record: logging.LogRecord = fields.pop("_record")
    del fields["_from_structlog"]
    error = _exception(fields.pop("exc_info", None))
    fields.pop("stack_info", None)
    own: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": REVEALING.sub("…", str(fields.pop("event", ""))),
        **of_worker,
    }
    if error:
        own["error"] = REVEALING.sub("…", _story(error))
        own["at"] = _places(error)
    return {**own, **fields, **own}


def _exception(exc_info: Any) -> BaseException | None:
    if not exc_info or isinstance(exc_info, BaseException):
        return exc_info or None
    error: BaseException | None = exc_info[1] if isinstance(exc_info, tuple) else sys.exception()
    return error


def _story(error: BaseException) -> str:
    """The exception and what led to it, as `raise … from` or an `except` block tell."""
    told = f"{type(error).__name__}: {error}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{told} < {_story(cause)}" if cause else told


def _places(error: BaseException) -> str:
    """Where it was raised, innermost first, short enough for one line."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return " < ".join(places)


def _redact(_logger: Any, _method: str, fields: Fields) -> Fields:
    return {_line(key): REDACTED if key.lower() in SECRET_KEYS else _value(value) for key, value in fields.items()}


def _value(value: Any) -> Any:
    """The value as JSON can hold it: no control character, nothing longer than LONGEST, no secret in it."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, PLAIN) or (isinstance(value, str) and _is_line(value)):
        return value
    clean: Any
    if isinstance(value, Mapping):
        clean = _redact(None, "", {str(key): item for key, item in value.items()})
    elif isinstance(value, list | tuple | set | frozenset):
        clean = [_value(item) for item in value]
    else:
        return _line(str(value))
    return clean if len(str(clean)) <= LONGEST else _line(str(clean))


def _is_line(text: str) -> bool:
    return len(text) <= LONGEST and text.isprintable()


def _line(text: str) -> str:
    if _is_line(text):
        return text
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
