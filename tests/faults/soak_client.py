# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A client of the soak that is killed: sends some tasks, and after a restart those again that it had not read.

`python -m tests.faults.soak_client folder`; in the folder lie `settings.json` and `tasks.json`, and what came of each
task is written there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import Client, connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from covalent_awsbatch_plugin.tasks.staging import stage_call, value_of
from tests.faults.tasks import BIG, count_in_bucket


@dataclass(frozen=True)
class PlannedTask:
    """What is sent, `starts_s` seconds after the client's first start or at once after a later one."""

    number: int
    dispatch_id: str
    urls: list[str]  # presigned, one for each time that the function may run
    deed: str
    starts_s: float

    def is_right(self, value: Any) -> bool:
        return bool(value == (BIG if self.deed == "big" else "done"))

    def stage(self, folder: Path) -> StagedGroup:
        return stage_call(count_in_bucket, (self.urls, self.deed), {}, folder, dispatch_id=self.dispatch_id, node_id=0)


async def way(client: Client, settings: Settings, group: StagedGroup, task: Task, into: Path) -> NodeResult:
    """One task's whole way. Raises what ends it on the way."""
    handle = await client.submit(settings, task)
    ended = await client.wait(settings, handle, task)
    (into / "reading").touch()  # who is killed from here on may have read it, and nobody knows
    (result,) = await client.results(settings, ended, group.node_ids, into)
    return result


async def _task(client: Client, settings: Settings, task: PlannedTask, folder: Path) -> None:
    ended, into = folder / f"{task.number}.ended", folder / f"out-{task.number}"
    if ended.exists():
        return
    if not into.exists():
        await asyncio.sleep(task.starts_s)
        into.mkdir()
    group = task.stage(Path(tempfile.mkdtemp(dir=folder)))
    result = await way(client, settings, group, Task.of(group), into)
    right = "right" if result.error is None and task.is_right(value_of(result)) else "another value"
    told = result.error.text() if result.error else right
    ended.with_suffix(".fresh").write_text(told)
    ended.with_suffix(".fresh").replace(ended)


async def main(folder: Path) -> None:
    settings = Settings.model_validate_json((folder / "settings.json").read_text())
    tasks = [PlannedTask(**told) for told in json.loads((folder / "tasks.json").read_text())]
    async with connect(settings) as client:
        await asyncio.gather(*(_task(client, settings, task, folder) for task in tasks))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
