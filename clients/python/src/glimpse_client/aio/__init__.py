# SPDX-License-Identifier: Apache-2.0
"""The asynchronous client. `glimpse_client.sync` is made of this folder by `generate_sync.py`."""
