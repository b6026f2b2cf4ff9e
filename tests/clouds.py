# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: what starts an offline AWS, which takes seconds, bears the mark `cloud`, and nobody has to write it.

A test does when its module makes one, or a fixture that it takes; those that have one made elsewhere say so themselves.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import pytest

MAKES_ONE = ("LocalAWS(", "worlds(")  # the second: tests/local/conftest.py


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and (_makes_one(item.module) or any(map(_makes_one, _fixtures(item)))):
        item.add_marker("cloud")


def _fixtures(item: pytest.Function) -> list[Any]:
    found = item._fixtureinfo.name2fixturedefs  # pytest has no public way to them
    return [made.func for name in item.fixturenames for made in found.get(name, ())]


@cache
def _makes_one(thing: Any) -> bool:
    source = inspect.getsource(thing)
    return any(words in source for words in MAKES_ONE)
