# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A workflow whose tasks come by S3: values, output and errors are as ever, and its images are one."""

from __future__ import annotations

import covalent as ct

from tests.server.covalent_world import CovalentWorld


def test_a_workflow_by_s3(any_world: CovalentWorld) -> None:
    by_s3 = ct.executor.AWSBatchExecutor(payload="s3", time_limit=903)  # a definition that no other test has

    @ct.electron(executor=by_s3)
    def square(number):
        print("squaring", number)
        return number**2

    @ct.electron(executor=by_s3)
    def add_up(numbers):
        return sum(numbers)

    @ct.lattice
    def workflow(count):
        return add_up([square(number) for number in range(count)])

    before = any_world.jobs().keys()
    ran = any_world.completed(workflow, 6)

    assert ran.value == sum(number**2 for number in range(6))
    squares = [node for node in ran.result.get_all_node_results() if node["node_name"] == "square"]
    assert sorted(node["stdout"] for node in squares) == [f"squaring {number}\n" for number in range(6)]
    new = [job_id for job_id in any_world.jobs().keys() - before if ":" not in job_id]
    jobs = any_world.batch.describe_jobs(jobs=new)["jobs"]
    definitions = {job["jobDefinition"] for job in jobs if job["timeout"]["attemptDurationSeconds"] == 903}
    assert len(definitions) == 1
