# SPDX-License-Identifier: Apache-2.0
"""Where a bucket is. Apart from what asks it, so that the configuration is read without the client of object stores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSettings:
    """Where the bucket is. Without `endpoint` it is AWS's; without keys they come from the environment or the machine's
    own role there. `prefix` is in front of all names.
    """

    endpoint: str
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str
    prefix: str
    path_style: bool
