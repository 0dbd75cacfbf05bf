# SPDX-License-Identifier: Apache-2.0
"""What builds and runs containers speaks of rooms and settings that there are, and of all that a server needs."""

import re
import tomllib
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from config.load import load
from config.sources import keys_of
from tests.support import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
IGNORED = (ROOT / ".dockerignore").read_text().split("\n")
ROOMS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"])
NOT_SERVED = {"bench", "emulators"}
COPIED = set(re.findall(r"^COPY (\S+)/ \1/$", DOCKERFILE, re.MULTILINE))
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]


def settings(text: str) -> set[str]:
    return {name.lower().replace("__", ".") for name in re.findall(r"\bGLIMPSE_([A-Z0-9_]+)", text)}


def test_the_image_has_every_room_that_a_server_imports() -> None:
    assert (ROOMS - NOT_SERVED) | {"web", "clients/js/src"} == COPIED


def test_what_is_copied_reaches_the_builder() -> None:
    let_in = {line[1:] for line in IGNORED if line.startswith("!")}
    files = {"server.py", "config.yaml", "pyproject.toml", "LICENSE", "requirements.lock"}
    assert let_in == COPIED | files
    assert not any(fnmatch("secrets/tls_key", line) for line in let_in)


@pytest.mark.parametrize("text", [DOCKERFILE, str(COMPOSE)], ids=["Dockerfile", "compose"])
def test_each_setting_is_one_that_exists(text: str) -> None:
    assert settings(text)
    assert settings(text) - set(keys_of(load().model_dump())) == set()


def test_the_image_runs_as_nobody_in_particular_and_says_whether_it_is_ready() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "/readyz" in last
    assert "pip" not in last


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_may_change_nothing_but_its_data(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [volume.partition(":")[2] for volume in service["volumes"]] == ["/var/lib/glimpse"]
    assert int(service["stop_grace_period"].removesuffix("s")) > load().server.drain_seconds


def test_nothing_is_reached_from_other_machines_as_it_stands() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_part_of_a_cluster_can_be_restarted_without_the_rest() -> None:
    cluster = {name: service for name, service in COMPOSE["services"].items() if service["profiles"] == ["cluster"]}
    holder = cluster.pop("loopback")
    assert holder["entrypoint"] == ["sleep", "infinity"]
    assert {service["network_mode"] for service in cluster.values()} == {"service:loopback"}


def test_every_secret_is_a_file_that_some_container_is_given() -> None:
    given = {secret for service in COMPOSE["services"].values() for secret in service.get("secrets", ())}
    assert given == set(COMPOSE["secrets"])
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()
