# SPDX-License-Identifier: Apache-2.0
"""Every kind of wrong configuration gives one line with the key's name, never a traceback."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ops.config import config
from tests.config.damaged import make_all
from tests.support import PATIENCE
from tests.support.engines import NEEDS_MARIADBD, mariadb_server
from tests.support.launcher import launch
from tests.support.own_config import Write

TABLE = Path(__file__).with_name("mistakes.txt").read_text("utf-8")
NAMES = dict(re.findall(r"^([A-Z]+) = (.*)$", TABLE, re.MULTILINE))
MISTAKES: list[tuple[str, str]] = re.findall(r"^(?!#)(\S.*)\n    (.*)$", TABLE, re.MULTILINE)
DATABASE = "glimpse_of_mistakes"

VARIABLES = [
    ("SERVER__PORT", "x", "server.port (%s): must be a whole number"),
    ("SERVER__PORT", "", "server.port (%s): must be a whole number"),
    ("SERVER__PROT", "1", "server.prot (%s): there is no such key; the nearest is server.port"),
    ("PORT", "1", "port (%s): there is no such key; the nearest is server.port"),
    ("SERVER", "{", "server (%s): is no JSON that can be read"),
    ("SERVER", '{"port":' + "[" * 100_000, "server (%s): is no JSON that can be read"),
    ("SERVER", "9000", "server (%s): must hold keys with values"),
    ("SERVER", '{"port": "x"}', "server.port: must be a whole number"),
    ("SERVER__TRUSTED_PROXIES", "[1", "server.trusted_proxies (%s): is no JSON that can be read"),
    ("SERVER__TRUSTED_PROXIES", "[" * 100_000, "server.trusted_proxies (%s): is no JSON that can be read"),
    ("SERVER__TRUSTED_PROXIES", '{"a": 1}', "server.trusted_proxies (%s): must be a list"),
    ("SERVER__TLS__CERT", "/nowhere", "server.tls.cert (%s): /nowhere cannot be read: No such file or directory"),
    ("DATA_DIR", "", "data_dir (%s): must not be empty"),
    ("DATA_DIR__X", "1", "data_dir.x (%s): there is no such key; the nearest is data_dir"),
    ("DATABASE__URL", "mysql://u:canary@[/n", "database.url (%s): must be sqlite:/// and a path, or mysql://"),
    ("ACTIVATION__TEST_NUMBERS", "123456", "activation.test_numbers (%s): must hold keys with values"),
    ("LIMITS__RATES__PER_ACCOUNT", '{"send": 5}', "limits.rates.per_account.send: must be text; write it in quotes"),
    ("MESSAGING__WHO", "friends", "messaging.who (%s): is called messaging.friends_only now"),
    ("PUSH__FCM__SERVICE_ACCOUNT", "canary", "push.fcm.service_account (%s): the service account is no JSON"),
    ("PUSH__GETUI__MASTER_SECRET", "canary", "push.getui: app_id, app_key must be given too"),
    ("PUSH__GETUI__APPS__X__APP_ID", "i", "push.getui.apps.x: app_key, master_secret must be given too"),
]

FILES = [
    ("nowhere.yaml", "cannot be read: No such file or directory"),
    (".", "cannot be read: Is a directory"),
    ("binary", "is no YAML: it holds no plain text"),
    ("hello", "must hold keys with values"),
    ("twice.yaml", "line 2: server stands here a second time; keep one of them"),
    ("endless.yaml", "is nested too deep"),
    ("deep.yaml", "is nested too deep"),
    ("date.yaml", "is no YAML: month must be in 1..12"),
    ("object.yaml", "line 1: is no YAML: could not determine a constructor for the tag"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    make_all(folder)
    return folder


@pytest.fixture
def no_trace_is_left(folder: Path) -> Iterator[None]:
    yield
    assert not (folder / "new").exists()


def said_by(check: Result) -> str:
    """The one line of a configuration that is refused."""
    assert (check.exit_code, check.stdout) == (2, ""), check.output
    assert isinstance(check.exception, SystemExit)
    [line] = check.stderr.splitlines()
    assert "canary" not in line
    return line


def written(text: str, folder: Path) -> str:
    """The file that a row of the table means, whose data directory, if it names none, could be made."""
    for name, meaning in NAMES.items():
        text = text.replace(name, meaning)
    text = text.replace("HERE", str(folder)).replace("|", "\n")
    return text if "data_dir:" in text else f"{text}\ndata_dir: {folder}/new"


def test_the_table_is_long() -> None:
    assert len(MISTAKES) + len(VARIABLES) + len(FILES) > 200
    assert len(set(MISTAKES)) == len(MISTAKES)


@pytest.mark.usefixtures("no_trace_is_left")
@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_a_mistake_gives_its_line(folder: Path, write: Write, text: str, line: str) -> None:
    file = write(written(text, folder))
    file.chmod(0o600)
    check = CliRunner().invoke(config, ["check", "--config", str(file)])
    assert said_by(check) == line.replace("HERE", str(folder))


@pytest.mark.parametrize(("name", "value", "line"), VARIABLES)
def test_a_mistake_in_the_environment_gives_its_line_and_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, line: str
) -> None:
    if not name.startswith("DATA_DIR"):
        monkeypatch.setenv("GLIMPSE_DATA_DIR", str(tmp_path / "new"))
    monkeypatch.setenv(f"GLIMPSE_{name}", value)
    assert said_by(CliRunner().invoke(config, ["check"])).startswith(line.replace("%s", f"GLIMPSE_{name}"))


@pytest.mark.parametrize(("name", "words"), FILES)
def test_a_file_that_says_nothing_or_something_else_gives_its_line(folder: Path, name: str, words: str) -> None:
    check = CliRunner().invoke(config, ["check", "--config", str(folder / name), "--data-dir", str(folder / "new")])
    line = said_by(check)
    assert line.startswith(str(folder / name))
    assert words in line


@NEEDS_MARIADBD
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("only-of-this-test-run", "canary"), "Access denied for user"),
        (("//glimpse:", "//nobody:"), "Access denied for user"),
        (("/glimpse_", "/glimpse_not_"), "Unknown database"),
        (("/glimpse_", "/mysql_"), "Access denied for user"),
    ],
)
def test_a_database_server_that_does_not_let_us_in_gives_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, str], words: str
) -> None:
    monkeypatch.setenv("GLIMPSE_DATABASE__URL", mariadb_server().url(DATABASE).replace(*wrong))
    line = said_by(CliRunner().invoke(config, ["check", "--data-dir", str(tmp_path / "new")]))
    assert line.startswith("database.url: the database ")
    assert words in line


@NEEDS_MARIADBD
@pytest.mark.parametrize("table", ["orders (id INT)", "migrations (name TEXT)"])
def test_another_programs_database_on_a_server_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    server = mariadb_server()
    with server.connect() as connection:
        connection.query(f"CREATE DATABASE {DATABASE}")
        connection.query(f"CREATE TABLE {DATABASE}.{table}")
        monkeypatch.setenv("GLIMPSE_DATABASE__URL", server.url(DATABASE))
        check = CliRunner().invoke(config, ["check", "--data-dir", str(tmp_path / "new")])
        connection.query(f"DROP DATABASE {DATABASE}")
    assert said_by(check).endswith(": it holds the tables of another program")


OF_EACH_KIND = [
    "server: {port: x}",
    "database: {url: 'sqlite:///HERE/text.db'}",
    "database: {url: 'sqlite:///HERE/shop.db'}",
    "database: {url: 'sqlite:///HERE/newer.db'}",
    "data_dir: 'HERE/a_file'",
    "data_dir: 'HERE/torn_ring'",
    "data_dir: 'HERE/lost_ring'",
    "data_dir: 'HERE/torn_vapid'",
    "storage: {directory: 'HERE/hello'}",
    "server: {tls: {cert: 'HERE/hello', key: 'HERE/tls.key'}}",
    "server: {tls: {cert: 'HERE/tls.crt', key: 'HERE/other.key'}}",
    "sms: {provider: webhook, webhook: {url: 'https://sms.example', secret: hello}}",
    "push: {getui: {base_url: 'https://restapi..getui.com/v2'}}",
]


@pytest.mark.usefixtures("no_trace_is_left")
@pytest.mark.parametrize("text", OF_EACH_KIND)
def test_the_server_says_the_same_and_does_not_start(folder: Path, write: Write, tmp_path: Path, text: str) -> None:
    line = dict(MISTAKES)[text].replace("HERE", str(folder))
    arguments, said = ["--config", str(write(written(text, folder)))], tmp_path / "stderr"
    with said.open("w") as stderr:
        server = launch("app.serving", arguments, stderr=stderr, environment=os.environ)
    with server.stdout:
        assert (server.wait(PATIENCE), server.stdout.read()) == (2, "")
    assert said.read_text() == f"Glimpse cannot start: {line}\n"


def test_everything_is_said_at_once(folder: Path, write: Write) -> None:
    text = (
        "server: {host: 8.8.8.8, port: x, tls: {cert: 'HERE/hello'}}\n"
        "database: {url: 'sqlite:///HERE/text.db'}\n"
        "storage: {directory: 'HERE/hello'}\n"
        "data_dir: 'HERE/torn_vapid'\n"
        "push: {getui: {app_id: i}}\n"
    )
    check = CliRunner().invoke(config, ["check", "--config", str(write(written(text, folder)))])
    assert check.exit_code == 2
    assert [line.partition(":")[0] for line in check.stderr.splitlines()] == [
        "server.port",
        "server.tls.cert",
        "push.getui",
        *["server.host 8.8.8.8"] * 3,
        "storage.directory",
        "database.url",
        "push.webpush.private_key",
    ]
