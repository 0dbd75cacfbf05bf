# SPDX-License-Identifier: Apache-2.0
"""A valid form and all that may become of it on the way, as a Hypothesis strategy."""

from hypothesis import strategies as st

from tests.process.hostile_wire import BOUNDARY, form, image_part, part
from tests.support.pictures import jpeg

HEADER = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="caption"\r\n'.encode()
PICTURE = jpeg(120).replace(b"\n", b"x")
VALID = form(part("receiver_uid", b"2"), part("caption", b"hello"), image_part(PICTURE), part("ttl_seconds", b"600"))
TOKENS = (
    *(b"\r\n", b"\r", b"\n", b"--", b"\0", b'"', b";", b"=", b":", b"name", b"\xff"),
    *(BOUNDARY.encode(), HEADER, f"\r\n--{BOUNDARY}--\r\n".encode()),
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """The valid form with a few places cut out, doubled, overwritten or filled with something that has a meaning."""
    body = VALID
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        span = draw(st.integers(0, 40))
        filling = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8), st.just(body[at : at + span] * 2)))
        body = body[:at] + filling + body[at + span :]
    return body
