# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What tasks left goes once it was read; a setting keeps each kind of it, and that alone."""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.tasks import cancel
from covalent_awsbatch_plugin.tasks.cleanup import Cleanup
from tests.tasks.small_world import World
from tests.tasks.tasks import shout


@pytest.mark.parametrize("kept", ["images", "definitions", "objects"])
async def test_what_a_setting_keeps_stays_and_the_rest_goes(world: World, kept: str) -> None:
    settings = world.settings(**{f"delete_{kept}": False}, max_baked_mib=0, time_limit=910)
    assert await world.value(settings, shout, "base") == "BASE"  # it brings the base image, which stays
    await close_shared()
    before = world.sent()
    assert await world.value(settings, shout, f"to keep {kept}") == f"TO KEEP {kept.upper()}"
    await close_shared()
    after = world.sent()
    new = {
        "images": after.images - before.images,
        "definitions": after.definitions - before.definitions,
        "objects": after.objects - before.objects,
    }
    assert {kind for kind, found in new.items() if found} == {kept}


async def test_an_end_that_aws_does_not_confirm_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cancel, "CLEAN_UP_SECONDS", 0)
    await cancel.bounded(asyncio.Event().wait())
    (record,) = caplog.records
    assert "did not confirm its end within 0 s" in record.getMessage()
    assert "`covalent-awsbatch jobs`" in record.getMessage()


async def test_a_cancelled_caller_holds_nothing() -> None:
    """While an artifact is deleted, whoever needs it waits; a cancel ends the wait."""
    cleanup, under_way = Cleanup(MagicMock()), asyncio.Event()

    async def delete(_: list[str]) -> None:
        await under_way.wait()

    deleting = asyncio.create_task(cleanup._delete(["b"], delete))
    await asyncio.sleep(0)
    holding = asyncio.create_task(cleanup.hold("a", "b", "c"))
    await asyncio.sleep(0)
    assert not holding.done()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    assert not cleanup._held
    under_way.set()
    await deleting
    assert await cleanup.hold("a", "b")
