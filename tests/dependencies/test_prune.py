# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The store of layers stays small, and never loses what somebody is about to send."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.spec import StoreUsage, environment_spec, to_forget
from covalent_awsbatch_plugin.dependencies.store import RECORD, LayerStore, prune
from tests.dependencies.index import AMD64, Index

HOUR, DAY = 3600.0, 24 * 3600.0
BIG = 3 * 1024 * 1024


def gone(kept: list[StoreUsage], most_bytes: float) -> list[str]:
    return [used.key for used in to_forget(kept, most_bytes, now=100 * DAY)]


def test_what_was_used_longest_ago_goes_first() -> None:
    kept = [StoreUsage("new", 99 * DAY, 10), StoreUsage("old", 90 * DAY, 10), StoreUsage("older", 80 * DAY, 10)]
    assert gone(kept, 30) == []
    assert gone(kept, 29) == ["older"]
    assert gone(kept, 10) == ["older", "old"]


def test_what_nobody_used_for_two_months_goes_without_need() -> None:
    assert gone([StoreUsage("forgotten", 39 * DAY, 1), StoreUsage("known", 41 * DAY, 1)], 1000) == ["forgotten"]


def test_what_was_used_within_the_hour_stays_whatever_its_size() -> None:
    assert gone([StoreUsage("sent now", 100 * DAY - HOUR / 2, 10**9), StoreUsage("old", 90 * DAY, 1)], 0) == ["old"]


def aged(store: LayerStore, days: float) -> None:
    for record in (store.folder / "made").glob(f"*/{RECORD}"):
        os.utime(record, (time.time() - days * DAY,) * 2)


def test_a_pruned_layer_is_made_again_and_one_in_use_is_not_pruned(index: Index, environments: Environments) -> None:
    index.add("one", fat=BIG)
    index.add("two", fat=BIG)
    store = environments.store
    (one,) = environments.layers(environments.lock(environment_spec("one"), AMD64))
    (two,) = environments.layers(environments.lock(environment_spec("two"), AMD64))
    aged(store, 2)
    Environments(store).layers(environments.lock(environment_spec("two"), AMD64))  # used again, and so noted

    pruned = prune(store, 0)

    assert pruned.entries == 1 and pruned.freed >= BIG and pruned.left >= BIG
    assert bytes(one.data)  # an open layer can be read to its end
    both = environments.lock(environment_spec("one, two"), AMD64)
    assert [package.name for package in environments.missing(both)] == ["one"]
    assert {each.size for each in Environments(store).layers(both)} == {one.size, two.size}


def open_files(folder: Path) -> list[str]:
    """The files below a folder that this process has open, removed ones included."""
    links = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    mapped = [line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    return [name for name in (*links, *mapped) if name.startswith(f"{folder}/made/")]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_a_pruned_layer_keeps_neither_its_disk_space_nor_a_descriptor(index: Index, environments: Environments) -> None:
    index.add("one", fat=BIG)
    lock = environments.lock(environment_spec("one"), AMD64)
    assert environments.layers(lock) and open_files(environments.store.folder)
    aged(environments.store, 2)
    assert environments.prune(0).entries == 1
    gc.collect()
    assert open_files(environments.store.folder) == []
    assert environments.layers(lock)[0].size > BIG  # made anew


def test_layers_that_a_process_has_open_are_noted_as_used(index: Index, environments: Environments) -> None:
    index.add("one", fat=BIG)
    lock = environments.lock(environment_spec("one"), AMD64)
    environments.layers(lock)
    aged(environments.store, 2)
    environments._layers[lock.digest].noted_at -= HOUR
    environments.layers(lock)
    assert prune(environments.store, 0).entries == 0


def test_what_killed_processes_left_is_removed_and_what_works_is_left_alone(tmp_path: Path) -> None:
    store = LayerStore(tmp_path)
    for name, days in (("making-killed", 2.0), ("making-now", 0.0)):
        (tmp_path / name / "installed").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - days * DAY,) * 2)
    prune(store, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["making-now"]


def test_the_command_removes_what_is_too_much(index: Index) -> None:
    index.add("one", fat=BIG)
    environments = Environments()
    environments.layers(environments.lock(environment_spec("one"), AMD64))
    told = CliRunner().invoke(main, ["env", "prune", "--max-cache-gib", "0"], catch_exceptions=False)
    assert told.output.startswith("Removed 0 entries of ")
    aged(environments.store, 1)
    told = CliRunner().invoke(main, ["env", "prune", "--max-cache-gib", "0"], catch_exceptions=False)
    assert told.output.startswith("Removed 1 entries of ") and told.output.endswith("0.0 MiB are left.\n")
