# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The identity of the credentials, and the ARNs of the roles that the settings name."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.resource_names import bare_role
from ..errors import NotAllowed, NotFound, Refused
from .session import AWS


@dataclass(frozen=True)
class Identity:
    """The account's id and its partition: `aws`, `aws-cn`, `aws-us-gov`."""

    account: str
    partition: str


class Account:
    """STS and IAM, with as few requests as possible."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def identity(self) -> Identity:
        """Return the account and the partition of the credentials.

        It is the first request of all, so that its NotAuthenticated comes before less clear errors.
        """
        answer = await self._aws.call("sts", "GetCallerIdentity", of="the AWS account")
        return Identity(answer["Account"], answer["Arn"].split(":")[1])

    async def role_arn(self, role: str, setting: str, identity: Identity) -> str:
        """Return the ARN of a role given by name or ARN; `setting` is the setting's name for errors."""
        name, is_arn = bare_role(role), role.startswith("arn:")
        try:
            answer = await self._aws.call("iam", "GetRole", of=f"role `{name}` ({setting})", RoleName=name)
        except NotAllowed:  # the check is optional; without the permission the name is trusted
            return role if is_arn else f"arn:{identity.partition}:iam::{identity.account}:role/{role.lstrip('/')}"
        except (NotFound, Refused) as error:
            error.advice = f"Correct `{setting}`, or create the role."
            raise
        return role if is_arn else str(answer["Role"]["Arn"])
