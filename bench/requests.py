# SPDX-License-Identifier: Apache-2.0
"""The requests that are sent, as bytes on the wire."""

from bench.load import Request
from tests.support.harness import Person

BOUNDARY = "------------------------d74496d66958873e"
"""As curl makes them."""


def call(person: Person, line: str, rest: str = "") -> str:
    """The head of a request by this person; `rest` is more header lines."""
    return f"{line} HTTP/1.1\r\nHost: b\r\nAuthorization: {person.basic}\r\n{rest}\r\n"


def send(sender: Person, receiver: Person, picture: bytes) -> Request:
    return _send(sender, "receiver_uid", receiver.uid, picture)


def send_to_group(sender: Person, group_id: int, picture: bytes) -> Request:
    return _send(sender, "group_id", group_id, picture)


def _send(sender: Person, addressee: str, number: int, picture: bytes) -> Request:
    fields = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{addressee}"\r\n\r\n{number}\r\n',
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="img_file"; filename="x.jpg"\r\n',
        "Content-Type: image/jpeg\r\n\r\n",
    ]
    body = "".join(fields).encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n"
    return Request(call(sender, "POST /v1/images", head), 201, body)


def fetch(person: Person, query: str = "") -> Request:
    return Request(call(person, f"GET /v1/images/{{}}{query}"), 200)


def inbox(person: Person) -> Request:
    return Request(call(person, "GET /v1/inbox"), 200)


def acknowledge(person: Person) -> Request:
    return Request(call(person, "DELETE /v1/images/{}"), 204)


def put(picture: bytes) -> Request:
    return Request(f"PUT /{{}} HTTP/1.1\r\nHost: b\r\nContent-Length: {len(picture)}\r\n\r\n", 201, picture)


def get() -> Request:
    return Request("GET /{} HTTP/1.1\r\nHost: b\r\n\r\n", 200)
