# SPDX-License-Identifier: Apache-2.0
"""`glimpse`: pictures and texts from a terminal. `glimpse --help` says what there is."""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from glimpse_client.command import terminal
from glimpse_client.command.accounts import Who, account_store, renewing
from glimpse_client.data import Activation, Credentials
from glimpse_client.errors import CredentialsMissing, GlimpseError, Refused
from glimpse_client.files import Progress as Report
from glimpse_client.sync.client import LOOPBACK, PATIENCE, Client

F = TypeVar("F", bound=Callable[..., Any])

FAILED, NOBODY, UNREACHABLE = 1, 3, 4
"""Exit codes: refused; nobody yet (register first); no answer. 2 is click's, for a wrong command line."""


class Place:
    """The server and the account that a command is about."""

    def __init__(self, url: str, account: str, quiet: bool) -> None:
        self.url = url.rstrip("/")
        self.account = account
        self.store = account_store()
        self.said = Console(stderr=True, quiet=quiet, markup=False)
        self.shown = Console(markup=False)

    def client(self, patience: float = PATIENCE) -> Client:
        """As the account. Raises CredentialsMissing."""
        who = self.store.get(self.url, self.account)
        if who is None:
            raise CredentialsMissing(
                f"no account {self.account!r} at {self.url}: glimpse --account {self.account} register +8613800138000, "
                "or login NAME"
            )
        keep = partial(self.store.put, self.url, self.account)
        alone = partial(renewing, self.store, self.url, self.account)
        return Client(self.url, who, keep=keep, alone=alone, patience=patience)

    def keep(self, who: Who) -> None:
        """Store this as the account. Whoever renews a session writes the same file."""
        with renewing(self.store, self.url, self.account):
            self.store.put(self.url, self.account, who)

    def forget(self) -> None:
        """Store nothing of the account any more."""
        with renewing(self.store, self.url, self.account):
            self.store.forget(self.url, self.account)

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Report]:
        """A bar which a transfer moves, where somebody looks."""
        if not self.said.is_terminal:
            yield lambda done, size: None  # noqa: ARG005
            return
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self.said, transient=True) as bars:
            task = bars.add_task(label, total=None)
            yield lambda done, size: bars.update(task, completed=done, total=size)

    def table(self, *columns: str) -> Table:
        return Table(*columns, box=None, pad_edge=False, header_style="bold")


def told(command: F) -> F:
    """A failure of the library as a line and an exit code."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except GlimpseError as error:
            click.echo(f"glimpse: {error}", err=True)
            sys.exit(
                NOBODY
                if isinstance(error, CredentialsMissing)
                else FAILED
                if isinstance(error, Refused)
                else UNREACHABLE
            )
        except (OSError, ValueError) as error:
            click.echo(f"glimpse: {error}", err=True)
            sys.exit(FAILED)

    return run  # type: ignore[return-value]


def moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def receiver(text: str) -> int | str:
    """A uid, or a number or phone hash as it stands."""
    return int(text) if text.isdecimal() and len(text) < 19 else text


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="GLIMPSE_URL", default=LOOPBACK, show_default=True, help="The server (GLIMPSE_URL).")
@click.option(
    "--account", envvar="GLIMPSE_ACCOUNT", default="me", show_default=True, help="A name for one of your accounts."
)
@click.option("--quiet", is_flag=True, help="Say nothing beside the result.")
@click.version_option(package_name="glimpse-client")
@click.pass_context
def main(context: click.Context, url: str, account: str, quiet: bool) -> None:
    """Pictures to people by their phone numbers."""
    context.obj = Place(url, account, quiet)


@main.command()
@click.argument("phone_num")
@click.option("--nickname", default="me", show_default=True, help="What others see.")
@click.option("--code", help="The code of the SMS, if you know it already.")
@click.pass_obj
@told
def register(place: Place, phone_num: str, nickname: str, code: str | None) -> None:
    """Register a number such as +8613800138000, or get its account back by SMS."""
    with Client(place.url) as client:
        found = client.register(phone_num, nickname=nickname)
        credentials = prove(place, client, found, code) if isinstance(found, Activation) else found
    place.keep(credentials)
    place.said.print(f"{phone_num} is uid {credentials.uid}, kept as account {place.account!r}.")


def prove(place: Place, client: Client, activation: Activation, code: str | None) -> Credentials:
    """Ask for the code until it is right, or its tries are spent."""
    try:
        return client.activate(activation, code or click.prompt("Code from the SMS", err=True))
    except Refused as refused:
        if code or refused.code not in ("code_incorrect", "invalid_field") or refused.attempts_left == 0:
            raise
        left = "" if refused.attempts_left is None else f"; {refused.attempts_left} tries are left"
        place.said.print(f"That is not the code{left}.")
        return prove(place, client, activation, None)


@main.command()
@click.argument("name")
@click.option("--new", is_flag=True, help="Make the account, without a number.")
@click.option("--nickname", help="What others see of a new account.")
@click.pass_obj
@told
def login(place: Place, name: str, new: bool, nickname: str | None) -> None:
    """Log in by email or login and a password, which is asked for or in GLIMPSE_PASSWORD."""
    password = os.environ.get("GLIMPSE_PASSWORD") or click.prompt("Password", hide_input=True, err=True)
    who = {"email" if "@" in name else "login": name}
    with Client(place.url) as client:
        if new:
            session = client.sign_up(password=password, **who, **({"nickname": nickname} if nickname else {}))
        else:
            session = client.log_in(password=password, **who)
        uid = client.me().uid
    place.keep(session)
    place.said.print(f"{name} is uid {uid}, kept as account {place.account!r}.")


@main.command()
@click.pass_obj
@told
def logout(place: Place) -> None:
    """End a login by password, and forget it here."""
    try:
        with place.client() as client:
            client.log_out()
    except Refused as refused:
        if refused.code != "unauthenticated":  # else it has ended before, elsewhere
            raise
    place.forget()


def plain(words: str) -> str:
    """What somebody else wrote, without anything that a terminal takes for a command."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)


@main.command()
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", help="A number, a uid or a phone hash.")
@click.option("--group", type=int, help="A group_id.")
@click.option("--caption")
@click.option("--ttl", "ttl_seconds", type=int, help="Seconds for which it may be fetched.")
@click.option("--key", help="An Idempotency-Key: the same one again sends nothing twice.")
@click.pass_obj
@told
def send(
    place: Place,
    picture: Path,
    *,
    to: str | None,
    group: int | None,
    caption: str | None,
    ttl_seconds: int | None,
    key: str | None,
) -> None:
    """Send a picture to a person or a group; prints its message_key."""
    with place.client() as client, place.progress(picture.name) as progress:
        sent = client.send_image(
            picture,
            to=None if to is None else receiver(to),
            group=group,
            caption=caption,
            ttl_seconds=ttl_seconds,
            idempotency_key=key,
            progress=progress,
        )
    click.echo(sent.message_key)


@main.command()
@click.pass_obj
@told
def inbox(place: Place) -> None:
    """The pictures that wait for you."""
    table = place.table("message_key", "from", "sent", "bytes", "type", "caption")
    with place.client() as client:
        for image in client.inbox():
            sender = "" if image.sender_uid is None else str(image.sender_uid)
            caption = plain(image.caption)
            table.add_row(image.message_key, sender, moment(image.send_time), str(image.size), image.filetype, caption)
    show_table(place, table)


@main.command()
@click.argument("message_key")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to put it.")
@click.option("--show/--no-show", default=True, help="Show it, if this terminal can.")
@click.pass_obj
@told
def get(place: Place, message_key: str, folder: Path, show: bool) -> None:
    """Fetch one picture; prints its path. The server removes it when it is safe on your disk."""
    with place.client() as client:
        received(place, client, message_key, folder, show)


@main.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to put them.")
@click.option("--count", type=int, help="End after so many.")
@click.option("--show/--no-show", default=True, help="Show them, if this terminal can.")
@click.pass_obj
@told
def watch(place: Place, folder: Path, count: int | None, show: bool) -> None:
    """Fetch every picture that waits or comes, until you press Ctrl-C."""
    place.said.print("Waiting for pictures; Ctrl-C ends it.")
    with place.client(patience=math.inf) as client, contextlib.suppress(KeyboardInterrupt):
        for number, arrival in enumerate(client.arrivals(), 1):
            try:
                received(place, client, arrival.message_key, folder, show)
            except Refused as refused:  # taken back, over, or fetched by another device meanwhile
                place.said.print(f"{arrival.message_key}: {refused}")
            if number == count:
                return


def received(place: Place, client: Client, message_key: str, folder: Path, show: bool) -> None:
    with place.progress(message_key[:12]) as progress:
        path = client.receive(message_key, folder, progress=progress)
    if show:
        terminal.show(path)
    click.echo(path)


@main.command()
@click.argument("words")
@click.option("--to", help="A number such as +8613800138000, or a uid.")
@click.option("--group", type=int, help="A group_id.")
@click.pass_obj
@told
def text(place: Place, words: str, to: str | None, group: int | None) -> None:
    """Send a text to a person or a group; prints its message_id."""
    with place.client() as client:
        uid = None if to is None else uid_of(client, to)
        click.echo(client.send_text(words, to=uid, group=group).message_id)


def uid_of(client: Client, to: str) -> int:
    """Who is meant by a uid or a number. Raises ValueError where nobody is found."""
    who = receiver(to)
    if isinstance(who, int):
        return who
    found = client.discover([who])
    if not found:
        raise ValueError(f"nobody is found by {to}")
    return found[0].uid


@main.command()
@click.option("--add", type=int, metavar="UID", help="Ask somebody, or say yes.")
@click.option("--remove", type=int, metavar="UID")
@click.option("--find", metavar="NUMBER", help="Who has this number.")
@click.pass_obj
@told
def friends(place: Place, add: int | None, remove: int | None, find: str | None) -> None:
    """Your friends, and who asks to be one."""
    table = place.table("uid", "nickname", "state")
    with place.client() as client:
        if add is not None:
            client.befriend(add)
        if remove is not None:
            client.unfriend(remove)
        if find is not None:
            for match in client.discover([find]):
                table.add_row(str(match.uid), plain(match.nickname), "found")
        else:
            for state in ("friends", "incoming", "outgoing"):
                for friend in client.friends(state):
                    table.add_row(str(friend.uid), plain(friend.nickname), friend.state)
    show_table(place, table)


@main.command()
@click.option("--create", metavar="NAME", help="Begin a group.")
@click.option("--member", "members", type=int, multiple=True, metavar="UID", help="Invite into the new group.")
@click.option("--accept", type=int, metavar="GROUP_ID", help="Come into a group that asks you.")
@click.option("--leave", type=int, metavar="GROUP_ID")
@click.pass_obj
@told
def groups(place: Place, create: str | None, members: tuple[int, ...], accept: int | None, leave: int | None) -> None:
    """Your groups, and those that ask you."""
    table = place.table("group_id", "name", "members", "role")
    with place.client() as client:
        if create is not None:
            client.create_group(create, members)
        if accept is not None:
            client.put_member(accept, client.me().uid)
        if leave is not None:
            client.remove_member(leave, client.me().uid)
        for state in ("member", "invited"):
            for group in client.groups(state):
                role = group.role if state == "member" else "invited"
                table.add_row(str(group.group_id), plain(group.name), str(group.member_count), role)
    show_table(place, table)


@main.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=Path("glimpse-export.json"))
@click.pass_obj
@told
def export(place: Place, path: Path) -> None:
    """All that the server keeps about you, as a JSON file that only you can read; prints its path."""
    with place.client() as client:
        client.export(path)
    click.echo(path)


def show_table(place: Place, table: Table) -> None:
    """As wide as what it holds where nobody looks at it, so that programs find whole lines."""
    if not place.shown.is_terminal:
        place.shown.width = 1000
    place.shown.print(table)


if __name__ == "__main__":
    main()
