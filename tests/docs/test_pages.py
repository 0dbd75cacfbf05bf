# SPDX-License-Identifier: Apache-2.0
"""Every document: its lines are short, its links lead somewhere, and what it names exists: files, names of the code,
settings, paths of the interface, modules to be run, targets of make.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.load import load
from config.sources import RENAMED, keys_of
from handlers.routes import ROUTES
from tests.support import ROOT

PAGES = sorted(page for page in (*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")) if "node_modules" not in page.parts)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]*)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`(\w[\w./-]*\.(?:py|yaml|sql|html|json|toml|service|md))`")
ROOMS = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()}
SETTINGS = keys_of(load().model_dump())
NAME = re.compile(r"`([a-z_]+(?:\.[a-zA-Z_]+)+)\b(?![.(/-])")
VARIABLE = re.compile(r"\bGLIMPSE_([A-Z0-9_]+__[A-Z0-9_]+)")
PATH = re.compile(r"(?:\b(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )?(?<![\w.}])(/v1/(?:[\w{}-]+/?)*)")
OF_A_COMMAND = re.compile(r"(?<![\w./:~-])((?:clients|config|docs|handlers|ops|tests|web)/[\w./-]*\.[a-z]+)\b")
MADE_LATER = {"keys.json", "manifest.json", "glimpse.sql", "admin.token"}
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
def test_each_name_of_the_code_and_each_setting_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    first = ROOMS | {key.partition(".")[0] for key in SETTINGS}
    named = {name for name in NAME.findall(text) if name.partition(".")[0] in first and not FILE.match(f"`{name}`")}
    variables = {name.lower().replace("__", ".") for name in VARIABLE.findall(text)}
    known = MADE_LATER | RENAMED.keys()
    assert [name for name in sorted(named - known) if not is_name_of_code(name) and not is_setting(name)] == []
    assert [name for name in sorted(variables) if not is_setting(name)] == []


def is_name_of_code(name: str) -> bool:
    """Whether `room.module.Name`, `room.module` or, of a service, `module.function` is there."""
    *folders, last = name.split(".")
    place = "/".join(folders)
    if (ROOT / place / last).is_dir() or (ROOT / place / f"{last}.py").exists():
        return True
    modules = (ROOT / f"{place}.py", *ROOT.glob(f"services/**/{place}.py"))
    return any(re.search(rf"\b{last}\b", module.read_text("utf-8")) for module in modules if module.exists())


def is_setting(name: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for key in SETTINGS) or ".apps." in name


def test_a_name_that_nothing_has_would_be_seen() -> None:
    assert [is_setting(name) for name in ("limits.rates", "limits.rate")] == [True, False]
    assert [is_name_of_code(name) for name in ("storage.base", "storage.basis")] == [True, False]
    assert [is_path(method, "/v1/images") for method in ("", "POST", "PUT")] == [True, True, False]
    assert [is_path("", path) for path in ("/v1/images/KEY/status", "/v1/im/", "/v1/im")] == [True, False, False]


@each_page
def test_each_path_that_is_named_is_one_of_the_interface(page: Path) -> None:
    named = set(PATH.findall(page.read_text("utf-8")))
    assert [each for each in sorted(named) if not is_path(*each)] == []


def is_path(method: str, path: str) -> bool:
    """Whether a route has it, by this `method` if one is named; or goes on from it, where it ends with a slash."""
    routes = [re.sub(r"{\w+}", "[^/]+", route.path) for route in ROUTES if method in ("", route.method)]
    return any(route.startswith(path) if path.endswith("/") else re.fullmatch(route, path) for route in routes)


@each_page
def test_each_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = page.read_text("utf-8")
    named = re.findall(r"`make ([a-z][a-z-]*)", text) + re.findall(r"^make ([a-z][a-z-]*)", text, re.MULTILINE)
    assert sorted({*named} - targets) == []


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
