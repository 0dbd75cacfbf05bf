# SPDX-License-Identifier: Apache-2.0
"""What a form is taken for must not depend on the pieces in which the network brings it."""

import asyncio
import hashlib
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from handlers.uploads import IMAGE_FIELDS, BufferBudget, HashOnly, Upload
from models.errors import AppError
from models.metadata import Removal
from tests.process.hostile_forms import PICTURE, VALID, spoiled
from tests.process.hostile_wire import BOUNDARY

NAMELESS = VALID[: VALID.rindex(b"--frontier--")] + f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\n".encode()


async def taken_for(pieces: Sequence[bytes], *, gathered: bool = False, room_ends_at: int = -1) -> tuple[object, ...]:
    """The code of the refusal, or what was understood."""
    budget = BufferBudget(limit=1 << 20)
    upload = Upload(
        BOUNDARY,
        sink=HashOnly(),
        fields=IMAGE_FIELDS,
        images_max_bytes=10_000,
        budget=budget,
        removal=Removal.LOCATION,
        gathered=gathered,
    )
    try:
        for number, piece in enumerate(pieces):
            if number == room_ends_at:
                budget.add(1 << 20)
            await upload.feed(piece)
        await upload.sink.write(await upload.end())
    except AppError as error:
        return (error.code,)
    finally:
        await upload.abort()
        assert budget.used in (0, 1 << 20)
    return upload.fields, upload.sink.sha256, upload.image_bytes, upload.header.filetype


async def each_taken_for(*ways: Sequence[bytes]) -> list[tuple[object, ...]]:
    return [await taken_for(pieces) for pieces in ways]


@settings(max_examples=400, deadline=None, derandomize=True)
@example(body=VALID, cuts=[])
@example(body=NAMELESS, cuts=[len(NAMELESS) - 2])
@example(body=b"a preamble\r\n" + VALID, cuts=[12])
@example(body=b"a preamble" + VALID, cuts=[10])
@example(body=VALID.replace(b"--frontier", b"--frontier \t "), cuts=[11, 40, 90, 200])
@example(body=VALID + b"an epilogue", cuts=[len(VALID)])
@given(body=spoiled(), cuts=st.lists(st.integers(0, len(VALID)), max_size=12))
def test_a_form_is_taken_for_the_same_in_any_pieces(body: bytes, cuts: Sequence[int]) -> None:
    # In a part's header the parser sees a bare line feed only where a piece ends behind it; whole it is lenient.
    assume(b"\n" not in body.replace(b"\r\n", b""))
    edges = [0, *sorted(cuts), len(body)]
    pieces = [piece for start, end in pairwise(edges) if (piece := body[start:end])]
    bytewise = [body[at : at + 1] for at in range(len(body))]
    whole, in_pieces, in_bytes = asyncio.run(each_taken_for([body], pieces, bytewise))
    assert asyncio.run(taken_for(pieces, gathered=True)) == whole
    assert asyncio.run(taken_for(pieces, gathered=True, room_ends_at=len(pieces) // 2)) == whole
    assert in_pieces == whole
    assert in_bytes == whole


def test_a_whole_form_is_understood() -> None:
    fields, sha256, size, filetype = asyncio.run(taken_for([VALID]))
    assert fields == {"receiver_uid": "2", "caption": "hello", "ttl_seconds": "600"}
    assert (sha256, size, filetype) == (hashlib.sha256(PICTURE).digest(), 120, "jpeg")
