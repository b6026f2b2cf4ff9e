# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An offline AWS as a whole: what it holds, several side by side, and nothing left when it is gone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.core import covalent_config
from covalent_awsbatch_plugin.local import LocalAWS, down, status, up
from covalent_awsbatch_plugin.local.background import LocalAWSFailed
from covalent_awsbatch_plugin.settings import defaults
from tests.local.conftest import DOCKER, script
from tests.local.small_world import World, eventually, is_alive


def test_it_holds_what_its_section_names(world: World) -> None:
    told = world.settings
    assert [each["Name"] for each in world.client("s3").list_buckets()["Buckets"]] == [told["s3_bucket_name"]]
    (repository,) = world.client("ecr").describe_repositories(repositoryNames=[told["ecr_repo_name"]])["repositories"]
    assert repository["repositoryUri"] == f"{world.aws.registry}/{told['ecr_repo_name']}"
    (queue,) = world.batch.describe_job_queues(jobQueues=[told["batch_queue"]])["jobQueues"]
    assert queue["state"] == "ENABLED"
    for role in ("batch_execution_role_name", "batch_job_role_name"):
        assert world.role(role).endswith(f"role/{told[role]}")
    groups = world.client("logs").describe_log_groups()["logGroups"]
    assert told["batch_job_log_group_name"] in [group["logGroupName"] for group in groups]
    assert world.client("sts").get_caller_identity()["Arn"].endswith("user/covalent")
    assert Path(told["credentials"]).stat().st_mode & 0o077 == 0


def test_the_base_image_says_which_python_it_has(world: World) -> None:
    registry, name = world.registry(), world.settings["container_image_uri"]
    repository, _, tag = name.partition("/")[2].partition(":")
    assert name.startswith(f"{world.aws.registry}/")
    told = registry.call("GET", f"{repository}/manifests/{tag}").json()
    config = registry.call("GET", f"{repository}/blobs/{told['config']['digest']}").json()
    assert f"PYTHON_VERSION={sys.version.partition(' ')[0]}" in config["config"]["Env"]


async def test_several_live_side_by_side() -> None:
    async with LocalAWS("process", region="eu-west-1") as one, LocalAWS("process", mounting=False) as two:
        worlds = [World(one), World(two)]
        assert len({one.endpoint_url, two.endpoint_url, one.registry, two.registry}) == 4
        definitions = [await asyncio.to_thread(lambda w=w: w.define(script(w))) for w in worlds]
        jobs = [w.submit(d, "say", w.aws.region) for w, d in zip(worlds, definitions, strict=True)]
        for world, job in zip(worlds, jobs, strict=True):
            await asyncio.to_thread(world.ended, job)
            assert world.said(job) == [world.aws.region]
        assert not worlds[0].batch.describe_jobs(jobs=[jobs[1]])["jobs"]
    for aws in (one, two):
        with pytest.raises(LocalAWSFailed):
            _ = aws.endpoint_url


@pytest.mark.parametrize("engine", ["process", DOCKER])
async def test_it_ends_with_all_of_its_jobs(engine: str) -> None:
    lines: list[str] = []
    async with LocalAWS(engine, progress=lines.append) as aws:
        world, folder, url, registry = World(aws), aws.state_dir, aws.endpoint_url, aws.registry
        job = world.submit(world.define(script(world)), "stubborn")
        world.until(job, "RUNNING")
        pids = processes_of(job)
        assert pids
        server = json.loads((folder / "state.json").read_text())["pid"]
    assert not [pid for pid in (*pids, server) if is_alive(pid)]
    assert not folder.exists()
    assert any(f"engine {engine}: " in line for line in lines)
    if engine == "docker":
        for told in (
            ["ps", "-aq", "--filter", f"label=covalent.awsbatch.local={registry}"],
            ["images", "-q", registry],
        ):
            assert subprocess.run(["docker", *told], check=True, capture_output=True).stdout == b""
    with pytest.raises(requests.ConnectionError):
        await asyncio.to_thread(requests.get, url, timeout=5)


def test_it_ends_with_the_process_that_started_it() -> None:
    program = (
        "import asyncio, os\n"
        "from covalent_awsbatch_plugin.local import LocalAWS\n"
        "aws = LocalAWS('process')\n"
        "asyncio.run(aws.__aenter__())\n"
        "print((aws.state_dir / 'state.json').read_text(), flush=True)\n"
        "os._exit(0)\n"
    )
    root = str(Path(__file__).parents[2])
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, env=os.environ | {"PYTHONPATH": root}
    )
    pid = json.loads(told.stdout)["pid"]
    eventually(lambda: not is_alive(pid), within_s=20)


def test_one_in_the_background_goes_up_and_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder, lines = tmp_path / "covalent-awsbatch" / "local" / "mine", list[str]()
    assert status("mine") is None
    assert down("mine") is False
    found = up("mine", "process", lines.append)
    try:
        assert up("mine", "process", lines.append) == found == status("mine")
        assert json.loads((folder / "state.json").read_text())["section"] == found.section
        assert requests.get(f"http://{found.registry}/v2/", timeout=10).status_code == 401
    finally:
        assert down("mine", lines.append) is True
    assert status("mine") is None
    assert not folder.exists()
    eventually(lambda: not is_alive(found.pid))


def test_a_state_left_by_one_that_was_killed_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = up("mine", "process", lambda _line: None)
    world = World(found)
    job = world.submit(world.define(script(world)), "stubborn")
    eventually(lambda: processes_of(job))
    os.kill(found.pid, signal.SIGKILL)
    eventually(lambda: status("mine") is None)
    again = up("mine", "process", lambda _line: None)
    assert again.pid != found.pid
    eventually(lambda: not [pid for pid in processes_of(job) if is_alive(pid)])
    assert down("mine", lambda _line: None)


@pytest.mark.parametrize("engine", ["process", DOCKER])
def test_the_jobs_of_one_that_was_killed_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = up("mine", engine, lambda _line: None)
    world = World(found)
    job = world.submit(world.define(script(world)), "stubborn")
    eventually(lambda: processes_of(job))
    pids = processes_of(job)
    os.kill(found.pid, signal.SIGKILL)
    eventually(lambda: not [pid for pid in (*pids, found.pid) if is_alive(pid)])
    assert down("mine", lambda _line: None) is False


def test_one_in_pythons_development_mode_answers(tmp_path: Path) -> None:
    """Then aiohttp refuses headers that come twice, among others."""
    program = (
        "import asyncio\n"
        "from covalent_awsbatch_plugin.local import LocalAWS\n"
        "from covalent_awsbatch_plugin.settings import Given, resolve\n"
        "from covalent_awsbatch_plugin.tasks.client import connect\n"
        "async def main():\n"
        "    async with LocalAWS('process') as aws:\n"
        "        settings = resolve(Given(aws.section() | {'outage_patience': 0}, 'here'))\n"
        "        async with connect(settings) as client:\n"
        "            await client.services.resources(settings)\n"
        "            print((await client.services.identity()).account)\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDEVMODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stdout == "123456789012\n", done.stderr


@pytest.mark.parametrize("text", ["", '[executors.awsbatch]\nbatch_queue = "mine"\nvcpu = 4\nregion = "eu-west-1"\n'])
def test_a_section_that_it_takes_the_place_of_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Keys that were not there get their defaults: Covalent's own processes would write removed ones again."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path))
    (tmp_path / "covalent.conf").write_text(text)
    before = covalent_config.section()
    for _ in range(2):  # the second `up` finds its own settings, and keeps the user's
        assert CliRunner().invoke(main, ["local", "up", "--engine", "process", "--write"]).exit_code == 0
    covalent_config.write_section({"memory": 8})
    local = covalent_config.section()
    assert local["profile"] == "local" and local["batch_queue"] != "mine"
    assert CliRunner().invoke(main, ["local", "down"]).exit_code == 0
    after = covalent_config.section()
    assert after == defaults(local) | before | {"memory": 8}
    assert CliRunner().invoke(main, ["explain"]).exit_code == 0


async def test_a_start_that_fails_has_last_words(tmp_path: Path) -> None:
    async with LocalAWS("process", tmp_path):
        with pytest.raises(LocalAWSFailed, match="another offline AWS runs in"):
            await LocalAWS("process", tmp_path).__aenter__()
    with pytest.raises(LocalAWSFailed, match="engine must be docker, process or auto"):
        await LocalAWS("podman", tmp_path).__aenter__()


def processes_of(job: str) -> list[int]:
    """A container's too: they are processes of this machine."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if marked(pid, job)]


def marked(pid: int, job: str) -> bool:
    try:
        return f"AWS_BATCH_JOB_ID={job}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
