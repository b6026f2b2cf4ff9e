# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent deploy` with this Terraform, on the offline AWS.

Covalent reads Terraform 1.10 as 1.1 and refuses it, so a small program reports version 1.9 and runs the real Terraform.
Covalent passes on no environment variable but PATH, so that program also sets the folder of the providers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import covalent_awsbatch_plugin
from covalent_awsbatch_plugin.local import LocalAWS
from tests.infra.shell import Shell

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

SAYS_1_9 = """#!/bin/sh
if [ "$1" = --version ]; then echo "Terraform v1.9.8"; exit; fi
export TF_CLI_CONFIG_FILE='{config}'
exec '{terraform}' "$@"
"""


@dataclass
class Installed:
    """A copy of the package, as pip would install it: `covalent deploy` keeps its state inside."""

    folder: Path
    shell: Shell
    aws: LocalAWS

    def deploy(self, *words: str) -> str:
        program = Path(sys.executable).parent / "covalent"
        told = {"PATH": f"{self.folder / 'bin'}:{self.shell.environment['PATH']}", "PYTHONPATH": str(self.folder)}
        environment = {**self.shell.environment, **told, "COLUMNS": "200"}
        done = subprocess.run(
            [program, "deploy", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def section(self) -> dict[str, Any]:
        path = self.folder / ".config" / "covalent" / "covalent.conf"
        return tomllib.loads(path.read_text())["executors"]["awsbatch"]


@pytest.fixture(scope="module")
def installed(guarded_aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    package = Path(covalent_awsbatch_plugin.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    shell = Shell(folder)
    script = folder / "bin" / "terraform"
    script.parent.mkdir()
    config = shell.environment["TF_CLI_CONFIG_FILE"]
    script.write_text(SAYS_1_9.format(config=config, terraform=shutil.which("terraform")))
    script.chmod(0o755)
    return Installed(folder, shell, guarded_aws)


def test_up_makes_it_and_writes_the_section_and_down_removes_it(installed: Installed) -> None:
    section = installed.aws.section()
    told = installed.deploy("up", "awsbatch", "--help")
    assert "compute" in told
    assert "s3_bucket_name" in told

    options = {"prefix": "deployed", "compute": "FARGATE", "vcpu": "4", "profile": "local"}
    options |= {"credentials": section["credentials"], "region": section["region"]}
    installed.deploy("up", "awsbatch", "--verbose", *(f"--{name}={value}" for name, value in options.items()))
    made = installed.section
    assert made["batch_queue"] == "deployed-batch-queue"
    assert made["ecr_repo_name"] == "deployed-batch-job-images"
    assert (made["vcpu"], made["profile"]) == (4.0, "local")
    assert "memory" not in made, "what nobody chose is not frozen into the user's file"
    assert "up" in installed.deploy("status", "awsbatch")

    installed.deploy("down", "awsbatch")
    assert "No infrastructure provisioned" in installed.deploy("status", "awsbatch")
