# SPDX-License-Identifier: Apache-2.0
# Made by generate_sync.py of the module of this name in glimpse_client.aio: change that one.
"""The client: every operation that an app needs, under the names of `/docs`."""

import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from glimpse_client.data import (
    Activation,
    Arrival,
    Blocked,
    Conversation,
    Credentials,
    Event,
    Friend,
    Group,
    GroupMade,
    GroupSummary,
    ImageStatus,
    Match,
    Member,
    Message,
    PendingImage,
    Profile,
    PushOutcome,
    Receipt,
    Sent,
    SentMessage,
    Session,
    read,
)
from glimpse_client.errors import Refused
from glimpse_client.files import Progress
from glimpse_client.platform_sync import on_disk
from glimpse_client.protocol import Tries, addressed, phone_hash
from glimpse_client.sync import images
from glimpse_client.sync.calls import Alone, Calls
from glimpse_client.sync.events import Following

T = TypeVar("T")

LOOPBACK = "http://127.0.0.1:8080"
PATIENCE = 60.0
"""Seconds for which one call is tried again without anything arriving."""
SILENCE = 25.0
"""Seconds: a living stream of events says something every 15."""


class Client:
    """One person's way to one server: nobody yet without `credentials`, which registering and logging in give.

    `url` is the server's address, else that in `GLIMPSE_URL`, else this machine's. Calls that may be repeated are, for
    `patience` seconds, with growing pauses and no sooner than the server says. Each may raise Refused, Unreachable and
    CredentialsMissing. `keep` is told each new session of an account with a password before it is used: store it.
    Programs that share a stored session must not renew it at once: `alone` makes a context in which this one may, and
    gives what is stored by then.
    """

    def __init__(
        self,
        url: str | None = None,
        credentials: Credentials | Session | None = None,
        *,
        keep: Callable[[Session], object] | None = None,
        alone: Alone = nullcontext,
        patience: float = PATIENCE,
        silence: float = SILENCE,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url or os.environ.get("GLIMPSE_URL") or LOOPBACK
        self._silence = silence
        self._calls = Calls(
            self.url, credentials=credentials, keep=keep, alone=alone, patience=patience, transport=transport
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._calls.http.close()

    @property
    def credentials(self) -> Credentials | Session | None:
        """Who is calling. Keep them safe: they are the account."""
        return self._calls.credentials

    def request(self, method: str, path: str, document: Any = None, **options: Any) -> Any:
        """Any operation of `/docs`: what the JSON of its answer says.

        `params` is its query; say `repeatable=False` for one that must not go twice.
        """
        return self._calls.ask_json(method, path, document, **options)

    # Becoming somebody

    def register(self, phone_num: str, *, nickname: str, **more: Any) -> Credentials | Activation:
        """Register a number in E.164 with its plus. `more`: `cid`, `push_provider`, `device_type`, `terms_version`.

        An Activation means that a code is on its way: hand it to `activate`.
        """
        document = {"phone_num": phone_num, "nickname": nickname, **more}
        found = self._calls.ask_json(
            "POST", "/v1/register", document, headers={"Idempotency-Key": uuid4().hex}, anonymous=True
        )
        return read(Activation, found) if "activation_id" in found else self._become(found)

    def activate(self, activation: Activation, code: str) -> Credentials:
        """Prove the number by its code. Raises Refused with `code_incorrect` and `attempts_left`."""
        path, key = f"/v1/activations/{activation.activation_id}", uuid4().hex
        headers = {"Idempotency-Key": key}
        return self._become(self._calls.ask_json("POST", path, {"code": code}, headers=headers, anonymous=True))

    def resend_code(self, activation: Activation) -> Activation:
        path = f"/v1/activations/{activation.activation_id}/resend"
        return read(Activation, self._calls.ask_json("POST", path, repeatable=False, anonymous=True))

    def sign_up(self, *, password: str, **who: Any) -> Session:
        """An account without a phone: `email` or `login`, and `nickname`. After a lost answer, log in."""
        document = {"password": password, **who}
        return self._begin(self._calls.ask_json("POST", "/v1/signup", document, repeatable=False, anonymous=True))

    def log_in(self, *, password: str, **who: Any) -> Session:
        """With `email` or `login`."""
        document = {"password": password, **who}
        return self._begin(self._calls.ask_json("POST", "/v1/login", document, anonymous=True))

    def add_password(self, *, password: str, **who: Any) -> None:
        """An `email` or `login` for an account with a phone, for `log_in` on other devices. Only its ukey may do so."""
        self._calls.ask("PUT", "/v1/me/credentials", body=lambda: {"json": {"password": password, **who}})

    def log_out(self) -> None:
        """End this session of an account with a password."""
        self._calls.ask("POST", "/v1/logout")
        self._calls.credentials = None

    def me(self) -> Profile:
        return read(Profile, self._calls.ask_json("GET", "/v1/me"))

    def update_me(self, **changes: Any) -> Profile:
        """Change `nickname`, `discoverable` or `read_receipts`."""
        return read(Profile, self._calls.ask_json("PATCH", "/v1/me", changes))

    def leave(self) -> None:
        """End the account and everything in it. There is no way back."""
        self._calls.ask("DELETE", "/v1/me")
        self._calls.credentials = None

    def export(self, path: str | Path) -> None:
        """All that is kept about the caller, as a JSON document, into a file that nobody else can read."""
        reply = self._calls.ask("GET", "/v1/me/export")

        def write() -> None:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(reply.content)

        on_disk(write)

    # Images

    def send_image(
        self,
        picture: bytes | str | Path,
        *,
        to: int | str | None = None,
        group: int | None = None,
        caption: str | None = None,
        ttl_seconds: int | None = None,
        thumbnail: bytes | None = None,
        placeholder: str | None = None,
        idempotency_key: str | None = None,
        progress: Progress | None = None,
    ) -> Sent:
        """Send a picture, by its path or bytes, to a uid, a number such as +8613800138000, a phone hash, or a group.

        However often it is tried, it arrives once. An app that may be ended in between makes the `idempotency_key`
        itself, stores it with the picture, and calls again with both. `thumbnail` is a preview (JPEG, PNG or WebP) and
        `placeholder` a ThumbHash in base64, both seen before the picture is opened. Raises OSError for a file that
        cannot be read.
        """
        said = {"caption": caption, "ttl_seconds": ttl_seconds, "placeholder": placeholder}
        fields = addressed(to, group) | {name: str(value) for name, value in said.items() if value is not None}
        return images.send(
            self._calls,
            picture,
            fields,
            thumbnail=thumbnail,
            idempotency_key=idempotency_key,
            progress=progress,
        )

    def image_status(self, message_key: str) -> ImageStatus:
        """What became of an image that the caller has sent."""
        found = self._calls.ask_json("GET", f"/v1/images/{message_key}/status")
        receivers = tuple(read(Receipt, each) for each in found["receivers"])
        return read(ImageStatus, {**found, "receivers": receivers})

    def recall(self, message_key: str) -> None:
        """Take back an image that the caller has sent and its receiver does not have yet."""
        self._calls.ask("DELETE", f"/v1/images/{message_key}")

    def inbox(self) -> Iterator[PendingImage]:
        """The images that wait for the caller, the oldest first."""
        for found in self._pages("/v1/inbox"):
            yield read(PendingImage, found)

    def receive(
        self,
        image: PendingImage | Arrival | str,
        folder: str | Path = ".",
        *,
        path: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Fetch an image, named by what told of it or by its message_key, into a folder or to a path; where it is now.

        The server is told that the image has arrived once file and name are synced to the disk, and then removes it. A
        broken transfer goes on where it stopped, in a later call too. Raises DamagedImage, OSError.
        """
        key = image if isinstance(image, str) else image.message_key
        place = Path(folder) if path is None else Path(path).parent
        name = None if path is None else Path(path).name
        return images.receive(self._calls, key, folder=place, name=name, progress=progress)

    def thumbnail(self, message_key: str) -> bytes:
        """The preview of an image that waits. Raises Refused with `no_thumbnail` where there is none."""
        reply = self._calls.ask("GET", f"/v1/images/{message_key}/thumbnail")
        return reply.content

    def acknowledge(self, message_key: str) -> None:
        """Say that an image is safe with an app that has fetched it by itself."""
        self._calls.ask("DELETE", f"/v1/images/{message_key}")

    def arrivals(self) -> Generator[Arrival, None, None]:
        """Every image that waits or comes, for ever. One that is not received is there again in the next call."""
        while True:
            cursor = self.event_cursor()
            waiting = [read(Arrival, vars(each)) for each in self.inbox()]
            for arrival in waiting:
                yield arrival
            known = {arrival.message_key for arrival in waiting}
            try:
                with closing(self.events(cursor)) as events:
                    for event in events:
                        if event.type == "image" and event.data.get("message_key", "") not in known | {""}:
                            yield read(Arrival, event.data)
            except Refused as refused:
                if refused.code != "cursor_expired":  # too long away: the inbox says what still waits
                    raise

    # Messages

    def send_text(
        self, text: str, *, to: int | None = None, group: int | None = None, idempotency_key: str | None = None
    ) -> SentMessage:
        """Send a text to a uid or a group, once however often it is tried."""
        key, place = idempotency_key or uuid4().hex, addressed(to, group)
        document = {"kind": "text", "text": text, **{name: int(value) for name, value in place.items()}}
        headers = {"Idempotency-Key": key}
        return read(SentMessage, self._calls.ask_json("POST", "/v1/messages", document, headers=headers))

    def messages(self, *, with_uid: int | None = None, group_id: int | None = None) -> Iterator[Message]:
        """What was said with a person or in a group, the newest first."""
        params = {"with_uid": with_uid} if group_id is None else {"group_id": group_id}
        for found in self._pages("/v1/messages", params, cursor="before"):
            yield read(Message, found)

    def conversations(self) -> Iterator[Conversation]:
        """People and groups, by the last thing said."""
        for found in self._pages("/v1/conversations", cursor="before"):
            last = found["last"]
            yield read(Conversation, {**found, "last": last and read(Message, last)})

    def mark_read(self, up_to: int, *, with_uid: int | None = None, group_id: int | None = None) -> None:
        """All up to this message_id is read."""
        conversation = f"g{group_id}" if with_uid is None else f"{with_uid}"
        self._calls.ask_json("PUT", f"/v1/conversations/{conversation}/read", {"up_to": up_to})

    # People

    def discover(self, phone_nums: Sequence[str]) -> list[Match]:
        """Which of these numbers (E.164 with plus, 500 at most) have an account whose owner lets it be found."""
        document = {"phone_hashes": [phone_hash(number) for number in phone_nums]}
        found = self._calls.ask_json("POST", "/v1/contacts/discover", document)
        return [read(Match, each) for each in found["matches"]]

    def friends(self, state: str = "friends") -> Iterator[Friend]:
        """`friends`, or requests that are `incoming` or `outgoing`."""
        for found in self._pages("/v1/friends", {"state": state}):
            yield read(Friend, found)

    def befriend(self, uid: int) -> str:
        """Ask somebody, or say yes to who has asked: `requested` or `friends`."""
        found = self._calls.ask_json("POST", "/v1/friends", {"uid": uid})
        return str(found["state"])

    def unfriend(self, uid: int) -> None:
        self._calls.ask("DELETE", f"/v1/friends/{uid}")

    def block(self, uid: int) -> None:
        """Hear no more of somebody, who cannot tell."""
        self._calls.ask("PUT", f"/v1/blocks/{uid}")

    def unblock(self, uid: int) -> None:
        self._calls.ask("DELETE", f"/v1/blocks/{uid}")

    def blocks(self) -> Iterator[Blocked]:
        for found in self._pages("/v1/blocks"):
            yield read(Blocked, found)

    def report(self, reason: str, *, uid: int | None = None, message_id: int | None = None) -> None:
        """Tell the operator of a person or a message."""
        about = {"uid": uid} if message_id is None else {"message_id": message_id}
        self._calls.ask_json("POST", "/v1/reports", {**about, "reason": reason}, repeatable=False)

    # Groups

    def groups(self, state: str = "member") -> Iterator[GroupSummary]:
        """Those that the caller is a `member` of, or `invited` to."""
        for found in self._pages("/v1/groups", {"state": state}):
            yield read(GroupSummary, found)

    def create_group(self, name: str, members: Sequence[int] = (), *, join: str = "invite") -> GroupMade:
        """The `members` are invited. After a lost answer look among `groups` before asking again."""
        document = {"name": name, "members": list(members), "join": join}
        return read(GroupMade, self._calls.ask_json("POST", "/v1/groups", document, repeatable=False))

    def group(self, group_id: int) -> Group:
        found = self._calls.ask_json("GET", f"/v1/groups/{group_id}")
        people = {name: tuple(read(Member, each) for each in found[name]) for name in ("members", "invited")}
        return read(Group, {**found, **people})

    def put_member(self, group_id: int, uid: int, **role: str) -> None:
        """Invite somebody, or come in oneself with one's own uid. `role`: `member` or `admin`."""
        self._calls.ask_json("PUT", f"/v1/groups/{group_id}/members/{uid}", role)

    def remove_member(self, group_id: int, uid: int) -> None:
        """Put somebody out, leave, or decline."""
        self._calls.ask("DELETE", f"/v1/groups/{group_id}/members/{uid}")

    # Devices

    def register_device(self, provider: str, token: str, **more: Any) -> int:
        """Where this person's notifications go; its device_id. `more`: `device_type`, `app`."""
        document = {"provider": provider, "token": token, **more}
        found = self._calls.ask_json("POST", "/v1/devices", document)
        return int(found["device_id"])

    def remove_device(self, device_id: int) -> None:
        self._calls.ask("DELETE", f"/v1/devices/{device_id}")

    def test_push(self, device_id: int) -> PushOutcome:
        path = f"/v1/devices/{device_id}/test-push"
        return read(PushOutcome, self._calls.ask_json("POST", path, repeatable=False))

    # Events

    def event_cursor(self) -> int:
        """Where the person's log stands now: what `events` is to go on from."""
        found = self._calls.ask_json("GET", "/v1/events")
        return int(found["next"])

    def events(self, after: int | None = None, *, patience: float = math.inf) -> Generator[Event, None, None]:
        """Every event after this one, once and in order, for ever: broken connections are opened again.

        Store `event.id` of what you have dealt with. Refused with `cursor_expired`: you were away for too long; read
        the lists again and begin at `event_cursor()`.
        """
        cursor = self.event_cursor() if after is None else after
        following = Following(self._calls, cursor, self._silence, Tries(patience))
        with closing(following.events()) as events:
            for event in events:
                yield event

    def _pages(
        self, path: str, params: Mapping[str, Any] | None = None, *, cursor: str = "after"
    ) -> Iterator[dict[str, Any]]:
        asked = dict(params or {})
        while True:
            page = self._calls.ask_json("GET", path, params=asked)
            for found in page["items"]:
                yield found
            if page["next"] is None:
                return
            asked[cursor] = page["next"]

    def _become(self, found: Mapping[str, Any]) -> Credentials:
        self._calls.credentials = credentials = read(Credentials, found)
        return credentials

    def _begin(self, found: Mapping[str, Any]) -> Session:
        session = read(Session, found)
        self._calls.begin(session)
        return session
