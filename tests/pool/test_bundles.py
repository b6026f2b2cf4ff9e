# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The results of a shared container are bundles in the bucket; a bundle commits what is in it, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.runner.protocol import bundle
from covalent_awsbatch_plugin.runner.protocol.envelope import BadEnvelope
from tests.pool.test_batch_pool import until
from tests.tasks.small_world import World
from tests.tasks.tasks import when_there


def sharing(settings: dict[str, Any], each: int, at_once: int = 1, **changes: Any) -> dict[str, Any]:
    return settings | {"tasks_per_job": each, "parallel_tasks": at_once} | changes


def bundles(world: World, job_id: str) -> list[str]:
    """The keys of a job's bundles."""
    listed = world.client("s3").list_objects_v2(Bucket=world.aws.section()["s3_bucket_name"]).get("Contents", [])
    return [item["Key"] for item in listed if f"/{job_id}/" in item["Key"] and f"/{bundle.NAME}" in item["Key"]]


# ---- the format -----------------------------------------------------------------------------------------------------
def test_a_bundle_gives_back_its_envelopes_with_their_numbers() -> None:
    envelopes = [(3, b"abc"), (70_000, b""), (4, b"x" * 1000)]
    assert list(bundle.unpack(bundle.pack(envelopes))) == envelopes


def test_a_bundle_that_was_cut_gives_the_whole_envelopes_and_then_says_so() -> None:
    envelopes = bundle.unpack(bundle.pack([(1, b"abc"), (2, b"defg")])[:-1])
    assert next(envelopes) == (1, b"abc")
    with pytest.raises(BadEnvelope, match="cut"):
        next(envelopes)


def test_other_bytes_are_no_bundle() -> None:
    with pytest.raises(BadEnvelope, match="no bundle"):
        list(bundle.unpack(b"something else"))


# ---- from the container to the pool ---------------------------------------------------------------------------------
@pytest.mark.parametrize("at_once", [1, 4])
def test_one_object_has_the_results_of_a_container(settings: dict[str, Any], world: World, at_once: int) -> None:
    before = world.aws.calls()
    with BatchPool(**sharing(settings, 8, at_once)) as pool:
        values = pool.map(lambda x: 12 // (x - 5), range(20), return_exceptions=True)
        told = ["error" if isinstance(value, ZeroDivisionError) else value for value in values]
    assert told == ["error" if x == 5 else 12 // (x - 5) for x in range(20)]
    assert calls_since(world, before, "s3:PutObject") == 3, "one for each container"


def calls_since(world: World, before: dict[str, dict[str, int]], operation: str) -> int:
    def count(calls: dict[str, dict[str, int]]) -> int:
        return sum(operations.get(operation, 0) for operations in calls.values())

    return count(world.aws.calls()) - count(before)


def test_a_result_is_read_while_others_of_its_container_run(
    settings: dict[str, Any], world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with BatchPool("early", **sharing(settings, 2, 2)) as pool:
        values = pool.map(lambda path: when_there(path) if path else "early", [str(gate), None], ordered=False)
        assert next(values) == "early"
        gate.touch()
        assert next(values) == "it is there"


def test_a_container_that_is_killed_loses_only_what_no_bundle_has(
    settings: dict[str, Any], world: World, tmp_path: Path
) -> None:
    def run(folder: str, number: int) -> int:
        import time
        import uuid

        Path(folder, f"{number}-{uuid.uuid4().hex}").touch()
        while number == 1 and len([name for name in os.listdir(folder) if name.startswith("1-")]) < 2:
            time.sleep(0.05)
        return number * 10

    with BatchPool(**sharing(settings, 3)) as pool:
        futures = [pool.submit(run, str(tmp_path), number) for number in range(3)]
        assert futures[0].result(timeout=60) == 0, "its bundle is there while the second runs"
        job = world.job(str(futures[1].job_id))
        world.aws.fault("host_lost", job["jobName"])
        assert [future.result(timeout=90) for future in futures] == [0, 10, 20]
    runs = sorted(name.partition("-")[0] for name in os.listdir(tmp_path) if "-" in name)
    assert runs.count("0") == 1 and runs.count("1") == 2 and runs.count("2") == 1


def test_a_task_whose_supervisor_is_killed_is_an_error_and_the_others_have_values(settings: dict[str, Any]) -> None:
    def kill_supervisor(number: int) -> int:
        if number == 1:
            os.kill(os.getppid(), 9)
            os.kill(os.getpid(), 9)
        return number

    with BatchPool(**sharing(settings, 3)) as pool:
        first, second, third = pool.map(kill_supervisor, range(3), return_exceptions=True)
    assert (first, third) == (0, 2)
    assert isinstance(second, Exception)


def test_an_envelope_that_somebody_else_wrote_is_not_read(
    settings: dict[str, Any], world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate, there = tmp_path / "gate", tmp_path / "there"
    with BatchPool(**sharing(settings, 2, 2)) as pool:
        futures = [pool.submit(when_there, str(path)) for path in (gate, there)]
        until(lambda: all(future.running() for future in futures))
        array = next(iter(pool.engine.arrays))
        assert array.handle
        key = bundle.bundle_key(array.handle.prefix, array.handle.job_id, 1, 99)
        forged = bundle.pack([(0, b"CVAWSBE\x01" + bytes(200))])
        world.client("s3").put_object(Bucket=world.aws.section()["s3_bucket_name"], Key=key, Body=forged)
        until(lambda: key in caplog.text)
        assert not futures[0].done()
        there.touch(), gate.touch()
        assert [future.result(timeout=60) for future in futures] == ["it is there"] * 2
