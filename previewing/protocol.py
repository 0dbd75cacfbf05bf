# SPDX-License-Identifier: Apache-2.0
"""What a server and its child say to each other through two pipes.

The child says `READY` once. Then, for each image, it is sent a length and so many bytes, and answers with the lengths
of a preview and of a placeholder and their bytes; both are 0 for what it cannot show.
"""

import struct

READY = b"ready"
REQUEST = struct.Struct(">Q")
ANSWER = struct.Struct(">IH")

PREVIEW_SIDE = 320
MAX_PREVIEW_BYTES = 64 * 1024
