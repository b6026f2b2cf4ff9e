# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: what starts an offline AWS, which takes seconds, bears the mark `cloud`, and nobody has to write it.

A test does when its module makes one, or a fixture that it takes; those that have one made elsewhere say so themselves.
The files whose outcome may differ from one Python to another bear the mark `pythons` in addition.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import pytest

# pickles and environments, processes and signals, the loop and its threads, and the offline AWS itself
PYTHONS = (
    "door/test_direct.py",
    "environment/test_journey.py",
    "environment/test_own_code.py",
    "faults/test_kill.py",
    "faults/test_outcomes.py",
    "local/test_world.py",
    "story/test_payload.py",
    "story/test_sessions.py",
)
MAKES_ONE = ("LocalAWS(", "worlds(")  # the second: tests/local/conftest.py


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and (_makes_one(item.module) or any(map(_makes_one, _fixtures(item)))):
        item.add_marker("cloud")
    if str(item.path).endswith(PYTHONS):
        item.add_marker("pythons")


def _fixtures(item: pytest.Function) -> list[Any]:
    found = item._fixtureinfo.name2fixturedefs  # pytest has no public way to them
    return [made.func for name in item.fixturenames for made in found.get(name, ())]


@cache
def _makes_one(thing: Any) -> bool:
    source = inspect.getsource(thing)
    return any(words in source for words in MAKES_ONE)
