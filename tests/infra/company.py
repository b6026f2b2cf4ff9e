# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A company in one account: somebody makes its infrastructure, somebody else runs the Covalent server."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session

from covalent_awsbatch_plugin.iam import Names, Statement
from covalent_awsbatch_plugin.infra.deployer_policy import deployer
from covalent_awsbatch_plugin.infra.stack_names import names
from covalent_awsbatch_plugin.infra.stack_settings import InfraSettings
from covalent_awsbatch_plugin.local import LocalAWS
from tests.infra.people import PULL_BASE, People
from tests.infra.shell import Shell

ACCOUNT, REGION = "123456789012", "us-east-1"


@dataclass
class Company:
    """Its one stack is called after it. `builder` may do just what `iam --role deployer` prints for it."""

    prefix: str
    people: People
    shell: Shell
    credentials: dict[str, str] = field(default_factory=dict)  # a file each
    under_way: subprocess.Popen[str] | None = None

    @classmethod
    def founded(cls, prefix: str, aws: LocalAWS, folder: Path) -> Company:
        company = cls(prefix, People(aws, folder), Shell(folder))
        for person, statements in {
            "builder": company.statements,
            "newcomer": company.statements,
            "server": [PULL_BASE],
        }.items():
            company.credentials[person] = company.people.user(company.user(person), statements)
        return company

    def user(self, person: str) -> str:
        return f"{person}-{self.prefix}"

    @property
    def made(self) -> dict[str, str]:
        """How what is made is called, by kind."""
        return names(self.prefix, ACCOUNT, REGION, {})

    @property
    def statements(self) -> list[Statement]:
        """The builder's, for every option of `infra up` there is."""
        everything = InfraSettings(prefix=self.prefix, new_network=True, delete_data=True)
        return deployer(everything, Names.made(self.made, ACCOUNT, REGION), self.made)

    # ---- what they do -----------------------------------------------------------------------------------------------
    def infra(self, deed: str, *words: str, code: int = 0, by: str = "builder") -> str:
        return self.shell.run("infra", deed, *self._who(by), *words, code=code)

    def begin(self, deed: str, *words: str) -> subprocess.Popen[str]:
        """What AWS's provider waits for by itself, whatever AWS says, is waited for beside the other tests."""
        assert self.under_way is None
        self.under_way = self.shell.begin("infra", deed, *self._who("builder"), *words)
        return self.under_way

    def finish(self) -> str:
        """What was begun has succeeded, and this is what it said."""
        assert self.under_way is not None
        process, self.under_way = self.under_way, None
        told, _ = process.communicate()
        assert process.returncode == 0, told
        return told

    def close(self) -> None:
        if self.under_way is not None:
            self.under_way.communicate()

    def _who(self, person: str) -> tuple[str, ...]:
        return ("--credentials", self.credentials[person], "--profile", "local", "--prefix", self.prefix)

    def refused(self, sid: str, deed: str, *words: str) -> str:
        """What the newcomer, who lacks one statement, is told."""
        user = self.user("newcomer")
        self.people.allow(user, [each for each in self.statements if each["Sid"] != sid])
        try:
            return self.infra(deed, *words, code=1, by="newcomer")
        finally:
            self.people.allow(user, self.statements)

    def hello(self) -> str:
        """A task by whoever runs the server, with the policy that Terraform made for them."""
        base = self.people.aws.section()["container_image_uri"]
        words = ("--container-image-uri", base, "--poll-freq", "0.2", "--memory", "4")
        return self.shell.run("hello", "--credentials", self.credentials["server"], *words)

    # ---- what is there ----------------------------------------------------------------------------------------------
    @property
    def section(self) -> dict[str, Any]:
        path = self.shell.home / ".config" / "covalent" / "covalent.conf"
        return tomllib.loads(path.read_text())["executors"]["awsbatch"] if path.exists() else {}

    def client(self, service: str) -> Any:
        session = botocore.session.Session(profile="local")
        session.set_config_variable("credentials_file", self.people.aws.section()["credentials"])
        return session.create_client(service)

    @property
    def queue(self) -> dict[str, Any]:
        (queue,) = self.client("batch").describe_job_queues(jobQueues=[self.made["queue"]])["jobQueues"]
        return dict(queue)

    def machines(self) -> list[dict[str, Any]]:
        """The computeResources of the queue's environments, in its order."""
        batch = self.client("batch")
        order = sorted(self.queue["computeEnvironmentOrder"], key=lambda e: e["order"])
        told = {e["computeEnvironmentArn"]: e for e in batch.describe_compute_environments()["computeEnvironments"]}
        return [told[each["computeEnvironment"]]["computeResources"] for each in order]

    @property
    def folder(self) -> Path:
        """Where Terraform works."""
        (folder,) = (self.shell.home / ".local" / "share" / "covalent-awsbatch" / "infra").iterdir()
        return folder
