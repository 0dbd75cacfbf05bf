# SPDX-License-Identifier: Apache-2.0
"""Two people at two browsers: from the first page to a picture that was seen and is gone, and what goes beside it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.support.harness import Server, wait_until
from tests.web.browsing import WITHOUT_SOCKET, Visitor, picture

Visit = Callable[..., Visitor]
pytestmark = pytest.mark.only_on("sqlite")
PHONE = {"width": 390, "height": 780}
CLICKS = 12
CONTACTS = """(contacts) => Object.defineProperty(navigator, 'contacts', {value: {
  select: async (properties, {multiple}) => (properties.join() === 'tel' && multiple ? contacts : []),
}})"""
"""What the browser of a phone has (w3c.github.io/contact-picker), and a desk's has not."""


def test_a_picture_is_sent_seen_once_and_gone(visit: Visit, server: Server, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben", viewport=PHONE).register()
    ann.find(ben.number)
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ann.see("Not seen yet")
    ben.open_chat("Ann")
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    ben.see("It is gone from the server")
    assert ann.clicks + ben.clicks <= CLICKS
    expect(ben.page.get_by_role("img", name="Picture from Ann")).to_be_visible()
    ann.see("Seen, and gone")
    wait_until(lambda: server.stored_files() == [])
    ben.click("Close")
    ben.see("You have seen this")
    expect(ben.page.locator(".viewer")).to_have_count(0)


def test_a_number_with_its_plus_needs_no_country(visit: Visit) -> None:
    ann, ben = visit("Ann"), visit("Ben").register()
    ann.page.goto(ann.origin)
    ann.page.get_by_label("Your name").fill("Ann")
    ann.page.get_by_label("Country").select_option("GB")
    ann.page.get_by_label("Phone number").fill(f"+86 {ann.number}")
    ann.click("Begin")
    ann.see("No chats yet")
    ann.click(ann.page.get_by_role("link", name="Find people").first)
    ann.page.get_by_label("Country").select_option("GB")
    ann.page.get_by_label("Phone number").fill(f"+86 {ben.number}")
    ann.click("Find")
    ann.click(ann.page.get_by_role("status").get_by_role("link", name="Open chat"))
    ann.write("Here I am")
    ben.see("Here I am")


def test_people_are_found_among_the_contacts_that_are_picked(visit: Visit) -> None:
    ann, ben, cat = visit("Ann").register(), visit("Ben").register(), visit("Cat").register()
    ann.place("People")
    expect(ann.page.get_by_role("button", name="Invite somebody")).to_be_visible()
    expect(ann.page.get_by_role("button", name="From my contacts")).to_have_count(0)
    strangers = [{"tel": [f"+86 139 {number:04} 0000"]} for number in range(500)]
    spaced = f"+86 {ben.number[:3]} {ben.number[3:7]} {ben.number[7:]}"
    ann.page.evaluate(CONTACTS, [{"tel": ["1", spaced]}, *strangers, {"tel": []}, {"tel": [f"+86{cat.number}"]}])
    ann.place("Chats")
    ann.place("People")
    ann.click("From my contacts")
    found = ann.page.get_by_role("status").get_by_role("listitem")
    expect(found).to_have_count(2)
    expect(found.filter(has_text=f"Ben{spaced}")).to_be_visible()
    ann.click(found.filter(has_text="Cat").get_by_role("button", name="Add as friend"))
    expect(ann.page.locator(".block", has_text="You have asked").get_by_text("Cat")).to_be_visible()
    ann.page.evaluate("navigator.contacts.select = async () => [{tel: ['1']}]")
    ann.click("From my contacts")
    ann.see("None of these contacts can be found here.")


def test_a_picture_is_kept_nowhere_in_the_browser(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ben.open_chat("Ann")
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    ben.see("It is gone from the server")
    ben.click("Close")
    ben.page.evaluate("navigator.serviceWorker.ready")
    kept = ben.page.evaluate(
        """async () => (await Promise.all((await caches.keys()).map(async (name) =>
             (await (await caches.open(name)).keys()).map(({url}) => new URL(url).pathname)))).flat()"""
    )
    assert "/" in kept
    assert [path for path in kept if path != "/" and not path.startswith("/assets/")] == []
    assert ben.page.locator("img[src^='blob:']").count() == 0


def test_texts_go_both_ways_and_are_seen(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("Look at https://example.org/x there")
    expect(ben.page.locator(".chat .count")).to_have_text("1")
    ben.open_chat("Ann")
    link = ben.page.get_by_role("link", name="https://example.org/x", exact=True)
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(ann.page.locator(".message .seen")).to_have_count(1)
    expect(ben.page.locator(".chat .count")).to_have_count(0)
    ben.write("<b>bold</b>")
    ann.see("<b>bold</b>")
    ann.page.reload()
    ann.see("<b>bold</b>")
    expect(ann.page.locator(".message")).to_have_count(2)
    for number in range(12):
        ann.write(f"Line {number}\nand more")
    ann.see("Line 11")
    expect(ann.page.get_by_text("Line 11").last).to_be_in_viewport()
    expect(ann.page.get_by_label("Message", exact=True)).to_be_in_viewport()
    expect(ann.page.get_by_role("heading", name="Ben")).to_be_in_viewport()


def test_a_chat_stays_at_its_end_when_what_is_shown_grows(visit: Visit) -> None:
    ann, ben = visit("Ann", viewport=PHONE).register(), visit("Ben").register()
    ann.find(ben.number)
    for number in range(20):
        ann.write(f"Line {number}")
    last = ann.page.get_by_text("Line 19", exact=True)
    expect(last).to_be_in_viewport()
    grow = "document.querySelector('.message:last-child').style.paddingTop"
    ann.page.evaluate(f"{grow} = '40rem'")
    expect(last).to_be_in_viewport()
    ann.page.evaluate("document.querySelector('.messages').scrollBy(0, -40)")
    ann.page.evaluate(f"document.querySelector('.messages').scrollBy(0, 40); {grow} = '90rem'")
    expect(last).to_be_in_viewport()
    ann.page.evaluate("document.querySelector('.messages').scrollTo(0, 0)")
    expect(ann.page.get_by_text("Line 0", exact=True)).to_be_in_viewport()
    ben.open_chat("Ann")
    ben.write("And more")
    expect(ann.page.get_by_text("And more").last).to_be_attached()
    expect(ann.page.get_by_text("Line 0", exact=True)).to_be_in_viewport()


def test_a_picture_that_waits_does_not_stand_as_seen(visit: Visit, tmp_path: Path) -> None:
    """The chat was read; the picture was not opened."""
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("Look")
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ben.open_chat("Ann")
    expect(ann.page.locator(".message", has_text="Look").locator(".seen")).to_have_count(1)
    expect(ann.page.locator(".message", has_text="Not seen yet")).to_have_count(1)
    expect(ann.page.locator(".message .seen")).to_have_count(1)


def test_several_pictures_leave_at_once_and_one_can_be_left_out(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.choose(*(picture(tmp_path, f"{number}.png") for number in range(3)))
    ann.click("Leave out 1.png")
    ann.page.get_by_label("A few words with it").fill("From the hill")
    ann.click("Send")
    ben.open_chat("Ann")
    expect(ben.page.get_by_role("button", name="Tap to see it once")).to_have_count(2)
    ben.see("From the hill")


def test_a_picture_is_dropped_and_pasted(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    file = picture(tmp_path).read_bytes()
    give = """([bytes, target, type]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], `${type}.png`, {type: 'image/png'}));
      const how = {bubbles: true, cancelable: true};
      document.querySelector(target).dispatchEvent(type === 'drop'
        ? new DragEvent(type, {...how, dataTransfer: data}) : new ClipboardEvent(type, {...how, clipboardData: data}));
    }"""
    ann.page.evaluate(give, [list(file), ".messages", "drop"])
    expect(ann.page.locator(".picked li")).to_have_count(1)
    ann.page.evaluate(give, [list(file), "textarea", "paste"])
    expect(ann.page.locator(".picked li")).to_have_count(2)


def test_a_group_is_begun_entered_and_left(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("Shall we?")
    ann.place("People")
    ann.click("New group")
    ann.page.get_by_label("Name of the group").fill("Climbing")
    ann.page.get_by_role("checkbox", name="Ben").check()
    ann.click("Begin the group")
    expect(ann.page.get_by_role("heading", name="Climbing")).to_be_visible()
    expect(ann.page.locator(".chat", has_text="Climbing").get_by_text("Nothing said yet")).to_be_visible()
    ben.place("People")
    ben.see("Groups that invite you")
    ben.click("Join")
    expect(ben.page.get_by_role("heading", name="Climbing")).to_be_visible()
    ben.write("Here I am")
    ann.see("Here I am")
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    ben.see("It is gone from the server")
    ben.click("Close")
    ann.see("Seen, and gone")
    ann.page.locator(".message").last.hover()
    ann.click(ann.page.locator(".message").last.get_by_role("button", name="More about this message"))
    ann.click("Who has seen it")
    expect(ann.page.get_by_role("dialog", name="Who has seen it").get_by_text("Ben")).to_be_visible()
    ann.click("Close")
    ben.click(ben.page.get_by_role("main").get_by_role("button", name="More", exact=True))
    ben.click("About this group")
    ben.click("Leave the group")
    ben.click(ben.page.get_by_role("dialog", name="Leave this group?").get_by_role("button", name="Leave the group"))
    expect(ben.page.locator(".chat", has_text="Climbing")).to_have_count(0)


def test_an_invitation_link_makes_friends(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.place("People")
    ann.click("Invite somebody")
    expect(ann.page.get_by_role("img", name="The link as a QR code")).to_be_visible()
    ben.page.goto(ann.page.get_by_label("Link", exact=True).input_value())
    ben.see("Ann would like to share pictures with you.")
    ben.click("Add as friend")
    ann.click("Close")
    ann.click("Accept")
    expect(ann.page.locator(".block", has_text="Friends").get_by_text("Ben")).to_be_visible()
    ben.place("People")
    expect(ben.page.locator(".block", has_text="Friends").get_by_text("Ann")).to_be_visible()


def test_a_code_proves_a_number_that_is_known(visit: Visit, server: Server) -> None:
    ann, again = visit("Ann").register(), visit("Ann")
    again.page.goto(again.origin)
    again.page.get_by_label("Your name").fill("Ann")
    again.page.get_by_label("Country").select_option("CN")
    again.page.get_by_label("Phone number").fill(ann.number)
    again.click("Begin")
    again.see("Enter the code")
    log = server.data_dir / "outbox.log"
    wait_until(lambda: log.exists() and f"+86{ann.number}" in log.read_text(), what="the code")
    [code] = re.findall(rf"\+86{ann.number}.*?\b([0-9]{{6}})\b", log.read_text())
    again.forgiven = ("403 (Forbidden)",)
    again.page.get_by_label("Code").fill("000000" if code != "000000" else "111111")
    again.click("Confirm")
    again.see("That is not the code. 4 tries left.")
    again.page.get_by_label("Code").fill(code)
    again.click("Confirm")
    again.see("No chats yet")
    ann.forgiven = ("401 (Unauthorized)", "WebSocket")
    ann.see("Begin with your number")


def test_what_is_refused_opens_no_dialog_of_the_browser(visit: Visit) -> None:
    """Browsers ask for a name and a password themselves where Basic is offered."""
    ann = visit("Ann")
    ann.forgiven = ("401 (Unauthorized)",)
    ann.page.goto(ann.origin)
    ann.click("I have an email or login")
    ann.page.get_by_label("Email or login").fill(f"nobody{ann.number}")
    ann.page.get_by_label("Password").fill("not the password")
    with ann.page.expect_response(lambda reply: reply.status == 401) as refused:
        ann.click("Sign in")
    ann.see("That is not right. Look at what you typed.")
    assert refused.value.header_value("www-authenticate") == 'Bearer realm="glimpse"'


def test_no_text_becomes_markup_or_a_script(visit: Visit) -> None:
    """Trusted types: what nobody has vouched for is refused where a document would take it for code."""
    ann = visit("Ann").register()
    ann.forgiven = ("Trusted Type", "TrustedHTML", "TrustedScript", "policy: require-trusted-types-for")
    for script in ("document.body.innerHTML = '<b>x</b>'", "document.createElement('script').src = '/x.js'"):
        assert (
            ann.page.evaluate(f"(() => {{ try {{ {script}; }} catch (error) {{ return error.name; }} }})()")
            == "TypeError"
        )


def test_an_account_with_a_password_signs_in_out_and_leaves(visit: Visit) -> None:
    ann = visit("Ann")
    ann.page.goto(ann.origin)
    ann.click("I have an email or login")
    ann.click("Make an account without a number")
    ann.page.get_by_label("Your name").fill("Ann")
    ann.page.get_by_label("Email or login").fill(f"ann{ann.number}")
    ann.page.get_by_label("Password").fill("correct horse")
    ann.click("Make the account")
    ann.see("No chats yet")
    ann.place("Me")
    ann.click(ann.button("Sign out: Sign out"))
    ann.click(ann.page.get_by_role("dialog").get_by_role("button", name="Sign out"))
    ann.click("I have an email or login")
    ann.page.get_by_label("Email or login").fill(f"ann{ann.number}")
    ann.page.get_by_label("Password").fill("correct horse")
    ann.click("Sign in")
    ann.see("No chats yet")
    ann.place("Me")
    with ann.page.expect_download() as download:
        ann.click(ann.button("Download: My data"))
    assert download.value.suggested_filename.startswith("glimpse-")
    ann.click(ann.button("Leave: Leave"))
    ann.click(ann.page.get_by_role("dialog").get_by_role("button", name="Leave"))
    ann.see("Begin with your number")
    assert ann.page.evaluate("(async () => (await indexedDB.databases()).length)()") == 1


def test_a_password_is_added_for_another_device_and_all_others_are_ended(visit: Visit) -> None:
    ann, desk = visit("Ann").register(), visit("Ann")
    ann.place("Me")
    ann.click("Add: Add a password")
    ann.page.get_by_label("Email or login").fill(f"ann{ann.number}")
    ann.page.get_by_role("textbox", name="Password").fill("correct horse")
    ann.click(ann.page.get_by_role("dialog").get_by_role("button", name="Add", exact=True))
    expect(ann.page.get_by_role("dialog")).to_have_count(0)
    desk.page.goto(desk.origin)
    desk.click("I have an email or login")
    desk.page.get_by_label("Email or login").fill(f"ann{ann.number}")
    desk.page.get_by_role("textbox", name="Password").fill("correct horse")
    desk.click("Sign in")
    desk.see("No chats yet")
    desk.forgiven = ("401 (Unauthorized)", "WebSocket")
    ann.click("End them: Other sessions")
    ann.click(ann.page.get_by_role("dialog").get_by_role("button", name="End them"))
    expect(ann.page.get_by_role("dialog")).to_have_count(0)
    desk.place("Me")
    desk.see("Begin with your number")
    ann.place("People")
    ann.page.get_by_label("Phone number").fill(desk.number)
    ann.page.get_by_label("Country").select_option("CN")
    ann.click("Find")
    ann.see("Nobody with this number can be found here.")


def test_two_tabs_each_get_every_event(visit: Visit) -> None:
    """Also the one that comes second, when the other has kept how far the person is."""
    ann, ben = visit("Ann").register(), visit("Ben").register()
    second = ann.context.new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    second.add_init_script(WITHOUT_SOCKET)
    second.route(re.compile("/v1/events[?]after="), hold)
    with second.expect_request(re.compile("/v1/events[?]after=")):
        second.goto(ann.origin)
    ben.find(ann.number)
    ben.write("To both of you")
    expect(ann.page.locator(".chat", has_text="To both of you")).to_be_visible()
    for route in held:
        route.continue_()
    expect(second.locator(".chat", has_text="To both of you")).to_be_visible()


def test_two_tabs_share_one_refresh(visit: Visit, server: Server) -> None:
    ann = visit("Ann").register()
    end_token = """async () => {
      const {database} = await import(document.querySelector('script').src.replace('main.js', 'app/server.js'));
      const known = await database.get('credentials');
      await database.set('credentials', {...known, tokens: {...known.tokens, expires_at: 0}});
    }"""
    other = ann.context.new_page()
    refreshed: list[str] = []
    ann.context.on("request", lambda request: refreshed.append(request.url) if "/v1/tokens" in request.url else None)
    other.goto(ann.origin)
    expect(other.get_by_text("No chats yet")).to_be_visible()
    ann.page.evaluate(end_token)
    for page in (ann.page, other):
        page.get_by_role("link", name="People", exact=True).click()
        expect(page.get_by_role("heading", name="Find by number")).to_be_visible()
    for page in (ann.page, other):
        page.get_by_role("link", name="Me", exact=True).click()
        expect(page.get_by_role("heading", name="Privacy")).to_be_visible()
    assert refreshed == [f"{ann.origin}/v1/tokens/refresh"]
    assert server.failures() == []
