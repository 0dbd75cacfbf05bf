# SPDX-License-Identifier: Apache-2.0
"""Debian's Firefox without a window, by WebDriver BiDi (w3.org/TR/webdriver-bidi), which it speaks by itself."""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support import PATIENCE
from tests.support.harness import wait_until

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
FIND = """(() => {
  const named = (each) => each.innerText.trim() === NAME || each.ariaLabel === NAME;
  const found = [...document.querySelectorAll('button, a')].find((each) => each.checkVisibility() && named(each));
  found?.click();
  return Boolean(found);
})()"""
FILL = """(() => {
  const field = document.querySelector('[name=' + NAME + ']');
  field.value = VALUE;
  for (const type of ['input', 'change']) field.dispatchEvent(new Event(type, {bubbles: true}));
})()"""


class Firefox:
    """One browser; `complaints` is what its consoles said."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])

    def call(self, method: str, **params: Any) -> Any:
        """The result of one command. Raises AssertionError when the browser refuses it."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(PATIENCE))
            if said.get("type") == "event" and said["params"].get("level") in ("error", "warn"):
                self.complaints.append(said["params"]["text"])
            if said.get("id") == number:
                assert said["type"] == "success", said
                return said["result"]

    def new_person(self, url: str) -> "Tab":
        """A tab in a container of its own, which shares nothing with the others."""
        user = self.call("browser.createUserContext")["userContext"]
        context = self.call("browsingContext.create", type="tab", userContext=user)["context"]
        self.call("browsingContext.navigate", context=context, url=url, wait="complete")
        return Tab(self, context)


@dataclass(frozen=True)
class Tab:
    firefox: Firefox
    context: str

    def run(self, script: str) -> Any:
        """What a script comes to; None where it fails, since what it looks for may come yet."""
        said = self.firefox.call(
            "script.evaluate", expression=script, target={"context": self.context}, awaitPromise=True
        )
        return said["result"].get("value") if said["type"] == "success" else None

    def until(self, script: str) -> None:
        wait_until(lambda: bool(self.run(script)), what=script, pause=0.1)

    def see(self, text: str) -> None:
        self.until(f"document.body.innerText.includes({json.dumps(text)})")

    def click(self, name: str) -> None:
        self.until(FIND.replace("NAME", json.dumps(name)))

    def fill(self, name: str, value: str) -> None:
        self.until(f"Boolean(document.querySelector('[name={name}]'))")
        self.run(FILL.replace("NAME", json.dumps(name)).replace("VALUE", json.dumps(value)))


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """With a profile in this folder, for the length of a block."""
    assert PROGRAM
    command = [PROGRAM, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
    said = folder / "WebDriverBiDiServer.json"
    process = subprocess.Popen(
        command, env={**os.environ, "HOME": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: said.exists() and said.read_text().endswith("}"), what="Firefox", pause=0.1)
        where = json.loads(said.read_text())
        with connect(f"ws://{where['ws_host']}:{where['ws_port']}/session", max_size=None) as socket:
            yield Firefox(socket)
    finally:
        process.terminate()
        process.wait(PATIENCE)
