# SPDX-License-Identifier: Apache-2.0
"""docs/mobile.md: what its code calls is there, under these names, in the clients that are generated for it.

Kotlin is compiled where its compiler is installed (`make test-sdks`). The generated functions are given to it without
their bodies, which need OkHttp; Android's classes are declared in `android/`.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.sdks.launching import HERE
from tests.sdks.test_generated_java import KOTLIN, KOTLINC, SECONDS, SWIFT, Made, make
from tests.support import ROOT, java
from tests.support.engines import ON_SQLITE

PAGE = (ROOT / "docs" / "mobile.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLIENT = "org/openapitools/client"
INIT = re.compile(r"^    public init\((.*)\) \{$", re.MULTILINE)
ENUM = re.compile(r"^ +enum class (\w+)\(val value: kotlin.String\) \{(.*?)^     \}$", re.MULTILINE | re.DOTALL)

pytestmark = [ON_SQLITE, pytest.mark.skipif(bool(java.MISSING), reason="Java is not installed (make test-deps)")]


def blocks(kind: str) -> list[str]:
    return [source for found, source in BLOCK.findall(PAGE) if found == kind]


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(KOTLIN, tmp_path_factory.mktemp("kotlin"))


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(SWIFT, tmp_path_factory.mktemp("swift"))


def test_it_makes_the_clients_with_the_options_that_are_tried_here() -> None:
    for language in (KOTLIN, SWIFT):
        assert re.search(rf"-g {language.name} (?:.*\n?)*?.*--additional-properties={language.options}\n", PAGE)


def test_each_block_is_of_a_kind_that_is_judged() -> None:
    assert {kind for kind, _ in BLOCK.findall(PAGE)} == {"sh", "kotlin", "swift"}


def test_the_kotlin_names_what_is_generated(kotlin: Made) -> None:
    root, functions = kotlin.folder / "src/main/kotlin", kotlin.functions()
    infrastructure = "\n".join(file.read_text() for file in (root / CLIENT / "infrastructure").iterdir())
    for source in blocks("kotlin"):
        for room, name in re.findall(r"^import org\.openapitools\.client\.(\w+)\.(\w+)$", source, re.MULTILINE):
            known = (root / CLIENT / room / f"{name}.kt").exists() or f"class {name}(" in infrastructure
            assert known, f"{room}.{name}"
        for name in re.findall(r"(?:Api\(SERVER\)|\bimages)\.(\w+)\(", source):
            assert name in functions, name


def test_the_swift_names_what_is_generated(swift: Made) -> None:
    functions, models = swift.functions(), swift.models()
    called = 0
    for source in blocks("swift"):
        for name, given in re.findall(r"\b\w+API\.(\w+)\(([^()]*)\)", source):
            assert labels(given) == [each for each in functions[name][0] if each in labels(given)], (name, given)
            called += 1
        for name, given in re.findall(r"(?<![.\w])([A-Z]\w+)\(([^()]*)\)", source):
            if name in models:
                [taken] = INIT.findall(models[name])
                assert labels(given) == [each for each in labels(taken) if each in labels(given)], (name, given)
                called += 1
    assert called >= 10
    infrastructure = "\n".join(file.read_text() for file in swift.folder.rglob("Infrastructure/*.swift"))
    for member in re.findall(r"OpenAPIClientAPIConfiguration\.shared\.(\w+)", "\n".join(blocks("swift"))):
        assert f"public var {member}: " in infrastructure, member


def labels(given: str) -> list[str]:
    """The names of the parameters of a call or a declaration."""
    return re.findall(r"(?:^|, )(\w+): ", given)


@pytest.mark.skipif(not KOTLINC.exists(), reason="no Kotlin compiler is installed (make test-sdks)")
def test_the_compiler_takes_the_kotlin(kotlin: Made, tmp_path: Path) -> None:
    sources = [kotlin.folder / KOTLIN.models, HERE / "android"]
    for number, text in enumerate([infrastructure(), *map(without_bodies, apis(kotlin)), *blocks("kotlin")]):
        sources.append(tmp_path / f"source{number}.kt")
        sources[-1].write_text(text)
    command = ["bash", str(KOTLINC), "-nowarn", "-classpath", str(java.GSON), *map(str, sources)]
    output = ["-d", str(tmp_path / "app.jar")]
    done = subprocess.run([*command, *output], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr


def apis(kotlin: Made) -> list[str]:
    return [file.read_text() for file in (kotlin.folder / "src/main/kotlin" / CLIENT / "apis").iterdir()]


def without_bodies(api: str) -> str:
    """A class of the generated client as others see it."""
    [name] = re.findall(r"^open class (\w+)\(", api, re.MULTILINE)
    imports = re.findall(r"^import org\.openapitools\.client\.models\.\w+$", api, re.MULTILINE)
    cases = {enum: re.findall(r"(`?\w+`?)\(\"", body) for enum, body in ENUM.findall(api)}
    enums = [f"    enum class {enum} {{ {', '.join(names)} }}" for enum, names in cases.items()]
    plain = re.findall(r"^    fun (\w+)(\(.*\) : .+) \{$", api, re.MULTILINE)
    functions = [
        f"    fun {each}{rest} = TODO()" for each, rest in plain if not each.endswith(("WithHttpInfo", "RequestConfig"))
    ]
    head = ["package org.openapitools.client.apis", *imports, f"class {name}(basePath: String) {{"]
    return "\n".join([*head, *enums, *functions, "}"])


def infrastructure() -> str:
    """What the page uses of the client's own classes; that they are generated is another test."""
    return """package org.openapitools.client.infrastructure
object ApiClient { var username: String? = null; var password: String? = null }
open class ClientException(message: String? = null, val statusCode: Int = -1) : RuntimeException(message)
open class ServerException(message: String? = null, val statusCode: Int = -1) : RuntimeException(message)
"""
