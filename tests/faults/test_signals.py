# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A seeded sample of signals at random moments; `make soak` runs 50 of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.signals import SIGNALS, of_executor, of_offline_aws
from tests.tasks.small_world import World

SEED = 2


@pytest.mark.cloud
async def test_signals_to_the_executors_process_lose_double_and_leave_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    series = await of_executor(world, SEED, moments=1)
    assert series.wrong == []
    assert (series.moments, series.values) == (len(SIGNALS), 3 * len(SIGNALS))


@pytest.mark.cloud
async def test_the_offline_aws_that_is_killed_is_told_of_and_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    series = await of_offline_aws(tmp_path, SEED, moments=1, signals=SIGNALS[1:])
    assert series.wrong == []
    assert series.values + series.told == 2 * 3 * 2
