# SPDX-License-Identifier: Apache-2.0
"""tuspy sends a picture in pieces, stops, and goes on with another client from what the server has."""

import base64
import io

from exchange import given, tell
from tusclient.client import TusClient

picture = base64.b64decode(given["picture"])


def uploader(url=None):
    client = TusClient(given["endpoint"], headers={"Authorization": given["authorization"]})
    return client.uploader(
        file_stream=io.BytesIO(picture),
        chunk_size=given["chunk"],
        metadata={"receiver_uid": str(given["to"]), "caption": "by tuspy"},
        url=url,
        retries=1,
        retry_delay=0,
    )


first = uploader()
first.upload_chunk()
second = uploader(first.url)
began = second.offset
second.upload()
tell(began=began, offset=second.offset, key=second.request.response_headers.get("message-key"))
