# SPDX-License-Identifier: Apache-2.0
"""The app for everybody: by keyboard alone, for screen readers, on the smallest phone, in both languages, by night."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.rounds import LONG
from tests.web.browsing import AXE, Visitor, picture, violations

Visit = Callable[..., Visitor]
pytestmark = pytest.mark.only_on("sqlite")
SMALLEST, LARGE = {"width": 320, "height": 640}, {"width": 1280, "height": 800}
LOOKS = [
    pytest.param(SMALLEST, "light", id="phone-light"),
    pytest.param(LARGE, "dark", id="desktop-dark"),
    *([pytest.param(SMALLEST, "dark", id="phone-dark"), pytest.param(LARGE, "light", id="desktop-light")] * LONG),
]
"""Each size and each colour scheme in every run, each with each in `make prove-rounds`."""
OWN_UID = """async () => {
  const {state} = await import(document.querySelector('script').src.replace('main.js', 'app/state.js'));
  return state.me.uid;
}"""
WATCH_LAYOUT = """
globalThis.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({sources}) =>
  sources.map(({node}) => node?.className || node?.nodeName)))).observe({type: 'layout-shift', buffered: true});
"""

if not AXE.exists():
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("axe-core is not installed (make test), which is a failure in CI")
    pytest.skip("axe-core is not installed (make test)", allow_module_level=True)


def is_within(page: Page) -> bool:
    """Nothing reaches beyond the window's width."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def cut_choices(page: Page) -> list[str]:
    """What is chosen in a list of choices that is too narrow for it."""
    return list(
        page.evaluate(
            """[...document.querySelectorAll('select')].filter((select) => {
                 const chosen = select.selectedOptions[0].cloneNode(true);
                 const whole = Object.assign(select.cloneNode(false), {style: 'width: max-content; position: fixed'});
                 whole.replaceChildren(chosen);
                 select.after(whole);
                 const cut = whole.offsetWidth > select.offsetWidth;
                 whole.remove();
                 return cut;
               }).map((select) => select.selectedOptions[0].text)"""
        )
    )


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS)
def test_no_screen_has_a_barrier(visit: Visit, scheme: str, viewport: dict[str, int], tmp_path: Path) -> None:
    ann = visit("Ann", color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    ben = visit("Ben").register()
    found: dict[str, Any] = {}

    def judge(screen: str) -> None:
        found[screen] = [*violations(ann.page), *([] if is_within(ann.page) else ["too wide"]), *cut_choices(ann.page)]

    ann.page.goto(ann.origin)
    ann.see("Begin with your number")
    judge("welcome")
    ann.click("I have an email or login")
    judge("login")
    ann.register()
    judge("no chats")
    ann.find(ben.number)
    judge("empty chat")
    ann.write("Hello")
    ben.open_chat("Ann")
    ben.write("Look:")
    ben.choose(picture(tmp_path))
    ben.click("Send")
    ann.choose(picture(tmp_path))
    judge("tray")
    ann.click("Send")
    ann.see("Not seen yet")
    judge("chat")
    ann.click(ann.page.get_by_role("main").get_by_role("button", name="More", exact=True))
    judge("menu")
    ann.page.keyboard.press("Escape")
    ann.click(ann.page.get_by_role("button", name="Tap to see it once"))
    ann.see("It is gone from the server")
    judge("viewer")
    ann.click("Close")
    ann.page.goto(f"{ann.origin}/#/people")
    ann.see("Find by number")
    judge("people")
    ann.click("New group")
    judge("new group")
    ann.click("Close")
    ann.click("Invite somebody")
    ann.see("Copy the link")
    judge("invitation")
    ann.click("Close")
    ann.page.goto(f"{ann.origin}/#/me")
    ann.see("Privacy")
    judge("me")
    assert {screen: faults for screen, faults in found.items() if faults} == {}


def test_a_picture_is_sent_and_seen_by_keyboard_alone(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann"), visit("Ben").register()

    def tab_to(name: str, most: int = 40) -> None:
        for _ in range(most):
            ann.page.keyboard.press("Tab")
            focused = ann.page.evaluate(
                "(() => { const it = document.activeElement; return it.labels?.[0]?.firstChild?.textContent"
                " ?? it.ariaLabel ?? it.textContent.trim(); })()"
            )
            if focused == name:
                outline = ann.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid", f"{name}: focus is not to be seen"
                return
        raise AssertionError(f"{name} is not reached")

    # A browser asks the test for files from now on; it would be too late when the key is pressed.
    ann.page.on("filechooser", lambda _: None)
    keyboard = ann.page.keyboard
    ann.page.goto(ann.origin)
    ann.see("Begin with your number")
    keyboard.type("Ann")
    tab_to("Country")
    keyboard.type("China")
    tab_to("Phone number")
    keyboard.type(ann.number)
    keyboard.press("Enter")
    ann.see("No chats yet")
    tab_to("People")
    keyboard.press("Enter")
    ann.see("Find by number")
    tab_to("Phone number")
    keyboard.type(ben.number)
    keyboard.press("Enter")
    ann.see("Add as friend")
    tab_to("Open chat")
    keyboard.press("Enter")
    ann.see("Nothing said yet")
    tab_to("Choose pictures")
    with ann.page.expect_file_chooser() as chooser:
        keyboard.press("Enter")
    chooser.value.set_files(picture(tmp_path))
    expect(ann.page.get_by_label("A few words with it")).to_be_focused()
    keyboard.type("By keyboard")
    keyboard.press("Enter")
    ann.see("Not seen yet")
    ben.open_chat("Ann")
    ben.choose(picture(tmp_path))
    ben.click("Send")
    ann.see("Tap to see it once")
    keyboard.press("Shift+Tab")
    for _ in range(12):
        if "Tap to see it once" in ann.page.evaluate("document.activeElement.textContent"):
            break
        keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    ann.see("It is gone from the server")
    keyboard.press("Escape")
    expect(ann.page.locator(".viewer")).to_have_count(0)
    ann.see("You have seen this")


@pytest.mark.parametrize("viewport", [SMALLEST, LARGE], ids=["phone", "desktop"])
def test_nothing_jumps_while_a_screen_comes(visit: Visit, viewport: dict[str, int], tmp_path: Path) -> None:
    ann, ben = visit("Ann", viewport=viewport).register(), visit("Ben").register()
    ben.find(ann.number)
    ben.choose(picture(tmp_path))
    ben.click("Send")
    ann.see("New picture")
    ann.page.add_init_script(WATCH_LAYOUT)
    uid = ben.page.evaluate(OWN_UID)
    moved = {}
    for path, last in {
        "chats": "New picture",
        f"chats/{uid}": "Tap to see it once",
        "people": "Invite somebody",
        "me": "Leave",
    }.items():
        ann.page.goto(f"{ann.origin}/#/{path}")
        ann.page.reload()
        ann.see(last)
        ann.page.wait_for_load_state("networkidle")
        moved[path] = ann.page.evaluate("shifts")
    assert {path: shifts for path, shifts in moved.items() if shifts} == {}


def test_a_chinese_reader_finds_everything_in_chinese(visit: Visit) -> None:
    ben = visit("Ben").register()
    ann = visit("安", locale="zh-CN")
    ann.page.goto(ann.origin)
    expect(ann.page.locator("html")).to_have_attribute("lang", "zh-CN")
    ann.page.get_by_label("你的名字").fill("安")
    ann.page.get_by_label("手机号").fill(ann.number)
    ann.click("开始")
    ann.see("还没有聊天")
    ann.click(ann.page.get_by_role("link", name="查找朋友").first)
    ann.page.get_by_label("手机号").fill(ben.number)
    ann.click("查找")
    ann.click(ann.page.get_by_role("status").get_by_role("link", name="打开聊天"))
    ann.page.get_by_label("消息", exact=True).last.fill("你好")
    ann.page.keyboard.press("Enter")
    ben.open_chat("安")
    ben.see("你好")
    ann.see("今天")
    shown = (
        ann.page.locator("body")
        .inner_text()
        .replace("Glimpse", "")
        .replace("Ben", "")
        .replace("B\n", "")
        .replace("AM", "")
    )
    assert not [letter for letter in shown if letter.isascii() and letter.isalpha()]
    ann.place("我")
    ann.page.get_by_label("语言").select_option("en")
    ann.see("Privacy")
    ann.page.reload()
    ann.see("Privacy")
