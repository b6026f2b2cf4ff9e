# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: how `-n` processes share the tests.

A file of tests runs in one process, for its tests may share an offline AWS. So do the tests of a Covalent server, which
starts in 10 s. What takes long starts first, so that no process waits for another at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ONE_PROCESS = ("tests/server",)  # folders
SLOWEST_FIRST = ("server", "cloud", "engine")  # marks


def scope(nodeid: str) -> str:
    """Return what runs in one process together with this test: its file, or a folder."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in ONE_PROCESS if file.startswith(f"{folder}/")), file)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by the slowest mark in them; the order inside of a file stays."""
    ranks: dict[Path, int] = {}
    for item in items:
        ranks[item.path] = min(_rank(item), ranks.get(item.path, len(SLOWEST_FIRST)))
    items.sort(key=lambda item: ranks[item.path])


def _rank(item: pytest.Item) -> int:
    marks = [number for number, mark in enumerate(SLOWEST_FIRST) if item.get_closest_marker(mark)]
    return min(marks, default=len(SLOWEST_FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler of `-n`, which assigns scopes in the order of the collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByScope(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    config.option.loadscopereorder = False
    return ByScope(config, log)
