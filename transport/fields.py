# SPDX-License-Identifier: Apache-2.0
"""Header fields as Tornado's handlers read and write them, without its second look at each of them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tornado.httputil import HTTPHeaders


@lru_cache(256)
def _as_written(name: str) -> str:
    """As `HTTPHeaders` has the keys: Content-Type, Www-Authenticate."""
    return "-".join([word.capitalize() for word in name.split("-")])


class Fields(HTTPHeaders):
    """As Tornado's, but looked up at once. Touches a name of Tornado's own, as `tornado_names` does."""

    def __getitem__(self, name: str) -> str:
        return ",".join(self._as_list[_as_written(name)])

    def __setitem__(self, name: str, value: str) -> None:
        self._as_list[_as_written(name)] = [value]

    def get(self, name: str, default: Any = None) -> Any:
        values = self._as_list.get(_as_written(name))
        return default if values is None else ",".join(values)


def headers_of(fields: Mapping[str, list[str]]) -> Fields:
    """Header fields by their name in any case, whose values need no check."""
    headers = Fields()
    headers._as_list = {_as_written(name): values for name, values in fields.items()}  # noqa: SLF001
    return headers
