# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Drives covalent-awsbatch-plugin 0.42.0 as Covalent's server would call it, without the server: `run` for every task.

Two of its calls go to the dispatcher (is the task cancelled? note the job's id): they are answered here at once.
"""

from __future__ import annotations

import asyncio

import meter


async def main(told: dict) -> None:
    import covalent

    class Executor(covalent.executor.AWSBatchExecutor):
        async def get_cancel_requested(self) -> bool:
            return False

        async def set_job_handle(self, handle: str) -> None:
            """Noted."""

    names = ("credentials", "profile", "region", "s3_bucket_name", "batch_queue", "batch_execution_role_name",
             "batch_job_role_name", "batch_job_log_group_name", "poll_freq")  # fmt: skip
    own = {name: told["section"][name] for name in names} | told["settings"]
    executor = Executor(cache_dir=told["cache_dir"], **own)

    async def run(n: int, dispatch_id: str) -> list[int]:
        tasks = enumerate(meter.arguments(n))
        return await asyncio.gather(
            *(
                executor.run(meter.task, list(args), {}, {"dispatch_id": dispatch_id, "node_id": node})
                for node, args in tasks
            )
        )

    await run(told["warm"], "warm")
    with meter.Meter(told) as measured:
        values = await run(told["n"], f"measured-{told['n']}")
    assert values == meter.right(told["n"])
    measured.report()


if __name__ == "__main__":
    asyncio.run(main(meter.told()))
