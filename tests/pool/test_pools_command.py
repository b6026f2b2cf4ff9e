# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch pools`, as a user runs it: what it tells, fetches, ends and deletes."""

from __future__ import annotations

import json
import pickle
import sys
import uuid
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin import BatchPool
from tests.pool.test_batch_pool import live_jobs, until
from tests.tasks.small_world import World
from tests.tasks.tasks import when_there
from tests.tasks.test_commands import command, flags

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def name() -> str:
    return f"pool-{uuid.uuid4().hex[:8]}"


def pools(world: World, *words: str) -> str:
    """The output of a command that succeeds."""
    done = command("pools", *words, COVALENT_CONFIG_DIR=str(world.folder / "no-config"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_pool(world: World, verb: str, name: str, *more: str) -> str:
    return pools(world, verb, name, *more, *flags(world.settings()))


def task_images(world: World) -> set[str]:
    """The tags of images that hold tasks."""
    images = world.client("ecr").describe_images(repositoryName=world.aws.section()["ecr_repo_name"])["imageDetails"]
    return {tag for image in images for tag in image.get("imageTags", ()) if tag.startswith("task-")}


def quotient(x: int) -> Any:
    return bytes(3 * 1024 * 1024) if x == 4 else 12 // x


def test_a_pool_is_listed_shown_fetched_and_deleted(
    settings: dict[str, Any], world: World, name: str, tmp_path: Path
) -> None:
    before, images = world.sent(), task_images(world)  # other tests keep failed tasks
    with BatchPool(name, **settings) as pool:
        assert len(list(pool.map(quotient, [3, 0, 4], return_exceptions=True))) == 3
        (mine,) = (each for each in json.loads(pools(world, "list", "--json")) if each["name"] == name)
        assert "process " in mine["in_use_by"]
        refused = command("pools", "clean", name, "--yes", *flags(world.settings()))
        assert refused.returncode == 1 and f"The pool '{name}' is in use by process" in refused.stderr
    (line,) = (each for each in pools(world).splitlines() if name in each)
    assert "3 calls, " in line and "in use" not in line

    shown = json.loads(of_pool(world, "show", name, "--json"))
    assert (shown["calls"], sum(each["calls"] for each in shown["arrays"])) == (3, 3)
    assert {each["function"] for each in shown["arrays"]} == {"quotient"}

    into = tmp_path / "results"
    calls = json.loads(of_pool(world, "results", name, "--into", str(into), "--json"))
    assert [(each["number"], each["state"]) for each in calls] == [(0, "SUCCEEDED"), (1, "FAILED"), (2, "SUCCEEDED")]
    values = [pickle.loads((into / file).read_bytes()) for file in ("0.pickle", "2.pickle")]
    assert values == [4, bytes(3 * 1024 * 1024)]
    assert ", in quotient\n" in (into / "1.error.txt").read_text()
    assert {path.stat().st_mode & 0o077 for path in into.iterdir()} == {0}

    assert f"Deleted the pool '{name}' with " in of_pool(world, "clean", name, "--yes")
    after = world.sent()
    assert (after.objects, after.definitions, task_images(world)) == (before.objects, before.definitions, images)
    assert name not in pools(world)
    gone = command("pools", "show", name, *flags(world.settings()))
    assert gone.returncode == 1 and f"no pool '{name}' on this machine" in gone.stderr


def test_jobs_of_a_detached_pool_are_ended(settings: dict[str, Any], world: World, name: str, tmp_path: Path) -> None:
    pool = BatchPool(name, **settings)
    waiting = [pool.submit(when_there, str(tmp_path / "gate")) for _ in range(2)]
    until(lambda: all(future.job_id for future in waiting))
    pool.detach()
    assert "`when_there`, " in of_pool(world, "show", name)
    assert "0 values and 0 errors of 2 calls are in" in of_pool(world, "results", name, "--into", str(tmp_path / "out"))
    refused = command("pools", "clean", name, "--yes", *flags(world.settings()))
    assert refused.returncode == 1 and f"covalent-awsbatch pools end {name}" in refused.stderr
    assert " jobs." in of_pool(world, "end", name, "--yes")
    until(lambda: not live_jobs(world))
    assert of_pool(world, "end", name) == f"No job of the pool '{name}' is active.\n"
    (tmp_path / "gate").touch()
    with BatchPool(name, **settings) as again:
        assert again.submit(when_there, str(tmp_path / "gate")).result(timeout=60) == "it is there"


def test_a_pool_that_was_left_by_an_error_runs_anew_what_it_ended(
    settings: dict[str, Any], name: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def run() -> list[str]:
        with BatchPool(name, **settings) as pool:
            waiting = [pool.submit(when_there, str(gate)) for _ in range(2)]
            until(lambda: all(future.job_id for future in waiting))
            if not gate.exists():
                raise KeyboardInterrupt
            return [future.result(timeout=60) for future in waiting]

    with pytest.raises(KeyboardInterrupt):
        run()
    gate.touch()
    assert run() == ["it is there"] * 2
