# SPDX-License-Identifier: Apache-2.0
"""`python -m ops config`, as an operator runs it."""

import json
import subprocess
import sys

from tests.support import PATIENCE
from tests.support.own_config import Write


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops", "config", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_check_accepts_the_defaults() -> None:
    done = run("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "The configuration is good.\n", "")


def test_check_lists_every_problem(write: Write) -> None:
    done = run("check", "--config", write("server: {prot: 1, port: x}"))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2


def test_check_lists_what_the_server_would_refuse_at_start(write: Write) -> None:
    done = run("check", "--config", write("server: {host: 0.0.0.0}"))
    assert done.returncode == 2
    assert "server.host 0.0.0.0: activation is off" in done.stderr


def test_check_shows_the_banner_of_a_development_server(write: Write) -> None:
    done = run("check", "--config", write("server: {host: 0.0.0.0, development_lan: true}"))
    assert done.returncode == 0
    assert "public ones too" in done.stderr


def test_show_prints_effective_values_and_no_secret(write: Write) -> None:
    file = write("server: {port: 9}\npush: {getui: {app_id: i, app_key: k, master_secret: canary}}")
    lines, document = run("show", "--config", file).stdout, run("show", "--config", file, "--json").stdout
    assert "server.port: 9\n" in lines
    assert 'server.host: "127.0.0.1"\n' in lines
    assert json.loads(document)["server"]["port"] == 9
    assert "canary" not in lines + document
    assert 'push.getui.master_secret: "**********"\n' in lines


def test_show_hides_the_password_in_the_url_of_the_database_alone(write: Write) -> None:
    file = write("database: {url: 'mysql://glimpse:can%40ary@127.0.0.1/name'}")
    for done in (run("show", "--config", file), run("show", "--config", file, "--json")):
        assert "mysql://glimpse:**********@127.0.0.1/name" in done.stdout
        assert "ary" not in done.stdout + done.stderr


def test_show_of_a_broken_configuration_says_what_is_wrong(write: Write) -> None:
    done = run("show", "--config", write("server: {port: x}"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "server.port: must be a whole number\n")
