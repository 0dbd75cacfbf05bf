# SPDX-License-Identifier: Apache-2.0
"""The protocols that uploads which go on are spoken in, as clients speak them: for tests that hold in each."""

from dataclasses import dataclass

import httpx

from tests.process.hostile_wire import by, request
from tests.process.test_uploads import PIECE, TUS, begin
from tests.support.harness import Person

VERSIONS = (3, 5, 6, 8)
"""Interop versions of the IETF's draft."""


def completes(version: int, *, done: bool) -> dict[str, str]:
    if version == 3:
        return {"Upload-Incomplete": "?0" if done else "?1"}
    return {"Upload-Complete": "?1" if done else "?0"}


def says(version: int, *, done: bool) -> dict[str, str]:
    return {"Upload-Draft-Interop-Version": str(version), **completes(version, done=done)}


@dataclass(frozen=True)
class Spoken:
    """tus, or the IETF's draft in one of its versions."""

    version: int | None = None
    """None: tus."""

    def __str__(self) -> str:
        return f"ietf-{self.version}" if self.version else "tus"

    @property
    def ended(self) -> int:
        """The status by which the last piece's answer says that the image is sent."""
        return 201 if self.version else 204

    def begin(self, person: Person, to: Person, length: int) -> httpx.Response:
        """Without a byte. The IETF's versions learn the length with the last piece."""
        if self.version is None:
            return begin(person, length, receiver_uid=to.uid)
        said = says(self.version, done=False)
        return person.request("POST", "/v1/uploads", params={"receiver_uid": to.uid}, headers=said)

    def piece(self, offset: int, *, done: bool) -> dict[str, str]:
        """What is said of the bytes that follow; `done`, where nothing comes behind them."""
        at = {"Upload-Offset": str(offset)}
        if self.version is None:
            return {**PIECE, **at}
        kind = {"Content-Type": "application/partial-upload"} if self.version >= 6 else {}
        return {**says(self.version, done=done), **kind, **at}

    def send(self, person: Person, upload: str, offset: int, data: bytes, *, done: bool) -> httpx.Response:
        return person.request("PATCH", upload, headers=self.piece(offset, done=done), content=data)

    def send_rest(self, person: Person, upload: str, picture: bytes, offset: int) -> httpx.Response:
        return self.send(person, upload, offset, picture[offset:], done=True)

    def look(self, person: Person, upload: str) -> httpx.Response:
        said = {"Upload-Draft-Interop-Version": str(self.version)} if self.version else TUS
        return person.request("HEAD", upload, headers=said)

    def offset_of(self, person: Person, upload: str) -> int:
        reply = self.look(person, upload)
        assert reply.is_success, reply.status_code
        return int(reply.headers["Upload-Offset"])


def whole_in_one(person: Person, to: Person, version: int, length: int) -> bytes:
    """The head of a request by the IETF's draft that brings all of an image, as an iPhone sends it."""
    said = {**says(version, done=True), "Content-Length": length}
    fields = (f"{name}: {value}" for name, value in said.items())
    return request("POST", f"/v1/uploads?receiver_uid={to.uid}", by(person), *fields)


BY_IETF = tuple(map(Spoken, VERSIONS))
SPOKEN = (Spoken(), *BY_IETF)
