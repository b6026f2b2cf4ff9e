# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch why JOB_ID` against an offline AWS: jobs that no plugin of ours submitted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from tests.local.conftest import script, worlds
from tests.local.small_world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield from worlds("process")


@pytest.fixture(scope="module")
def definition(world: World) -> str:
    return world.define(script(world))


def why(world: World, *arguments: str) -> Result:
    where = {"--credentials": "credentials", "--profile": "profile"}
    options = [word for option, name in where.items() for word in (option, str(world.settings[name]))]
    return CliRunner().invoke(main, ["why", *arguments, *options])


def test_a_job_that_left_with_a_code(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "leave", "3"))["jobId"]
    told = why(world, job)
    assert told.exit_code == 0, told.output
    assert f"Batch job {job}) ended with exit code 3." in told.stdout
    assert json.loads(why(world, job, "--json").stdout)["cause"] == "user_error"


def test_the_last_lines_of_its_log(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "say", "hello there"))["jobId"]
    told = why(world, job)
    assert told.stdout.splitlines()[0].endswith("succeeded according to AWS Batch.")
    assert told.stdout.endswith("The last lines of its log:\nhello there\n")


def test_an_array_tells_what_its_children_died_of(world: World, definition: str) -> None:
    parent = world.ended(world.submit(definition, "leave", "3", arrayProperties={"size": 3}))["jobId"]
    told = why(world, parent)
    assert told.stdout.splitlines()[0].endswith("failed because a child job of its array failed.")
    assert "3 failed children: user_error (" in told.stdout
    children = json.loads(why(world, parent, "--json").stdout)["children"]
    assert sorted(children["user_error"]) == [f"{parent}:{index}" for index in range(3)]
    assert json.loads(why(world, f"{parent}:1", "--json").stdout)["cause"] == "user_error"


def test_a_running_array_is_told_by_counts(world: World, definition: str) -> None:
    parent = world.submit(definition, "sleep", "600", arrayProperties={"size": 2})
    try:
        world.until(f"{parent}:0", "RUNNING")
        world.until(f"{parent}:1", "RUNNING")
        told = why(world, parent)
        arn = why(world, f"arn:aws:batch:us-east-1:123456789012:job/{parent}", "--json")
    finally:
        world.batch.terminate_job(jobId=parent, reason="the test has seen it")
    assert "is running: of 2 child jobs 2 RUNNING." in told.stdout
    assert json.loads(arn.stdout)["happened"] == "is running: of 2 child jobs 2 RUNNING"


def test_an_unknown_job(world: World) -> None:
    told = why(world, "00000000-0000-0000-0000-000000000000")
    assert told.exit_code == 1
    assert "AWS Batch does not know the job" in told.stderr
