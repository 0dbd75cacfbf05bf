# SPDX-License-Identifier: Apache-2.0
"""The relay looks for work when a message has left some, and is not troubled by any other."""

from pathlib import Path

import pytest

from tests.services.town import open_town
from tests.support.engines import Engine


@pytest.mark.anyio
@pytest.mark.parametrize("picture", [False, True])
async def test_the_relay_is_woken_for_whoever_has_a_device(engine: Engine, tmp_path: Path, *, picture: bool) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, eve = await town.newcomers(3)
        to_both, to_eve = await town.group(ann, ben, eve), await town.group(ann, eve)
        await town.equip(ben)
        wakings = []
        for addressee in ({"receiver_uid": eve}, {"group_id": to_eve}, {"receiver_uid": ben}, {"group_id": to_both}):
            before = town.relay_wakings
            await (town.send(ann, **addressee) if picture else town.say(ann, **addressee))
            wakings.append(town.relay_wakings - before)
        assert wakings == [0, 0, 1, 1]
