# SPDX-License-Identifier: Apache-2.0
"""A whole life by the library, by both of its clients: everything that an app does, against a running server."""

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from glimpse_client import Activation, AsyncClient, Client, Credentials, CredentialsMissing, Refused, Session

from tests.support.engines import NewFolder
from tests.support.harness import Server, phone_number, running
from tests.support.pictures import jpeg, png

pytestmark = pytest.mark.anyio

CODE = "123456"
KINDS = [Client, AsyncClient]


@pytest.fixture(scope="module")
def numbers() -> dict[str, str]:
    return {f"+86{phone_number()}": CODE for _ in KINDS}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, numbers: dict[str, str]) -> Iterator[Server]:
    with running(new_folder("life"), {"activation": {"test_numbers": numbers}}) as server:
        yield server
        assert server.failures() == []


async def got(value: Any) -> Any:
    """What an operation of either client gives."""
    if hasattr(value, "__anext__"):
        return [each async for each in value]
    return await value if inspect.isawaitable(value) else list(value) if isinstance(value, Iterator) else value


class Phone:
    """Either client, each operation of which is awaited."""

    def __init__(
        self, kind: type[Client] | type[AsyncClient], server: Server, session: Session | None = None, **options: Any
    ) -> None:
        self.client: Any = kind(f"http://127.0.0.1:{server.port}", session, **options)

    def __getattr__(self, operation: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await got(getattr(self.client, operation)(*args, **kwargs))

        return call

    @property
    def uid(self) -> int:
        return int(self.client.credentials.uid)

    async def over(self) -> None:
        """The time of its access token is over."""
        calls = self.client._calls
        calls.credentials = replace(calls.credentials, access_token="over")

    async def end(self) -> None:
        await got(self.client.aclose() if isinstance(self.client, AsyncClient) else self.client.close())


@pytest.mark.parametrize("kind", KINDS)
async def test_two_people_and_a_picture(kind: type[Client] | type[AsyncClient], server: Server, tmp_path: Path) -> None:
    ann, ben, bens_number = Phone(kind, server), Phone(kind, server), f"+86{phone_number()}"
    await ann.register(f"+86{phone_number()}", nickname="Ann")
    await ben.register(bens_number, nickname="Ben", device_type="ANDROID")
    moved: list[tuple[int, int]] = []

    picture = jpeg(500_000)
    said = {"caption": "hello", "ttl_seconds": 600, "thumbnail": png(), "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI"}
    sent = await ann.send_image(picture, to=bens_number, progress=lambda *part: moved.append(part), **said)
    assert moved[-1] == (500_000, 500_000)
    [waiting] = await ben.inbox()
    assert (waiting.message_key, waiting.caption, waiting.size) == (sent.message_key, "hello", 500_000)
    assert waiting.placeholder == said["placeholder"]
    assert await ben.thumbnail(waiting.message_key) == png()
    path = await ben.receive(waiting, tmp_path / "new" / "folders")
    assert path.read_bytes() == picture
    assert (await ann.image_status(sent.message_key)).receivers[0].state == "consumed"

    again = await ann.send_image(path, to=ben.uid)
    await ann.recall(again.message_key)
    with pytest.raises(Refused, match="image_recalled") as refused:
        await ben.receive(again.message_key, tmp_path)
    assert refused.value.status == 410
    assert names(tmp_path) == ["new"]
    named = await ann.send_image(picture, to=ben.uid)
    assert await ben.receive(named.message_key, path=tmp_path / "mine.jpg") == tmp_path / "mine.jpg"

    text = await ann.send_text("hello", to=ben.uid)
    assert (await ben.messages(with_uid=ann.uid))[0].text == "hello"
    [conversation] = await ben.conversations()
    assert (conversation.peer_uid, conversation.last.text) == (ann.uid, "hello")
    await ben.mark_read(text.message_id, with_uid=ann.uid)
    assert (await ben.conversations())[0].unread == 0
    await ann.end()
    await ben.end()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("kind", KINDS)
async def test_people_groups_and_devices(kind: type[Client] | type[AsyncClient], server: Server) -> None:
    ann, ben, bens_number = Phone(kind, server), Phone(kind, server), f"+86{phone_number()}"
    await ann.register(f"+86{phone_number()}", nickname="Ann")
    await ben.register(bens_number, nickname="Ben")

    assert [match.uid for match in await ann.discover([bens_number])] == [ben.uid]
    assert [await ann.befriend(ben.uid), await ben.befriend(ann.uid)] == ["requested", "friends"]
    assert [friend.nickname for friend in await ann.friends()] == ["Ben"]
    await ann.unfriend(ben.uid)
    assert await ann.friends() == []
    await ann.report("words", uid=ben.uid)

    made = await ann.create_group("climbing", [ben.uid])
    assert [group.name for group in await ben.groups("invited")] == ["climbing"]
    await ben.put_member(made.group_id, ben.uid)
    assert {member.nickname for member in (await ann.group(made.group_id)).members} == {"Ann", "Ben"}
    await ann.send_text("to all", group=made.group_id)
    assert [each.text for each in await ben.messages(group_id=made.group_id)] == ["to all"]
    await ben.remove_member(made.group_id, ben.uid)

    device = await ben.register_device("log", "some phone")
    assert (await ben.test_push(device)).outcome == "delivered"
    await ben.remove_device(device)

    await ann.block(ben.uid)
    assert [blocked.uid for blocked in await ann.blocks()] == [ben.uid]
    await ann.unblock(ben.uid)
    assert (await ann.update_me(discoverable=False)).discoverable is False
    assert await ann.request("GET", f"/v1/users/{ben.uid}") == {"uid": ben.uid, "nickname": "Ben"}
    await ann.end()
    await ben.end()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_account_is_got_back_exported_and_left(
    kind: type[Client] | type[AsyncClient], server: Server, numbers: dict[str, str], tmp_path: Path
) -> None:
    number = list(numbers)[KINDS.index(kind)]
    old, new = Phone(kind, server), Phone(kind, server)
    first = await old.register(number, nickname="Ann")
    activation = await new.register(number, nickname="Ann")
    assert (type(first), type(activation)) == (Credentials, Activation)
    with pytest.raises(Refused, match="code_incorrect") as refused:
        await new.activate(activation, "000000")
    assert refused.value.attempts_left == 4
    back = await new.activate(activation, CODE)
    assert (back.uid, back.retrieved) == (first.uid, True)
    assert back.ukey not in repr(back)
    with pytest.raises(Refused, match="unauthenticated"):
        await old.me()

    await new.export(tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_text())["profile"]["uid"] == first.uid
    await new.leave()
    with pytest.raises(CredentialsMissing):
        await new.me()
    await old.end()
    await new.end()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_account_with_a_password_tells_its_new_sessions(
    kind: type[Client] | type[AsyncClient], server: Server
) -> None:
    kept: list[Session] = []
    login = f"person{phone_number()}"
    phone, other = Phone(kind, server, keep=kept.append), Phone(kind, server)
    session = await phone.sign_up(login=login, password="correct horse")
    assert kept == [session]
    await other.log_in(login=login, password="correct horse")
    assert (await other.me()).login == login
    await phone.end()
    await other.end()


@pytest.mark.parametrize("kind", KINDS)
async def test_programs_that_share_a_session_renew_it_one_after_the_other(
    kind: type[Client] | type[AsyncClient], server: Server
) -> None:
    stored: list[Session] = []

    @contextmanager
    def alone() -> Iterator[Session]:
        yield stored[-1]

    first = Phone(kind, server, keep=stored.append, alone=alone)
    await first.sign_up(login=f"person{phone_number()}", password="correct horse")
    second = Phone(kind, server, stored[-1], keep=stored.append, alone=alone)
    for _ in range(2):
        await first.over()
        await first.me()
    await second.over()
    assert (await second.me()).uid == (await first.me()).uid
    assert len(stored) == 3
    await first.log_out()
    with pytest.raises(CredentialsMissing):
        await first.me()
    await first.end()
    await second.end()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_phone_gets_a_password_for_other_devices(
    kind: type[Client] | type[AsyncClient], server: Server
) -> None:
    phone, desk = Phone(kind, server), Phone(kind, server)
    await phone.register(f"+86{phone_number()}", nickname="Ann")
    email = f"ann{phone_number()}@example.org"
    await phone.add_password(email=email, password="correct horse")
    await desk.log_in(email=email, password="correct horse")
    assert (await desk.me()).uid == phone.uid
    await phone.end()
    await desk.end()


@pytest.mark.parametrize("given", [{}, {"to": 1, "group": 2}])
def test_a_picture_is_for_one_person_or_one_group(given: dict[str, int]) -> None:
    with Client(credentials=Credentials(1, "0" * 64, "x")) as client, pytest.raises(ValueError, match="one person"):
        client.send_image(b"x", **given)  # type: ignore[arg-type]


def test_the_address_is_the_argument_the_environment_or_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Client().url == "http://127.0.0.1:8080"
    monkeypatch.setenv("GLIMPSE_URL", "https://pictures.example.org")
    assert Client().url == "https://pictures.example.org"
    assert Client("https://other.example.org").url == "https://other.example.org"
