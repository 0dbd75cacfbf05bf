# SPDX-License-Identifier: Apache-2.0
"""The image types that are known, and what each is called in a header and in a file name."""

CONTENT_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "avif": "image/avif",
    "opaque": "application/octet-stream",
}
EXTENSIONS = {
    "jpeg": "jpg",
    "png": "png",
    "gif": "gif",
    "webp": "webp",
    "heic": "heic",
    "avif": "avif",
    "opaque": "bin",
}
