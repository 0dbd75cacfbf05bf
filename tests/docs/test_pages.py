# SPDX-License-Identifier: Apache-2.0
"""Every document: its lines are short, its links lead somewhere, and what it names exists."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from config.load import load
from config.sources import keys_of
from tests.support import ROOT

PAGES = sorted(page for page in (*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")) if "node_modules" not in page.parts)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]*)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`(\w[\w./-]*\.(?:py|yaml|sql|html|json|toml|service|md))`")
NAME = re.compile(r"`((?:app|chat|config|handlers|models|push|services|storage|transport)\.[a-zA-Z_.]+)`")
OF_A_COMMAND = re.compile(r"(?<![\w./:~-])((?:clients|config|docs|handlers|ops|tests|web)/[\w./-]*\.[a-z]+)\b")
MADE_LATER = {"keys.json", "manifest.json", "glimpse.sql"}
"""Files of a running server, not of the checkout."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub and GitLab spell them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """Its links within the checkout."""
    return (link for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))) if "://" not in link)


def leads_nowhere(page: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@each_page
def test_no_line_is_over_120_characters_where_it_can_be_wrapped(page: Path) -> None:
    lines = enumerate(page.read_text("utf-8").splitlines(), 1)
    assert [(number, len(line)) for number, line in lines if len(line) > 120 and " " in line.strip()] == []


@each_page
def test_each_link_leads_to_a_page_and_a_heading_that_exist(page: Path) -> None:
    assert [link for link in links(page) if leads_nowhere(page, link)] == []


def test_a_link_that_leads_nowhere_would_be_seen() -> None:
    page = ROOT / "docs" / "README.md"
    assert leads_nowhere(page, "nowhere.md")
    assert leads_nowhere(page, "install.md#nothing")
    assert not leads_nowhere(page, "install.md#tls")


@each_page
def test_each_file_that_is_named_exists(page: Path) -> None:
    named = {name for name in FILE.findall(page.read_text("utf-8")) if not re.search("NAME|NNNN|SUBJECT|ROOM", name)}
    assert [name for name in sorted(named - MADE_LATER) if not exists(page, name)] == []


@each_page
def test_each_file_of_the_checkout_that_a_command_names_exists(page: Path) -> None:
    named = {name for block in FENCED.findall(page.read_text("utf-8")) for name in OF_A_COMMAND.findall(block)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def exists(page: Path, name: str) -> bool:
    """From the checkout, from the page, or somewhere, where a page names a file of a room it speaks of."""
    return (ROOT / name).exists() or (page.parent / name).exists() or any(ROOT.glob(f"[!.]*/**/{name}"))


@each_page
def test_each_name_of_the_code_exists(page: Path) -> None:
    settings = keys_of(load().model_dump())
    named = set(NAME.findall(page.read_text("utf-8"))) - {"config.yaml"}
    assert [name for name in sorted(named) if not is_name_of_code(name) and not is_setting(name, settings)] == []


def is_name_of_code(name: str) -> bool:
    """Whether `room.module.Name` or `room.module` is there."""
    *folders, last = name.split(".")
    if (ROOT / "/".join(folders) / last).is_dir() or (ROOT / "/".join(folders) / f"{last}.py").exists():
        return True
    module = ROOT / f"{'/'.join(folders)}.py"
    return module.exists() and re.search(rf"\b{last}\b", module.read_text("utf-8")) is not None


def is_setting(name: str, settings: Collection[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for key in settings) or ".apps." in name


@each_page
def test_each_module_that_is_to_be_run_exists(page: Path) -> None:
    named = set(re.findall(r"python -m ((?:bench|ops|emulators|tests)[a-z_.]*)(?![A-Za-z_.])", page.read_text("utf-8")))
    paths = [ROOT / name.replace(".", "/") for name in sorted(named)]
    assert [
        path for path in paths if not (path / "__main__.py").exists() and not path.with_suffix(".py").exists()
    ] == []


@pytest.mark.parametrize(("name", "folder"), [("README.md", "docs"), ("emulators.md", "docs/emulators")])
def test_an_index_leads_to_every_page(name: str, folder: str) -> None:
    index = ROOT / "docs" / name
    led_to = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page for page in (ROOT / folder).glob("*.md") if page != index}
    assert sorted(page.name for page in pages - led_to) == []


def test_each_word_of_the_glossary_is_one_of_the_code() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    words = {word.rpartition(".")[2] for row in rows for word in re.findall(r"`([\w.]+)`", row)}
    code = "\n".join(file.read_text("utf-8") for file in ROOT.glob("[!.]*/**/*.py") if "tests" not in file.parts)
    assert len(words) > 20
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", code)] == []
