# SPDX-License-Identifier: Apache-2.0
"""What the route table says of one operation: who may call it, which limit counts it, which handler answers."""

import re
from dataclasses import dataclass

from handlers.base import BaseHandler
from handlers.shared import Who

ANYBODY, PERSON, FORM, FRAME, SESSION = Who


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `limit` names the class of `limits.rates` that is counted before the handler runs; a service may
    count others, as sending does.

    `operation_id` names its description in `operations/*.yaml`, and its method in generated clients.

    A `sample` is there only where `samples.enabled` is on. What writes `without_room` goes on when a disk is full, as
    all removals do: people get in, and can defend and free themselves.
    """

    method: str
    path: str
    handler: type[BaseHandler]
    who: Who
    limit: str
    operation_id: str
    sample: bool = False
    without_room: bool = False

    @property
    def needs_room(self) -> bool:
        """Whether it is refused while too little is free on a disk."""
        return self.method in ("POST", "PUT", "PATCH") and not self.without_room

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))
