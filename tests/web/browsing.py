# SPDX-License-Identifier: Apache-2.0
"""Chromium, and a person who uses the web app in a profile of their own as people do: by what is to be read there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.support import PATIENCE
from tests.support.harness import phone_number
from tests.support.pictures import png

expect.set_options(timeout=PATIENCE * 1000)

AXE = Path(__file__).parent / "node/node_modules/axe-core/axe.min.js"
WATCH_POLICY = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

WITHOUT_SOCKET = """
globalThis.WebSocket = class {
  constructor() { setTimeout(() => this.onclose({code: 1006})); }
  close() {}
};"""


@dataclass
class Visitor:
    """A person at a browser. `complaints` is what went wrong there, whatever the person saw of it."""

    name: str
    number: str
    context: BrowserContext
    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    clicks: int = 0
    forgiven: tuple[str, ...] = ()

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in self.forgiven):
            self.complaints.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def requested(self, url: str) -> None:
        if not url.startswith((self.origin, "blob:", "data:", self.origin.replace("http", "ws"))):
            self.complaints.append(f"another origin: {url}")

    def click(self, target: str | Locator) -> None:
        """Counted as a person's; a text is a button's or link's."""
        self.clicks += 1
        (self.button(target) if isinstance(target, str) else target).click()

    def button(self, name: str) -> Locator:
        role = self.page.get_by_role
        return role("button", name=name, exact=True).or_(role("link", name=name, exact=True)).first

    def place(self, name: str) -> None:
        """One of the places of the navigation, whatever waits there."""
        self.click(self.page.get_by_role("navigation").get_by_role("link", name=name))

    def see(self, text: str) -> None:
        expect(self.page.get_by_text(text).locator("visible=true").first).to_be_visible()

    def register(self) -> "Visitor":
        """From the first page into the app."""
        self.page.goto(self.origin)
        self.page.get_by_label("Your name").fill(self.name)
        self.page.get_by_label("Country").select_option("CN")
        self.page.get_by_label("Phone number").fill(self.number)
        self.click("Begin")
        self.see("No chats yet")
        return self

    def find(self, number: str) -> None:
        """Open the chat with whoever has this number."""
        self.click(self.page.get_by_role("link", name="Find people").first)
        self.page.get_by_label("Country").select_option("CN")
        self.page.get_by_label("Phone number").fill(number)
        self.click("Find")
        self.click(self.page.get_by_role("status").get_by_role("link", name="Open chat"))

    def write(self, text: str) -> None:
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def choose(self, *files: Path) -> None:
        """Pictures for the chat that is open, not yet sent."""
        with self.page.expect_file_chooser() as chooser:
            self.click("Choose pictures")
        chooser.value.set_files(list(files))
        expect(self.page.locator(".picked li")).to_have_count(len(files))

    def open_chat(self, name: str) -> None:
        self.click(self.page.locator(".chat", has_text=name))

    def no_complaints(self) -> None:
        assert not self.complaints, f"{self.name}: {self.complaints}"


@contextmanager
def visitor(browser: Browser, origin: str, name: str, **how: Any) -> Iterator[Visitor]:
    """A profile of its own, closed at the end; whatever the console said is a failure."""
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 800}, **how})
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(WATCH_POLICY)
    page = context.new_page()
    found = Visitor(name, phone_number(), context, page, origin)
    page.on("console", found.hear)
    page.on("pageerror", lambda error: found.complaints.append(f"uncaught: {error}"))
    page.on("request", lambda request: found.requested(request.url))
    try:
        yield found
    finally:
        context.close()
    found.no_complaints()


def large_picture(folder: Path) -> Path:
    """Of noise, which nothing makes smaller: 2.4 MB, so that it goes in pieces."""
    file = folder / "large.png"
    Image.frombytes("RGB", (1000, 800), os.urandom(3 * 1000 * 800)).save(file)
    return file


def picture(folder: Path, name: str = "picture.png", side: int = 64) -> Path:
    """A file that a browser can show."""
    file = folder / name
    file.write_bytes(png(side, side))
    return file


def violations(page: Page) -> list[Any]:
    """What axe-core finds wrong on the page as it is, by rule with the elements."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found["violations"]]
