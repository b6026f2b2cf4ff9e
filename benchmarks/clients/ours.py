# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Drives this plugin's executor as Covalent's server would call it, without the server: `run` for every task."""

from __future__ import annotations

import asyncio

import meter


async def main(told: dict) -> None:
    import covalent

    from covalent_awsbatch_plugin.aws.session import close_shared

    executor = covalent.executor.AWSBatchExecutor(cache_dir=told["cache_dir"], **told["section"], **told["settings"])

    async def run(n: int, dispatch_id: str) -> list[int]:
        tasks = enumerate(meter.arguments(n))
        about = {"dispatch_id": dispatch_id, "results_dir": "."}
        return await asyncio.gather(
            *(executor.run(meter.task, list(args), {}, {**about, "node_id": node}) for node, args in tasks)
        )

    await run(told["warm"], "warm")  # none, where what is measured must be the first
    with meter.Meter(told) as measured:
        values = await run(told["n"], f"measured-{told['n']}")
    assert values == meter.right(told["n"])
    await close_shared()
    measured.report()


if __name__ == "__main__":
    asyncio.run(main(meter.told()))
