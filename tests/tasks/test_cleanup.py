# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What tasks left goes once it was read; a setting keeps each kind of it, and that alone."""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import pytest
from aiohttp import web

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.tasks import cancel
from covalent_awsbatch_plugin.tasks.cleanup import Cleanup
from tests.tasks.gate import Gate
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


async def test_objects_that_s3_may_not_delete_are_told_although_it_answers_200(
    world: World, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """As S3 does: DeleteObjects has the denials of single keys in a list."""
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url), max_baked_mib=0, time_limit=911)
    error = "<Error><Key>k</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    async def denied(request: web.Request, body: bytes) -> web.Response:
        text = f"<?xml version='1.0'?><DeleteResult>{error}</DeleteResult>"
        return web.Response(text=text, content_type="application/xml")

    gate.rules["s3:PostBucket"] = denied
    assert await world.value(settings, shout, "to be denied") == "TO BE DENIED"
    await close_shared()
    assert len([line for line in caplog.messages if line.startswith("AWS does not allow s3:DeleteObject.")]) == 1


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
