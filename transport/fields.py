# SPDX-License-Identifier: Apache-2.0
"""Header fields as Tornado's handlers read them, filled without its second look at each of them."""

from collections.abc import Mapping
from functools import lru_cache

from tornado.httputil import HTTPHeaders


@lru_cache(256)
def _as_written(name: str) -> str:
    """As `HTTPHeaders` has the keys: Content-Type, Www-Authenticate."""
    return "-".join([word.capitalize() for word in name.split("-")])


def headers_of(fields: Mapping[str, list[str]]) -> HTTPHeaders:
    """Header fields by their name in lower case. Touches a name of Tornado's own, as `tornado_names` does."""
    headers = HTTPHeaders()
    headers._as_list = {_as_written(name): values for name, values in fields.items()}  # noqa: SLF001
    return headers
