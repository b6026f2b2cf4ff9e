# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A script that calls the executor for some tasks at once, as Covalent's server does; somebody signals it meanwhile.

`python -m tests.faults.signal_client folder dispatch number`; `folder` has `settings.json`. A line of
`folder/dispatch.ended` says what came of a task: its number, and `value` or the error's first line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import cloudpickle

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor
from covalent_awsbatch_plugin.settings import Settings

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def noted(path: str, seconds: float) -> str:
    """Leave a byte for each time that it ran to its end."""
    import time

    with open(f"{path}-began", "ab") as file:
        file.write(b"1")
    time.sleep(seconds)
    with open(f"{path}-ended", "ab") as file:
        file.write(b"1")
    return path


async def one(settings: Settings, folder: Path, dispatch: str, number: int) -> str:
    """Run one task; return what came of it."""
    given = {name: value for name, value in settings if value is not None}
    path = str(folder / f"{dispatch}-{number}")
    meta = {"dispatch_id": dispatch, "node_id": number, "results_dir": os.environ.get("RESULTS_DIR", str(folder))}
    try:
        value = await AWSBatchExecutor(**given).run(noted, [path, 0.5 + 0.3 * number], {}, meta)
    except errors.AWSBatchError as error:
        return error.text().replace("\n", " ")
    return "value" if value == path else "another value"


async def main(folder: Path, dispatch: str, tasks: int) -> None:
    """Run the tasks that have no value yet, and note each outcome at once."""
    settings = Settings.model_validate_json((folder / "settings.json").read_text())

    async def noting(number: int) -> None:
        outcome = await one(settings, folder, dispatch, number)
        with ended.open("a") as file:
            file.write(f"{number} {outcome}\n")

    ended = folder / f"{dispatch}.ended"
    earlier = ended.read_text().splitlines() if ended.exists() else []
    (folder / f"{dispatch}.began").touch()
    await asyncio.gather(*(noting(number) for number in range(tasks) if f"{number} value" not in earlier))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
