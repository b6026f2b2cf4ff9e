# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Work that many want is done once, and whoever gives up harms nobody else."""

from __future__ import annotations

import asyncio

import pytest

from covalent_awsbatch_plugin.core.concurrency import Once, together


class Work:
    """Work that ends when told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go, self.started, self.cancelled, self.error = asyncio.Event(), 0, False, error

    async def __call__(self) -> int:
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error:
            raise self.error
        return self.started


async def all_waiting() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_twenty_at_once_get_one_result() -> None:
    once, work = Once[int](), Work()
    tasks = [asyncio.create_task(once("key", work)) for _ in range(20)]
    await all_waiting()
    work.go.set()
    assert await asyncio.gather(*tasks) == [1] * 20


async def test_different_keys_are_different_work_and_later_calls_begin_anew() -> None:
    once, work = Once[int](), Work()
    work.go.set()
    assert [await once("one", work), await once("two", work), await once("one", work)] == [1, 2, 3]


async def test_an_error_is_everybodys_and_not_remembered() -> None:
    once, work = Once[int](), Work(ValueError("no"))
    work.go.set()
    for error in await asyncio.gather(once("key", work), once("key", work), return_exceptions=True):
        assert str(error) == "no"
    work.error = None
    assert await once("key", work) == 2


async def test_one_that_gives_up_leaves_the_result_to_the_others() -> None:
    once, work = Once[int](), Work()
    first, second = asyncio.create_task(once("key", work)), asyncio.create_task(once("key", work))
    await all_waiting()
    first.cancel()
    await all_waiting()
    work.go.set()
    assert await second == 1
    assert first.cancelled()


async def test_work_that_nobody_waits_for_is_cancelled_and_can_begin_again() -> None:
    once, work = Once[int](), Work()
    tasks = [asyncio.create_task(once("key", work)) for _ in range(2)]
    await all_waiting()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert work.cancelled
    work.go.set()
    assert await once("key", work) == 2


async def test_together_returns_the_results_in_order() -> None:
    async def late() -> str:
        await asyncio.sleep(0)
        return "late"

    async def at_once() -> str:
        return "at once"

    assert await together(late(), at_once()) == ["late", "at once"]


async def test_together_raises_the_first_error_by_itself_and_ends_the_rest() -> None:
    slow, broken = Work(), Work(ValueError("no"))
    broken.go.set()
    with pytest.raises(ValueError, match="no"):
        await together(slow(), broken())
    assert slow.cancelled
