# SPDX-License-Identifier: Apache-2.0
"""Header fields as Tornado's handlers read and write them, without its second look at each of them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from tornado.httputil import HTTPHeaders


@lru_cache(256)
def _as_written(name: str) -> str:
    """As `HTTPHeaders` has the keys: Content-Type, Www-Authenticate."""
    return "-".join([word.capitalize() for word in name.split("-")])


class Fields(HTTPHeaders):
    """As Tornado's, but made of values that need no check, by their name in any case, and looked up at once. Touches
    names of Tornado's own, as `tornado_names` does.
    """

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._as_list = {_as_written(name): values for name, values in fields.items()}
        self._combined_cache = {}

    def __getitem__(self, name: str) -> str:
        return ",".join(self._as_list[_as_written(name)])

    def __setitem__(self, name: str, value: str) -> None:
        self._as_list[_as_written(name)] = [value]

    def get_all(self) -> Iterable[tuple[str, str]]:
        return [(name, value) for name, values in self._as_list.items() for value in values]

    def get(self, name: str, default: Any = None) -> Any:
        values = self._as_list.get(_as_written(name))
        return default if values is None else ",".join(values)
