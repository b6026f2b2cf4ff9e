# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Scenarios of the fault matrix for commands: the doctor's checks, `clean`, and a submission that IAM denies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.infra.doctor import Doctor
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.clean import find, remove
from covalent_awsbatch_plugin.tasks.client import Client
from covalent_awsbatch_plugin.tasks.services import Services

if TYPE_CHECKING:
    from tests.faults.cell import Cell

DOCTOR, CLEAN, DENIED = "doctor", "clean", "denied"
DENIED_OPERATION = "batch:RegisterJobDefinition"


async def doctor(cell: Cell, client: Client) -> None:
    """Run the doctor: each line has the state that it has without faults."""
    async with cell.connected(cell.direct_settings) as services:
        expected = await _states(services, cell.direct_settings)
    states = await _states(client.services, cell.settings)
    cell.is_right(states == expected, f"the doctor said {states ^ expected}")


async def _states(services: Services, settings: Settings) -> set[tuple[str, str]]:
    return {(each.name, each.state) async for each in Doctor(services, settings).findings()}


async def clean(cell: Cell, client: Client) -> None:
    """Run `clean` after a task that left its image, objects and definition: none of them stays."""
    kept = {"delete_images": False, "delete_objects": False, "delete_definitions": False}
    settings = cell.direct_settings.model_copy(update=kept)
    async with cell.connected(settings) as services:
        direct = Client(services)
        task = cell.task(0, "returns")
        ended = await direct.wait(settings, await direct.submit(settings, task), task)
        await direct.results(settings, ended, [0], cell.into(0))
    await asyncio.to_thread(cell.until_no_job_is_active)  # the result can be there before the container's end
    left = cell.left()
    if missing := {"images", "definitions"} - set(left):
        cell.wrong("lost", f"the task left no {sorted(missing)} for `clean`: {left}")
    findings = await find(client.services, cell.settings, datetime.now(UTC) + timedelta(hours=1))
    await remove(client.services, cell.settings, findings)
    cell.is_right(not findings.empty, "`clean` found nothing")


async def denied(cell: Cell, client: Client) -> None:
    """Submit a task whose job definition IAM denies: the error names the permission, and nothing is left."""
    try:
        await client.submit(cell.settings, cell.task(0, "returns"))
        cell.wrong("lost", f"{DENIED_OPERATION} was allowed")
    except errors.NotAllowed as error:
        cell.outcome.told += 1
        if error.permission != DENIED_OPERATION:
            cell.wrong("lost", f"another permission is named: {error.text()}")


COMMANDS: dict[str, Callable[[Cell, Client], Awaitable[None]]] = {DOCTOR: doctor, CLEAN: clean, DENIED: denied}
