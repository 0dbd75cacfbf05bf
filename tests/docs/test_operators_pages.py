# SPDX-License-Identifier: Apache-2.0
"""Every page, and the unit file, speak of commands of operators and options that exist."""

import configparser
import re
import shlex

import click
import pytest

from app.listen import BACKLOG
from config.load import from_command_line, load
from ops.__main__ import main
from tests.support import ROOT

DOCS = ROOT / "docs"
PAGES = {
    name: (DOCS / f"{name}.md").read_text("utf-8")
    for name in ("install", "operations", "backup", "accounts", "troubleshooting")
}
TEXT = "\n".join(page.read_text("utf-8") for page in (ROOT / "README.md", *DOCS.rglob("*.md")))
COMMANDS = sorted(set(re.findall(r"python -m ops ([^`\n…]+)", TEXT)))


def problem(words: list[str]) -> str | None:
    """Why click would not take this command line; None when it would."""
    command: click.Command = main
    context = click.Context(main)
    # A group that does something itself may be given options in place of a command.
    while isinstance(command, click.Group) and not (
        command.invoke_without_command and (not words or words[0].startswith("-"))
    ):
        name, words = words[0], words[1:]
        found = command.get_command(context, name)
        if found is None:
            return f"there is no command {name}"
        command = found
    try:
        command.make_context(command.name, [*words])
    except click.MissingParameter as error:
        return error.format_message() if words else None  # a page may speak of a command by its name alone
    except click.BadParameter as error:
        return None if error.message.endswith("does not exist.") else error.message  # a file of the reader's
    except click.UsageError as error:
        return error.message
    return None


def test_the_pages_name_every_command() -> None:
    assert {command.split()[0] for command in COMMANDS} == set(main.commands)


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_of_a_page_is_one_that_exists(line: str) -> None:
    assert problem(shlex.split(line)) is None


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    assert problem(["users", "rename"]) == "there is no command rename"
    assert "No such option" in str(problem(["backup", "DIR", "--with-keys"]))
    assert "Missing argument" in str(problem(["backup", "--with-images"]))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short(name: str) -> None:
    assert PAGES[name].count("\n") <= 120


def test_the_unit_starts_the_server_with_arguments_that_it_takes() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep the case
    unit.read(DOCS / "systemd" / "glimpse.service")
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[1].rpartition("/")[2] == "server.py"
    arguments = dict(zip(words[2::2], words[3::2], strict=True))
    assert set(arguments) == {"--config", "--data-dir"}
    assert str(from_command_line(["--data-dir", arguments["--data-dir"]]).data_dir) == "/var/lib/glimpse"
    assert int(unit["Service"]["LimitNOFILE"]) >= 4096
    assert (unit["Service"]["UMask"], unit["Service"]["NoNewPrivileges"]) == ("0077", "yes")


def test_the_socket_unit_opens_what_a_server_listens_on() -> None:
    unit = configparser.RawConfigParser()
    unit.read(DOCS / "systemd" / "glimpse.socket")
    config = load().server
    assert unit["Socket"]["ListenStream"] == f"{config.host}:{config.port}"
    assert int(unit["Socket"]["Backlog"]) == BACKLOG
