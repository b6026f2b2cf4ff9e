# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A client that kills itself: the whole way of some tasks, ended by SIGKILL before, during or after a call to AWS.

`run` is what a process of multiprocessing's fork server does: nothing of another client is in its memory, and nothing
has to be imported. A step is like `after batch:SubmitJob`.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.aws.session import AWS
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import Client, connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from covalent_awsbatch_plugin.tasks.staging import stage_call

BEFORE, DURING, AFTER = "before", "during", "after"
ON_ITS_WAY_S = 0.5  # after which a request has reached the offline AWS
DISPATCH, GROUPS = "killed", "groups.pickle"
SETTINGS, ERRORS = "settings.json", "stderr"
call = AWS.call


def dies(step: str, folder: Path) -> Any:
    """`AWS.call`, until the step. What is called ... while it runs is not counted before it does."""
    when, operation, *while_it = step.split()

    async def dying(self: AWS, service: str, name: str, **told: Any) -> Any:
        is_it = operation == f"{service}:{name}" and (not while_it or (folder / while_it[0]).exists())
        if is_it and when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        if is_it and when == DURING:
            asyncio.get_running_loop().call_later(ON_ITS_WAY_S, os.kill, os.getpid(), signal.SIGKILL)
        answer = await call(self, service, name, **told)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return dying


async def main(settings: Settings, folder: Path) -> None:
    groups: list[StagedGroup] = pickle.loads((folder / GROUPS).read_bytes())
    async with connect(settings) as client:
        if len(groups) > 1:  # a lone one leaves at once, and then the others wait for each other
            await _goes(client, settings, stage_call(str, (), {}, folder, dispatch_id="first", node_id=0), folder)
        await asyncio.gather(*(_goes(client, settings, group, folder) for group in groups))


async def _goes(client: Client, settings: Settings, group: StagedGroup, folder: Path) -> None:
    handle = await client.submit(settings, Task.of(group))
    ended = await client.wait(settings, handle)
    await client.results(settings, ended, group.node_ids, folder)


def run(environment: dict[str, str], folder: Path, step: str) -> None:
    """Go the whole way of the tasks in `folder`, in `environment`, until the step; stderr goes into a file there."""
    os.environ.clear()
    os.environ.update(environment)
    with (folder / ERRORS).open("wb") as errors:
        os.dup2(errors.fileno(), 2)
    AWS.call = dies(step, folder)  # type: ignore[method-assign]
    asyncio.run(main(Settings.model_validate_json((folder / SETTINGS).read_text()), folder))
