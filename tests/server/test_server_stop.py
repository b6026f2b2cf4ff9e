# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A server of its own: one whose section has a key that is no setting, and which is stopped while a job runs."""

from __future__ import annotations

import time
from pathlib import Path

import covalent as ct

from examples.covalent_server import CovalentServer
from tests.server.covalent_world import CovalentWorld, offline_aws


def test_a_stopped_server_ends_its_jobs_and_a_strange_key_is_one_warning(tmp_path: Path) -> None:
    @ct.electron(executor="awsbatch")
    def sleep():
        time.sleep(600)

    @ct.lattice
    def workflow():
        return sleep()

    home = tmp_path / "home"
    with offline_aws("process") as aws:
        section = aws.section() | {"cache_dir": str(home / "staging"), "poll_freq": 0.2, "vcpus": 4}
        with CovalentServer(home, section, level="warning") as server:
            world = CovalentWorld(aws, server, section)
            world.dispatch(workflow)
            job_id = world.wait_for_job("RUNNING", beyond=set())
            server.stop()

        (job,) = world.batch.describe_jobs(jobs=[job_id])["jobs"]
        assert job["status"] == "FAILED"
        assert "stopped" in job["statusReason"] or "Cancelled" in job["statusReason"]
        warnings = [line for line in server.log_file.read_text().splitlines() if "`vcpus`" in line]
        assert len(warnings) == 1
        assert "Did you mean `vcpu`?" in warnings[0]
