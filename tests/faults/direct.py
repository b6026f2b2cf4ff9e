# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A script that calls `run` of the executor: a function of its own `__main__`, and objects whose repr is an address.

`python -m tests.faults.direct settings.json folder [step]`; with a step, as `tests.faults.driver` has them, it kills
itself there.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.aws.session import AWS
from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor
from covalent_awsbatch_plugin.settings import Settings
from tests.faults.driver import DISPATCH, dies


def joined(separator: str, text: str) -> str:
    return separator.join(text)


def wait_and_join(folder: str, thing: object, join: Any) -> str:
    """Note that it began, wait until it may go on, and return what `join` makes."""
    import time
    from pathlib import Path

    with Path(folder, "ran").open("a") as file:
        file.write("1")
    while not Path(folder, "go").exists():
        time.sleep(0.05)
    return str(join(type(thing).__name__))


async def main(settings: Settings, folder: Path) -> None:
    given = {name: value for name, value in settings if value is not None}
    args = [str(folder), object(), partial(joined, "-")]
    print(repr(args[1:]))
    meta = {"dispatch_id": DISPATCH, "node_id": 0, "results_dir": str(folder)}
    print(await AWSBatchExecutor(**given).run(wait_and_join, args, {}, meta))


if __name__ == "__main__":
    if sys.argv[3:]:
        AWS.call = dies(sys.argv[3], Path(sys.argv[2]))  # type: ignore[method-assign]
    asyncio.run(main(Settings.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
