# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""How the tests are shared among processes and Pythons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clouds import PYTHONS
from tests.processes import ONE_PROCESS, pytest_collection_modifyitems, scope

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", PYTHONS)
def test_a_file_that_runs_on_all_pythons_is_there(file: str) -> None:
    assert (HERE / file).is_file()


@pytest.mark.parametrize("folder", ONE_PROCESS)
def test_a_folder_that_one_process_runs_is_there(folder: str) -> None:
    assert list((HERE.parent / folder).glob("test_*.py"))


@pytest.mark.parametrize(
    ("nodeid", "together"),
    [
        ("tests/test_walls.py::test_x[a::b]", "tests/test_walls.py"),
        ("tests/server/test_graph.py::test_x", "tests/server"),
        ("tests/local/test_batch.py::test_x[docker]", "tests/local/test_batch.py"),
    ],
)
def test_a_test_runs_with_its_file_and_a_servers_test_with_its_folder(nodeid: str, together: str) -> None:
    assert scope(nodeid) == together


class Item:
    """As much of a test as is looked at."""

    def __init__(self, path: str, *marks: str) -> None:
        self.path, self.marks = Path(path), marks

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def test_files_with_the_slowest_marks_come_first_and_stay_whole() -> None:
    fast, part, slow, server = Item("a"), Item("b"), Item("b", "engine"), Item("c", "server", "cloud")
    items: Any = [fast, part, slow, server]
    pytest_collection_modifyitems(items)
    assert items == [server, part, slow, fast]
