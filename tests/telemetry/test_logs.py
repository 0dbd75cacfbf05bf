# SPDX-License-Identifier: Apache-2.0
"""One line per record, without secrets, whatever is logged and by whom."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from telemetry import logs

Lines = Callable[[], list[dict[str, Any]]]
HOSTILE = 'a\r\nb\x1b[31m\x00\x85\u2028\u202e{"event":"forged"}\ud800'


@pytest.fixture(autouse=True)
def logging_is_left_as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    clear_contextvars()
    for name in ("tornado.access", "tornado.general", "httpx", "httpcore", "asyncio"):
        logging.getLogger(name).disabled = False
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    def written() -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    return written


def test_both_ways_of_logging_make_the_same_line(lines: Lines) -> None:
    logs.configure("info", "json")
    structlog.get_logger("glimpse.http").info("request", method="GET", status=200)
    logging.getLogger("glimpse.http").info("request", extra={"method": "GET", "status": 200})
    one, other = lines()
    assert one.pop("timestamp").endswith("+00:00")
    assert other.pop("timestamp").endswith("+00:00")
    assert one == other
    assert one == {"level": "info", "logger": "glimpse.http", "event": "request", "method": "GET", "status": 200}


@pytest.mark.gen_test
async def test_an_access_line_says_when_as_all_lines_do(lines: Lines) -> None:
    logs.configure("info", "json")
    fields: dict[str, str | int | float] = {"request_id": "r-1", "method": "GET", "route": "/", "status": 200}
    fields |= {"error": "", "ms": 1.5}
    before = datetime.now(UTC)
    logs.request_ended(fields)
    logging.getLogger("glimpse.http").info("after")
    access, other = lines()
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(access["timestamp"]) <= datetime.now(UTC)
    assert len(access["timestamp"]) == len(other["timestamp"])
    assert {name: access[name] for name in fields} == fields


def test_a_line_carries_the_request_that_it_belongs_to(lines: Lines) -> None:
    logs.configure("info", "json")
    bind_contextvars(request_id="r-1")
    structlog.get_logger("glimpse").info("one")
    logging.getLogger("some.library").warning("two")
    assert [line["request_id"] for line in lines()] == ["r-1", "r-1"]


@pytest.mark.parametrize("key", [*sorted(logs.SECRET_KEYS), "Authorization", "UKEY"])
def test_a_secret_key_is_redacted_at_any_depth(lines: Lines, key: str) -> None:
    logs.configure("info", "json")
    secrets = {key: "canary"}
    structlog.get_logger("glimpse").info("one", **secrets, inner={"list": [secrets]}, pair=(secrets,))
    logging.getLogger("glimpse").info("two", extra=secrets)
    text = json.dumps(lines())
    assert "canary" not in text
    assert text.count("[redacted]") == 4


@pytest.mark.parametrize("format", ["json", "console"])
def test_hostile_text_stays_on_one_line_and_is_escaped(capsys: pytest.CaptureFixture[str], format: str) -> None:  # noqa: A002
    logs.configure("info", format)
    structlog.get_logger("glimpse").info(
        "one", agent=HOSTILE, inner={HOSTILE: [HOSTILE]}, raw=HOSTILE.encode("utf-8", "ignore")
    )
    logging.getLogger("glimpse").info("two %s", HOSTILE, extra={"x" + HOSTILE: 1})
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("glimpse").exception("three")
    written = capsys.readouterr().err
    assert written.count("\n") == 3
    assert written.endswith("\n")
    assert all(char.isprintable() for char in written.replace("\n", ""))


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_name_for_a_number_is_written_as_the_number(capsys: pytest.CaptureFixture[str], format: str) -> None:  # noqa: A002
    logs.configure("info", format)
    logging.getLogger("glimpse").info("request", extra={"status": HTTPStatus.UNAUTHORIZED})
    written = capsys.readouterr().err
    assert "UNAUTHORIZED" not in written
    assert ('"status": 401' in written) or ("status=401" in written)


def test_a_long_value_is_cut(lines: Lines) -> None:
    logs.configure("info", "json")
    structlog.get_logger("glimpse").info("one", text="x" * 501, exact="x" * 500, many=list(range(1000)))
    (line,) = lines()
    assert line["text"] == "x" * 500 + "…"
    assert line["exact"] == "x" * 500
    assert len(line["many"]) == 501


def test_free_text_loses_query_strings_phone_numbers_and_keys(lines: Lines) -> None:
    logs.configure("info", "json")
    phone_hash = "ab" * 32
    logging.getLogger("tornado.application").error(
        "Uncaught exception %r", f"uri='/v1/x?token=canary' +8613800138000 {phone_hash}"
    )
    try:
        try:
            int("+8613800138000 x")
        except ValueError as error:
            raise RuntimeError(f"no {phone_hash}") from error
    except RuntimeError:
        structlog.get_logger("glimpse").exception("a request failed")
    uncaught, failed = lines()
    assert uncaught["event"] == "Uncaught exception \"uri='/v1/x?…' +… …\""
    assert failed["error"].startswith("RuntimeError: no … < ValueError: invalid literal")
    assert "8613800138000" not in failed["error"]
    assert failed["at"].startswith("test_logs.py:")


def test_an_exception_may_be_given_in_each_way_that_logging_takes(lines: Lines) -> None:
    logs.configure("info", "json")
    error = OSError("disk")
    structlog.get_logger("glimpse").error("one", exc_info=error)
    logging.getLogger("glimpse").error("two", exc_info=(type(error), error, None))
    logging.getLogger("glimpse").error("three", exc_info=True)  # noqa: LOG014 - there is none
    assert [line.get("error") for line in lines()] == ["OSError: disk", "OSError: disk", None]


def test_a_field_cannot_pose_as_the_records_own(lines: Lines) -> None:
    logs.configure("info", "json")
    logging.getLogger("glimpse").info("true", extra={"level": "forged", "logger": "forged", "timestamp": "forged"})
    (line,) = lines()
    assert (line["level"], line["logger"]) == ("info", "glimpse")
    assert line["timestamp"] != "forged"


def test_libraries_that_log_addresses_are_silent(lines: Lines) -> None:
    logs.configure("info", "json")
    logging.getLogger("tornado.access").error("200 GET /v1/x?token=canary")
    logging.getLogger("tornado.general").info("Malformed HTTP message")
    logging.getLogger("httpx").info("HTTP Request: GET https://example.org/?token=canary")
    assert lines() == []


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    structlog.get_logger("glimpse.level").info("one")
    structlog.get_logger("glimpse.level").warning("two")
    logs.configure("debug", "json")
    structlog.get_logger("glimpse.level").debug("three")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["two", "three"]


def test_auto_is_json_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "auto")
    structlog.get_logger("glimpse").info("one")
    assert json.loads(capsys.readouterr().err)["event"] == "one"
