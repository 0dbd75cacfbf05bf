# SPDX-License-Identifier: Apache-2.0
"""What every client library does on a bad line and with a server that refuses: one table for all of them.

A client is run by a driver, which is given one JSON document (`Task`) and prints one list: for each step
`{"ok": …}` or `{"error": code, "status": …, "retry_after": …}`, with the code `unreachable` where no answer came and
`damaged_image` where the bytes were wrong. A driver stops at nothing: each step is tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.bad_line import Fault

PICTURE_BYTES = 300_000
CUT = 100_000
"""Where a transfer of the picture is cut."""
LARGE_BYTES = 3_000_000
TEXTS = 5
IMAGES, IMAGE, STATUS = "/v1/images", "/v1/images/[0-9a-f]{64}", "/v1/images/[0-9a-f]{64}/status"
UPLOADS, UPLOAD = "/v1/uploads", "/v1/uploads/[0-9a-f]{32}"
STREAMS = "/v1/events(/stream|/ws)"

# Who a scenario is about, and what there is before it begins.
ANN_SENDS = "ann"
BEN_HAS_AN_IMAGE = "ben with an image"
BEN_HAS_TEXTS = "ben with texts"
BEN_HAS_AN_OLD_LOG = "ben with a log whose beginning is gone"
BEN_HAS_LEFT = "ben with another ukey"
NOBODY = "nobody"


@dataclass(frozen=True)
class Step:
    """One call of a client. The words with a dollar stand for what the world has: $ben, $key, $number, …"""

    do: str
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What holds afterwards; what is None is not asked.

    `answers`: each step's, as far as it is named. `requests`: how many of a method and path came. `one_key`: all of
    these had the same Idempotency-Key, and there was one. `ranges`: the Range of each GET of the image. `pause`: least
    seconds between the first two requests of a method and path. `state`: of the image. `texts`, `images`: how many Ben
    was sent. `safe_at_delete`: the whole image was under its name when the server was told that it is. `left`: files
    that the client left behind. `goes_on_at`: the least offset of the last PATCH.
    `uploaded`: the bytes of all of them, at most.
    """

    answers: Sequence[Mapping[str, Any]]
    requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    one_key: tuple[str, str] | None = None
    ranges: Sequence[str] | None = None
    pause: tuple[str, str, float] | None = None
    state: str | None = None
    texts: int | None = None
    images: int | None = None
    safe_at_delete: bool | None = None
    left: int | None = None
    goes_on_at: int | None = None
    uploaded: int | None = None


@dataclass(frozen=True)
class Scenario:
    """`faults` meet what the client asks; `patience` and `silence` are the client's, in seconds."""

    name: str
    world: str
    steps: Sequence[Step]
    expected: Expected
    faults: Sequence[Fault] = ()
    patience: float = 20
    silence: float = 25


SEND = Step("send_image", {"picture": "$picture", "to": "$ben"})
SEND_LARGE = Step("send_image", {"picture": "$large_picture", "to": "$ben", "idempotency_key": "large"})
TEXT = Step("send_text", {"text": "hello", "to": "$ben"})
RECEIVE = Step("receive", {"message_key": "$key"})
FOLLOW = Step("events", {"after": 0, "count": TEXTS})
WHOLE = {"ok": PICTURE_BYTES}
ALL_TEXTS = {"ok": list(range(1, TEXTS + 1))}
SENT_ONCE_BY_TWO_TRIES = Expected(answers=[{}], requests={("POST", IMAGES): 2}, one_key=("POST", IMAGES), images=1)

SCENARIOS = [
    Scenario(
        "a lost answer to an image sends it once",
        ANN_SENDS,
        [SEND],
        SENT_ONCE_BY_TWO_TRIES,
        [Fault("lose_reply", "POST", IMAGES)],
    ),
    Scenario(
        "an image that is cut on its way is sent again",
        ANN_SENDS,
        [SEND],
        SENT_ONCE_BY_TWO_TRIES,
        [Fault("cut_request", "POST", IMAGES, after_bytes=CUT)],
    ),
    Scenario(
        "a reset before anything was sent is tried again",
        ANN_SENDS,
        [SEND],
        SENT_ONCE_BY_TWO_TRIES,
        [Fault("refuse", "POST", IMAGES)],
    ),
    Scenario(
        "a proxy's 502 is tried again",
        ANN_SENDS,
        [SEND],
        SENT_ONCE_BY_TWO_TRIES,
        [Fault("answer", "POST", IMAGES, status=502)],
    ),
    Scenario(
        "Retry-After is waited for",
        ANN_SENDS,
        [SEND],
        Expected(
            answers=[{}],
            requests={("POST", IMAGES): 2},
            one_key=("POST", IMAGES),
            pause=("POST", IMAGES, 2.0),
            images=1,
        ),
        [Fault("answer", "POST", IMAGES, status=503, headers={"Retry-After": "2"})],
    ),
    Scenario(
        "a Retry-After beyond all patience is told at once",
        ANN_SENDS,
        [SEND],
        Expected(answers=[{"status": 429, "retry_after": 3600}], requests={("POST", IMAGES): 1}, images=0),
        [Fault("answer", "POST", IMAGES, status=429, headers={"Retry-After": "3600"})],
    ),
    Scenario(
        "what is refused is not tried again",
        ANN_SENDS,
        [Step("send_image", {"picture": "$no_picture", "to": "$ben"})],
        Expected(answers=[{"error": "unsupported_image", "status": 415}], requests={("POST", IMAGES): 1}, images=0),
    ),
    Scenario(
        "the same key with another picture is a conflict, with the same one the first answer",
        ANN_SENDS,
        [
            Step("send_image", {"picture": "$picture", "to": "$ben", "idempotency_key": "the-same"}),
            Step("send_image", {"picture": "$picture", "to": "$ben", "idempotency_key": "the-same"}),
            Step("send_image", {"picture": "$other_picture", "to": "$ben", "idempotency_key": "the-same"}),
        ],
        Expected(answers=[{}, {}, {"error": "idempotency_conflict", "status": 409}], images=1),
    ),
    Scenario(
        "a large image that is cut on its way goes on where it stopped",
        ANN_SENDS,
        [SEND_LARGE],
        Expected(
            answers=[{}],
            requests={("POST", UPLOADS): 1, ("POST", IMAGES): 0},
            images=1,
            goes_on_at=CUT,
        ),
        [Fault("cut_request", "PATCH", UPLOAD, after_bytes=4 * CUT)],
    ),
    Scenario(
        "a lost answer to the beginning or the end of a large image sends it once",
        ANN_SENDS,
        [SEND_LARGE],
        Expected(
            answers=[{}],
            requests={("POST", UPLOADS): 2},
            one_key=("POST", UPLOADS),
            images=1,
            uploaded=LARGE_BYTES * 3 // 2,
        ),
        [Fault("lose_reply", "POST", UPLOADS), Fault("lose_reply", "PATCH", UPLOAD)],
    ),
    Scenario(
        "a large image that was sent is not sent again with the same key",
        ANN_SENDS,
        [SEND_LARGE, SEND_LARGE],
        Expected(answers=[{}, {}], requests={("POST", UPLOADS): 2}, images=1, uploaded=LARGE_BYTES),
    ),
    Scenario(
        "a lost answer to a text says it once",
        ANN_SENDS,
        [TEXT],
        Expected(answers=[{}], requests={("POST", "/v1/messages"): 2}, one_key=("POST", "/v1/messages"), texts=1),
        [Fault("lose_reply", "POST", "/v1/messages")],
    ),
    Scenario(
        "a lost answer to a registration locks nobody out",
        NOBODY,
        [Step("register", {"phone_num": "$number", "nickname": "Cleo"}), Step("me")],
        Expected(
            answers=[{}, {"ok": "Cleo"}],
            requests={("POST", "/v1/register"): 2},
            one_key=("POST", "/v1/register"),
        ),
        [Fault("lose_reply", "POST", "/v1/register")],
    ),
    Scenario(
        "a credential that has ended is told, and nothing is tried again",
        BEN_HAS_LEFT,
        [Step("me")],
        Expected(answers=[{"error": "unauthenticated", "status": 401}]),
    ),
    Scenario(
        "no server is told when patience is over",
        ANN_SENDS,
        [Step("me")],
        Expected(answers=[{"error": "unreachable"}]),
        [Fault("refuse", "[A-Z]+", ".*", times=1000)],
        patience=2,
    ),
    Scenario(
        "an image is acknowledged when it is safe on the disk",
        BEN_HAS_AN_IMAGE,
        [RECEIVE],
        Expected(answers=[WHOLE], state="consumed", safe_at_delete=True, left=1),
    ),
    Scenario(
        "a transfer that is cut goes on where it stopped",
        BEN_HAS_AN_IMAGE,
        [RECEIVE],
        Expected(answers=[WHOLE], ranges=["", f"bytes={CUT}-"], state="consumed", safe_at_delete=True, left=1),
        [Fault("cut_reply", "GET", IMAGE, after_bytes=CUT)],
    ),
    Scenario(
        "a damaged image is fetched anew and acknowledged when it is whole",
        BEN_HAS_AN_IMAGE,
        [RECEIVE],
        Expected(answers=[WHOLE], ranges=["", ""], state="consumed", safe_at_delete=True, left=1),
        [Fault("damage_reply", "GET", IMAGE, after_bytes=CUT)],
    ),
    Scenario(
        "an image that is damaged each time is not acknowledged",
        BEN_HAS_AN_IMAGE,
        [RECEIVE],
        Expected(answers=[{"error": "damaged_image"}], requests={("DELETE", IMAGE): 0}, state="pending", left=0),
        [Fault("damage_reply", "GET", IMAGE, after_bytes=CUT, times=2)],
    ),
    Scenario(
        "a lost acknowledgement is repeated",
        BEN_HAS_AN_IMAGE,
        [RECEIVE],
        Expected(answers=[WHOLE], requests={("DELETE", IMAGE): 2}, state="consumed", left=1),
        [Fault("lose_reply", "DELETE", IMAGE)],
    ),
    Scenario(
        "a disk that takes nothing acknowledges nothing",
        BEN_HAS_AN_IMAGE,
        [Step("receive", {"message_key": "$key", "folder": "$nowhere"})],
        Expected(answers=[{"error": "disk"}], requests={("DELETE", IMAGE): 0}, state="pending"),
    ),
    Scenario(
        "what waits is found by who was away",
        BEN_HAS_AN_IMAGE,
        [Step("arrivals", {"count": 1})],
        Expected(answers=[{"ok": ["$key"]}], state="pending"),
    ),
    Scenario(
        "events come once and in order over a stream that is cut",
        BEN_HAS_TEXTS,
        [FOLLOW],
        Expected(answers=[ALL_TEXTS]),
        [Fault("cut_reply", "GET", STREAMS, after_bytes=400), Fault("refuse", "GET", STREAMS)],
    ),
    Scenario(
        "events come where a proxy holds streams back",
        BEN_HAS_TEXTS,
        [FOLLOW],
        Expected(answers=[ALL_TEXTS]),
        [Fault("hold_reply", "GET", STREAMS, times=1000)],
        silence=1,
    ),
    Scenario(
        "a cursor that is too old is told",
        BEN_HAS_AN_OLD_LOG,
        [Step("events", {"after": 1, "count": 1})],
        Expected(answers=[{"error": "cursor_expired", "status": 410}]),
    ),
    Scenario(
        "a session that has run out is renewed, and a lost answer to that is repeated",
        NOBODY,
        [Step("sign_up", {"login": "$login", "password": "correct horse"}), Step("forget_access_token"), Step("me")],
        Expected(answers=[{}, {}, {"ok": "$login"}], requests={("POST", "/v1/tokens/refresh"): 2}),
        [Fault("lose_reply", "POST", "/v1/tokens/refresh")],
    ),
]
