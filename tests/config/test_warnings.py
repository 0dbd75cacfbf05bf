# SPDX-License-Identifier: Apache-2.0
"""What is allowed and may surprise is said, by `config check` and in the server's log."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from config.load import Config, load
from config.warnings import warnings
from ops.config import config as command
from tests.config.damaged import make_keys, make_pair
from tests.support.own_config import Write

Configured = Callable[[str], Config]


def test_the_defaults_surprise_nobody() -> None:
    assert warnings(load()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {behind_proxy: true}", "server.trusted_proxies: is empty, so X-Forwarded-For is not believed"),
        ("server: {trusted_proxies: [10.0.0.1]}", "server.trusted_proxies: has no effect while server.behind_proxy"),
        ("metrics: {host: 0.0.0.0}", "metrics.host: is more than this machine: no effect while metrics.port is 0"),
        (
            "metrics: {host: 0.0.0.0, port: 9464}",
            "metrics.host: is more than this machine: whoever reaches it may read",
        ),
        ("server: {port: 2004}", "samples.room_socket_port: is taken by another port of this server"),
        ("metrics: {port: 2004}", "samples.room_socket_port: is taken by another port of this server"),
        (
            "server: {host: 8.8.8.8}\nlimits: {enabled: false}",
            "limits.enabled: is false, so anybody may ask for as much",
        ),
        (
            "uploads: {unknown_caller_max_bytes: 1000}",
            "uploads.unknown_caller_max_bytes: is less than images.max_bytes",
        ),
        ("inbox: {max_pending_bytes: 1000}", "inbox.max_pending_bytes: is less than images.max_bytes; images of more"),
        (
            "storage: {max_bytes: 1000}",
            "storage.max_bytes: is less than images.max_bytes; images of more than 1000 bytes",
        ),
    ],
)
def test_what_may_surprise_is_said_in_one_line(configured: Configured, text: str, words: str) -> None:
    [line] = warnings(configured(text))
    assert line.startswith(words)


@pytest.mark.parametrize(("days", "words"), [(-2, "has expired at "), (2, "begins at ")])
def test_a_certificate_out_of_its_time_is_told_of(
    configured: Configured, tmp_path: Path, days: int, words: str
) -> None:
    make_pair(tmp_path, "old", from_=datetime.now(UTC) + timedelta(days=days))
    tls = f"server: {{tls: {{cert: {tmp_path}/old.crt, key: {tmp_path}/old.key}}}}"
    [line] = warnings(configured(tls))
    assert line.startswith(f"server.tls.cert: {words}")
    make_keys(tmp_path)
    assert warnings(configured(tls.replace("old", "tls"))) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_a_data_directory_of_another_user_is_told_of(configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 12345, 12345)
    [line] = warnings(configured(f"data_dir: {tmp_path}/data"))
    assert line == "data_dir: belongs to user 12345, and this runs as user 0, whose the new files will be"


def test_config_check_warns_of_what_it_finds_good(write: Write, tmp_path: Path) -> None:
    file = write("server: {behind_proxy: true}\nmetrics: {host: 0.0.0.0}")
    check = CliRunner().invoke(command, ["check", "--config", str(file), "--data-dir", str(tmp_path / "new")])
    assert (check.exit_code, check.stdout) == (0, "The configuration is good.\n")
    first, second = check.stderr.splitlines()
    assert first.startswith("warning: server.trusted_proxies: is empty")
    assert second.startswith("warning: metrics.host: is more than this machine")
    assert not (tmp_path / "new").exists()


def test_the_server_logs_a_warning(tmp_path: Path, write: Write) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "server.lock").mkdir()  # it ends before it listens
    arguments = ["--config", str(write("server: {behind_proxy: true}")), "--data-dir", str(tmp_path / "data")]
    ended = subprocess.run(
        [sys.executable, "server.py", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert '"level": "warning"' in ended.stderr
    assert "server.trusted_proxies: is empty" in ended.stderr


@pytest.mark.parametrize(
    ("images", "seconds"),
    [("max_bytes: 20971520", 6 * 3600), ("max_bytes: 50000000", 24_474), ("max_bytes: 1", 6 * 3600)],
)
def test_how_long_a_file_without_a_record_stays_follows_from_the_longest_upload(
    configured: Configured, images: str, seconds: int
) -> None:
    assert configured(f"images: {{{images}}}").orphan_seconds == seconds
    assert configured(f"images: {{{images}}}\nretention: {{orphan_seconds: 99999}}").orphan_seconds == 99_999
