# SPDX-License-Identifier: Apache-2.0
"""Makes previews of images. What decodes runs in a process of its own that can reach nothing."""
