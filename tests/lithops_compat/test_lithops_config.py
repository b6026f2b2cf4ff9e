# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' configuration: where it is read, which keys become settings, and what is told of the others."""

from __future__ import annotations

import configparser
import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.lithops_compat import FunctionExecutor
from covalent_awsbatch_plugin.lithops_compat import lithops_config as module
from covalent_awsbatch_plugin.lithops_compat.lithops_config import LithopsOptions
from covalent_awsbatch_plugin.lithops_compat.lithops_keys import SETTINGS, TOLD

FILE = """
lithops:
    backend: aws_batch
    storage: aws_s3
    execution_timeout: 600
    data_cleaner: false
    retries: 2
aws:
    region: eu-west-1
aws_batch:
    runtime: example/base:1
    runtime_memory: 2048
    runtime_timeout: 300
    container_vcpus: 0.5
    worker_processes: 4
    execution_role: arn:aws:iam::123456789012:role/execution
    job_role: job
    assign_public_ip: false
    env_type: FARGATE_SPOT
    subnets: [subnet-1]
    security_groups: [sg-1]
    env_max_cpus: 10
    color: blue
aws_s3:
    storage_bucket: my-bucket
ibm_cf:
    api_key: secret
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    for name in ("LITHOPS_CONFIG", "LITHOPS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    module._sentences.clear()


def read(config: Any = None, file: str | None = None, **backend_keys: Any) -> LithopsOptions:
    return LithopsOptions.read(config, file, {}, backend_keys)


def test_keys_become_settings_in_our_units(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(FILE)
    settings = read(file=str(tmp_path / "config")).settings()
    expected = {
        "region": "eu-west-1",
        "memory": 2,
        "time_limit": 300,
        "vcpu": 0.5,
        "parallel_tasks": 4,
        "tasks_per_job": 4,
        "container_image_uri": "example/base:1",
        "batch_execution_role_name": "arn:aws:iam::123456789012:role/execution",
        "batch_job_role_name": "job",
        "assign_public_ip": False,
        "s3_bucket_name": "my-bucket",
        "delete_objects": False,
        "environment": "auto",
    }
    assert settings.model_dump(include=set(expected)) == expected


def test_every_other_key_is_told_by_its_name_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "config").write_text(FILE)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            FunctionExecutor(config_file=str(tmp_path / "config"), log_level=None)
    told = {record.getMessage().split("`")[1]: record.getMessage() for record in caplog.records}
    assert len(caplog.records) == len(told)
    assert set(told) == {"env_type", "subnets", "security_groups", "env_max_cpus", "color", "ibm_cf"}
    assert "infra up --compute FARGATE_SPOT" in told["env_type"]
    assert "infra up --vpc-id VPC --subnet-ids SUBNETS" in told["subnets"]
    assert "no key of this section that is known here" in told["color"]
    assert "secret" not in "".join(told.values())


def test_the_configuration_is_read_where_lithops_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(**arguments: Any) -> float:
        return read(**arguments).settings().memory

    def write(path: Path, megabytes: int) -> str:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"aws_batch:\n    runtime_memory: {megabytes}\n")
        return str(path)

    (tmp_path / "home" / ".lithops").mkdir(parents=True)
    write(tmp_path / "home" / ".lithops" / "config", 1024)
    assert memory() == 1
    write(tmp_path / ".lithops_config", 2048)
    assert memory() == 2
    monkeypatch.setenv("LITHOPS_CONFIG_FILE", write(tmp_path / "named", 3072))
    assert memory() == 3
    monkeypatch.setenv("LITHOPS_CONFIG", json.dumps({"aws_batch": {"runtime_memory": 4096}}))
    assert memory() == 4
    assert memory(file=write(tmp_path / "other", 5120)) == 5
    assert memory(config={"aws_batch": {"runtime_memory": 6144}}) == 6
    assert memory(config={"aws_batch": {"runtime_memory": 6144}}, runtime_memory=7168) == 7
    assert memory(config={"aws_batch": {"runtime_memory": 6144}}, memory=9) == 9, "a setting by its own name"


def test_keys_of_an_account_go_into_a_file_of_this_user_alone() -> None:
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "hush", "session_token": "token"}
    settings = read({"aws": {**keys, "region": "eu-west-1"}}).settings()
    path = Path(settings.credentials)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    parsed = configparser.ConfigParser()
    parsed.read(path)
    assert dict(parsed[settings.profile]) == {f"aws_{name}": value for name, value in keys.items()}
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"aws_batch": {"runtime_memory": "much"}}, "'much' of `runtime_memory` in `aws_batch` of config="),
        ({"aws_batch": {"env_type": "LAMBDA"}}, "'LAMBDA' of `env_type`"),
        ({"aws_batch": {"assign_public_ip": "no"}}, "'no' of `assign_public_ip`"),
        ({"aws_batch": {"worker_processes": 1.5}}, "1.5 of `worker_processes`"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(config: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        read(config)


def test_a_value_out_of_our_limits_is_named_with_its_place() -> None:
    with pytest.raises(SettingError, match=r"vcpu.*config="):
        read({"aws_batch": {"runtime_cpu": 0.1}}).settings()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "localhost"}, "run on AWS Batch alone"),
        ({"backend": "ibm_cf"}, "run on AWS Batch alone"),
        ({"storage": "ibm_cos"}, "through S3 alone"),
        ({"mode": "localhost"}, "run on AWS Batch alone"),
        ({"config_file": "absent.yaml"}, "There is no Lithops configuration absent.yaml"),
    ],
)
def test_an_argument_for_another_place_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        FunctionExecutor(**arguments)


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{")
    with pytest.raises(SettingError, match="config can't be read"):
        read(file=str(tmp_path / "config"))
    (tmp_path / "config").write_text("- a\n- b\n")
    with pytest.raises(SettingError, match="is no mapping of sections"):
        read(file=str(tmp_path / "config"))


def test_a_short_time_limit_is_raised_to_that_of_aws_batch() -> None:
    assert read({"aws_batch": {"runtime_timeout": 5}}).settings().time_limit == 60


def test_no_key_is_both_a_setting_and_ignored() -> None:
    assert {name: SETTINGS[name].keys() & keys for name, keys in TOLD.items() if SETTINGS[name].keys() & keys} == {}
