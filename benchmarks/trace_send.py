# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The way of one warm task from the executor to SubmitJob: the functions it enters, the asyncio tasks it crosses.

Run it with `python -m benchmarks.trace_send`. It starts an offline AWS, sends one task to warm everything up, and
traces the second one. It exits with 1 when the way is longer than MOST_FILES or MOST_HOPS.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import covalent as ct

import covalent_awsbatch_plugin
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.jobs.api import Batch
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.tasks.staging import stage_call

PACKAGE = Path(covalent_awsbatch_plugin.__file__).parent
MOST_FILES = 30
MOST_HOPS = 2


class Trace:
    """The files of the package that were entered in order, and the asyncio tasks between caller and SubmitJob."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, None]] = {}  # the functions entered, by file
        self.hops: list[str] = []
        self._parents: dict[asyncio.Task[Any], asyncio.Task[Any] | None] = {}
        self._active = False
        threading.setprofile(self._note)  # for the package's own threads, which the first task starts

    @contextmanager
    def recording(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Record calls of every thread, and the parent of every asyncio task, inside the context."""
        submit, caller = Batch.submit, asyncio.current_task()

        def create(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
            task = asyncio.Task(work, loop=loop, **options)
            self._parents[task] = asyncio.current_task() if asyncio._get_running_loop() else None
            return task

        async def traced(batch: Batch, request: Any) -> str:
            task = asyncio.current_task()
            while task is not None and task is not caller:
                self.hops.append(getattr(task.get_coro(), "__qualname__", str(task)))
                task = self._parents.get(task)
            return await submit(batch, request)

        loop.set_task_factory(create)
        Batch.submit = traced  # type: ignore[method-assign]
        self._active = True
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            self._active = False
            Batch.submit = submit  # type: ignore[method-assign]
            loop.set_task_factory(None)

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        path = frame.f_code.co_filename
        if self._active and event == "call" and path.startswith(f"{PACKAGE}{os.sep}"):
            self.files.setdefault(os.path.relpath(path, PACKAGE), {})[frame.f_code.co_qualname] = None


async def trace() -> Trace:
    """Send two tasks to an offline AWS and return the trace of the second."""
    record = Trace()
    async with LocalAWS(engine="process") as aws:
        with tempfile.TemporaryDirectory() as folder:
            executor = ct.executor.AWSBatchExecutor(**aws.section() | {"cache_dir": folder})
            settings = executor.settings()
            for number in range(2):
                place = Path(folder, str(number))
                place.mkdir()  # noqa: ASYNC240 - one folder
                group = stage_call(len, (os.urandom(2048),), {}, place, dispatch_id=str(uuid.uuid4()), node_id=0)
                if number == 0:
                    await executor._send(settings, group)
                    await asyncio.sleep(settings.array_linger * 1.1)  # a lone task is submitted at once
                    continue
                with record.recording(asyncio.get_running_loop()):
                    await executor._send(executor.settings(), group)
        await close_shared()
    return record


def main() -> int:
    record = asyncio.run(trace())
    print(f"files entered: {len(record.files)} (at most {MOST_FILES})")
    for name, functions in record.files.items():
        print(f"  {name}: {', '.join(functions)}")
    print(f"asyncio tasks between the caller and SubmitJob: {len(record.hops)} (at most {MOST_HOPS})")
    print("".join(f"  {name}\n" for name in reversed(record.hops)), end="")
    return int(len(record.files) > MOST_FILES or len(record.hops) > MOST_HOPS)


if __name__ == "__main__":
    sys.exit(main())
