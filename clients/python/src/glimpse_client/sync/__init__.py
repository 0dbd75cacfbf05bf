# SPDX-License-Identifier: Apache-2.0
# Made by generate_sync.py of the module of this name in glimpse_client.aio: change that one.
"""The synchronous client. `glimpse_client.sync` is made of this folder by `generate_sync.py`."""
