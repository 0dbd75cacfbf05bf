# SPDX-License-Identifier: Apache-2.0
"""Groups of people who send each other images: section 7 of the HTTP contract. To whom a group is not theirs it is not
there.
"""

import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models import rules
from models.db import group_members, groups, users
from models.db.database import Database, Transaction
from models.errors import GroupTooLarge, InvalidField, NotFound
from models.group import Group, GroupId, JoinPolicy, Role
from models.ids import MAX_ID
from models.user import UserId
from services import membership
from services.enrolment import write
from services.membership import MAX_MEMBERS
from services.registration import Problems, read_name, read_one_of
from telemetry import metrics  # noqa: F401

ROOM_LETTERS = string.ascii_letters + string.digits
ROOM_CHARACTERS = 8
