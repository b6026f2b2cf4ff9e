# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Users of an offline AWS that enforces IAM, each with a policy of their own, and what was asked in their name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

from covalent_awsbatch_plugin.iam import EVERYTHING, Statement, allow, document, split
from covalent_awsbatch_plugin.local import LocalAWS

# The base image lies in another repository of this AWS; at AWS it comes from a public registry.
PULL_BASE = allow("PullBase", "ecr:BatchGetImage GetDownloadUrlForLayer", "arn:aws:ecr:*:repository/python")


@dataclass(frozen=True)
class Asked:
    """One line of iam.jsonl."""

    who: str
    action: str
    resource: str
    allowed: bool


class People:
    """Makes users and changes what they and the roles may do."""

    def __init__(self, aws: LocalAWS, folder: Path) -> None:
        self.aws, self._folder = aws, folder
        session = botocore.session.Session(profile="local")
        session.set_config_variable("credentials_file", aws.section()["credentials"])
        self.admin: Any = session.create_client("iam")

    def user(self, name: str, statements: Sequence[Statement]) -> str:
        """A credentials file with a profile `local` of a user who may do just this."""
        self.admin.create_user(UserName=name)
        self.allow(name, statements)
        key = self.admin.create_access_key(UserName=name)["AccessKey"]
        path = self._folder / f"credentials-{name}"
        path.write_text(
            f"[local]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
            f"region = {self.aws.region}\nendpoint_url = {self.aws.endpoint_url}\n"
        )
        return str(path)

    def allow(self, user: str, statements: Sequence[Statement]) -> None:
        """Gives a user just these, as managed policies: a user's inline policies are too small for them."""
        for policy in self.admin.list_attached_user_policies(UserName=user)["AttachedPolicies"]:
            self.admin.detach_user_policy(UserName=user, PolicyArn=policy["PolicyArn"])
            self.admin.delete_policy(PolicyArn=policy["PolicyArn"])
        for number, part in enumerate(split(list(statements))):
            policy = self.admin.create_policy(PolicyName=f"own-{user}-{number}", PolicyDocument=json.dumps(part))
            self.admin.attach_user_policy(UserName=user, PolicyArn=policy["Policy"]["Arn"])

    def allow_role(self, role: str, statements: Sequence[Statement]) -> None:
        self.admin.put_role_policy(
            RoleName=role, PolicyName=role, PolicyDocument=json.dumps(document(list(statements)))
        )

    def asked(self, who: str) -> list[Asked]:
        """What was asked in the name of a user, or of a role."""
        lines = (self.aws.state_dir / "iam.jsonl").read_text().splitlines()
        return [found for found in (Asked(**json.loads(line)) for line in lines) if f"/{who}" in found.who]


def without(statements: Iterable[Statement], sid: str) -> list[Statement]:
    left = [statement for statement in statements if statement["Sid"] != sid]
    # a policy must have a statement
    return left or [allow("Nothing", "ecr:DescribeImageScanFindings", EVERYTHING)]
