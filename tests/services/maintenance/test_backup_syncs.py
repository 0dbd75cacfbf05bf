# SPDX-License-Identifier: Apache-2.0
"""A backup of many images costs the disk no more syncs than one of few."""

import os
from pathlib import Path

import pytest

from models.keys import new_key_ring, replace_key_ring
from models.private_files import KEY_RING
from services.maintenance.backup import back_up
from services.maintenance.manifest import Places
from storage.places import ImagePlace
from tests.services.maintenance.world import World
from tests.support.engines import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.mark.parametrize("links", [True, False])
async def test_many_images_take_as_many_syncs_as_few(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    replace_key_ring(world.folder / KEY_RING, new_key_ring())
    places = Places(
        world.folder / "glimpse.db", world.folder / KEY_RING, world.folder / "none", ImagePlace(world.folder / "images")
    )
    ann, ben = await world.person(), await world.person()
    world.execute("UPDATE users SET phone_cipher = NULL")
    synced: list[int] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(descriptor)
        sync(descriptor)

    def elsewhere(*_: object, **__: object) -> None:
        raise OSError(18, "another filesystem")

    async def syncs(folder: Path) -> int:
        synced.clear()
        done = await back_up(places, folder, with_images=True, now=0, say=lambda _: None)
        assert done.images
        assert done.images.files == world.count("messages")
        return len(synced)

    for _ in range(2):
        await world.send(ann, ben)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", noted)
        if not links:
            patched.setattr(os, "link", elsewhere)
        few = await syncs(tmp_path / "few")
    for _ in range(40):
        await world.send(ann, ben)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", noted)
        if not links:
            patched.setattr(os, "link", elsewhere)
        assert await syncs(tmp_path / "many") == few
