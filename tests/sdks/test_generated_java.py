# SPDX-License-Identifier: Apache-2.0
"""The clients that openapi-generator makes of the interface description for Kotlin and Swift: nothing gets lost.

What each function takes and answers is compared with the description. Neither is run; where Node's packages are
installed (`make test-sdks`), Kotlin's compiler compiles the types.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from handlers.openapi import document, document_bytes, resolve
from tests.sdks.launching import NODE, PYTHON
from tests.support import contract, java
from tests.support.engines import ON_SQLITE

HARMLESS = (
    "OpenAPI 3.1 support is still in beta",
    "(reserved word) cannot be used as model name. Renamed to",
    "Failed to get the schema name: null",  # of every `additionalProperties` that is true or false
)
FREE_FORM = {"OtherEvent", "AccountRetrievedEvent", "Export"}
"""Schemas with members that the description leaves open."""
OF_FORMS = {"ImageForm"}
"""Its members are parameters."""
ANY = "any"
KOTLINC = NODE / "node_modules/kotlin-compiler/bin/kotlinc"
SECONDS = 300

pytestmark = [ON_SQLITE, pytest.mark.skipif(bool(java.MISSING), reason="Java is not installed (make test-deps)")]


@dataclass(frozen=True, slots=True)
class Language:
    """How a generator writes what the description has. `function` finds a name, its parameters and its answer."""

    name: str
    options: str
    models: str
    types: dict[str, str]
    nothing: str
    function: str
    member: str
    untyped: str


KOTLIN = Language(
    name="kotlin",
    options="serializationLibrary=gson",
    models="src/main/kotlin/org/openapitools/client/models",
    types={"int64": "Long", "integer": "Int", "string": "String", "binary": "java.io.File"},
    nothing="Unit",
    function=r"^    fun (\w+)\((.*)\) : (.+) \{$",
    member=r"^    val `?\w+`?: (.+)$",
    untyped="Any",
)
SWIFT = Language(
    name="swift6",
    options="responseAs=AsyncAwait",
    models="Sources/OpenAPIClient/Models",
    types={"int64": "Int64", "integer": "Int", "string": "String", "binary": "URL"},
    nothing="",
    function=r"^    open class func (\w+)\((.*)apiConfiguration: .+\) async throws\(ErrorResponse\)(?: -> (.+))? \{$",
    member=r"^    public var \w+: (.+)$",
    untyped="JSONValue",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A client as files, and what the generator said."""

    language: Language
    folder: Path
    said: str

    def models(self) -> dict[str, str]:
        return {file.stem: file.read_text() for file in (self.folder / self.language.models).iterdir()}

    def functions(self) -> dict[str, tuple[dict[str, str], str]]:
        """By name: each parameter with its type, and the type of the answer. Kotlin writes each in three forms."""
        text = "\n".join(file.read_text() for file in self.folder.rglob("*A[Pp][Ii].*"))
        found = re.findall(self.language.function, text.replace("kotlin.", ""), re.MULTILINE)
        return {
            name: (dict(re.findall(r"(\w+): ([\w.]+)", given)), answer)
            for name, given, answer in found
            if not name.endswith(("WithHttpInfo", "RequestConfig"))
        }


@pytest.fixture(scope="module", params=[KOTLIN, SWIFT], ids=lambda language: language.name)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(request.param, tmp_path_factory.mktemp("made"))


def make(language: Language, folder: Path) -> Made:
    description, client = folder / "openapi.json", folder / "client"
    description.write_bytes(document_bytes())
    command = [str(PYTHON.with_name("openapi-generator-cli")), "generate", "-g", language.name, "-i", str(description)]
    options = ["-o", str(client), f"--additional-properties={language.options}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Made(language, client, done.stdout + done.stderr)


def test_nothing_is_lost_with_a_warning(made: Made) -> None:
    warnings = [line for line in made.said.splitlines() if "WARN" in line or "ERROR" in line]
    assert [line for line in warnings if not any(text in line for text in HARMLESS)] == []


def test_every_operation_takes_and_answers_what_is_described(made: Made) -> None:
    functions = made.functions()
    assert functions.keys() == contract.operations().keys()
    for name, operation in contract.operations().items():
        taken, answer = functions[name]
        expected = {camel(each): kind(schema, made.language) for each, schema in inputs(operation).items()}
        assert taken.keys() == expected.keys(), name
        assert {each: type_ for each, type_ in expected.items() if type_ not in (ANY, taken[each])} == {}, (name, taken)
        assert output(operation, made.language) in (ANY, answer), name


def test_every_member_of_every_schema_has_a_type(made: Made) -> None:
    models, untyped = made.models(), set()
    for name, schema in document()["components"]["schemas"].items():
        if schema.get("properties") and name not in OF_FORMS:
            members = re.findall(made.language.member, models[name], re.MULTILINE)
            assert len(members) == len(schema["properties"]), name
            untyped |= {name} if any(made.language.untyped in member for member in members) else set()
    assert untyped == FREE_FORM


@pytest.mark.skipif(not KOTLINC.exists(), reason="no Kotlin compiler is installed (make test-sdks)")
def test_the_compiler_takes_what_kotlin_has_of_every_schema(tmp_path: Path) -> None:
    models = make(KOTLIN, tmp_path).folder / KOTLIN.models
    command = ["bash", str(KOTLINC), "-classpath", str(java.GSON), str(models), "-d", str(tmp_path / "models.jar")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr


def inputs(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parameters of an operation and its body, or the members of its form, each with its schema."""
    parameters = [resolve(each) for each in operation.get("parameters", ())]
    found = {each["name"]: each["schema"] for each in parameters}
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        if media == "multipart/form-data":
            found |= resolve(body["schema"])["properties"]
        else:
            found[body["schema"].get("$ref", "/body").rpartition("/")[2]] = body["schema"]
    return found


def output(operation: dict[str, Any], language: Language) -> str:
    replies = [reply for status, reply in sorted(operation["responses"].items()) if status.startswith(("1", "2"))]
    kinds = {kind(body["schema"], language) for reply in replies for body in reply.get("content", {}).values()}
    assert len(kinds) <= 1, (operation["operationId"], "has two types of answers, of which a generator takes the first")
    return kinds.pop() if kinds else language.nothing


def kind(schema: dict[str, Any], language: Language) -> str:
    """What a schema is called there; ANY for what gets a name of the generator's own."""
    meant = resolve(schema)
    if meant.get("type") == "object":
        return schema["$ref"].rpartition("/")[2] if "$ref" in schema else ANY
    if "enum" in meant or "const" in meant:
        return ANY
    usual = meant["type"] if isinstance(meant["type"], str) else meant["type"][0]
    return language.types.get(meant.get("format", ""), language.types[usual])


def camel(name: str) -> str:
    first, *rest = re.split("[_-]", name)
    return first[0].lower() + first[1:] + "".join(word[0].upper() + word[1:] for word in rest)
