# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The requests of `doctor`, one call each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..aws.s3 import Store
from ..aws.session import AWS
from ..core.resource_names import bare_role
from ..errors import NotAllowed, Refused
from ..runner.protocol import layout
from .vcpu_quotas import Quota


class Checkup:
    """Sends requests; it deletes the one object that it writes."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def caller(self) -> tuple[str, float]:
        """Return the caller's ARN, and the seconds by which this machine's clock is ahead of AWS's."""
        answer = await self._aws.call("sts", "GetCallerIdentity", of="the AWS account")
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        skew = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds() if date else 0.0
        return str(answer["Arn"]), skew

    async def encryption(self, store: Store) -> list[Mapping[str, Any]]:
        """Return the bucket's default encryption rules; an empty list if it has none."""
        try:
            answer = await store.call("GetBucketEncryption")
        except Refused as error:
            if "ServerSideEncryptionConfigurationNotFoundError" in error.says:
                return []
            raise
        return list(answer["ServerSideEncryptionConfiguration"]["Rules"])

    async def write(self, store: Store, encryption: Mapping[str, str]) -> None:
        """Write an object of one byte to the folder of inputs as a task's are written, read it, and delete it."""
        key = layout.object_key(f"doctor-{uuid.uuid4().hex}")
        await store.call("PutObject", Key=key, Body=b"1", **encryption)
        try:
            await store.get(key)
        finally:
            await store.delete([key])

    async def trust(self, role: str) -> Mapping[str, Any]:
        """Return a role's trust policy."""
        name = bare_role(role)
        answer = await self._aws.call("iam", "GetRole", of=f"role `{name}`", RoleName=name)
        document: Mapping[str, Any] = answer["Role"]["AssumeRolePolicyDocument"]
        return document

    async def subnets(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return subnets as DescribeSubnets gives them."""
        answer = await self._aws.call("ec2", "DescribeSubnets", of="the subnets", SubnetIds=list(ids))
        return list(answer["Subnets"])

    async def routes(self, subnet: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the routes of the subnet's own route table, or else of its VPC's main one."""
        of, filters = "the route tables", _in(subnet["VpcId"])
        own: list[Mapping[str, Any]] = []
        main = own
        async for table in self._aws.items("ec2", "DescribeRouteTables", "RouteTables", of=of, Filters=filters):
            for link in table.get("Associations", ()):
                own = table["Routes"] if link.get("SubnetId") == subnet["SubnetId"] else own
                main = table["Routes"] if link.get("Main") else main
        return own or main

    async def endpoints(self, vpc: str) -> list[str]:
        """Return the services that have an endpoint in a VPC."""
        of = "the VPC endpoints"
        endpoints = self._aws.items("ec2", "DescribeVpcEndpoints", "VpcEndpoints", of=of, Filters=_in(vpc))
        return [endpoint["ServiceName"] async for endpoint in endpoints]

    async def quota(self, quota: Quota) -> float:
        """Return the account's value of a quota."""
        answer = await self._aws.call(
            "service-quotas",
            "GetServiceQuota",
            of=f"the quota {quota.code}",
            ServiceCode=quota.service,
            QuotaCode=quota.code,
        )
        return float(answer["Quota"]["Value"])

    async def principal(self, arn: str) -> str:
        """Return the ARN that IAM can simulate: for a session of a role the role's, with its path.

        An assumed-role ARN does not show the path, which roles of IAM Identity Center have. Without iam:GetRole the
        role is taken to have none.
        """
        if ":assumed-role/" not in arn:
            return arn
        before, _, after = arn.partition(":assumed-role/")
        name = after.partition("/")[0]
        try:
            answer = await self._aws.call("iam", "GetRole", of=f"role `{name}`", RoleName=name)
        except NotAllowed:
            return f"{before.replace(':sts:', ':iam:')}:role/{name}"
        return str(answer["Role"]["Arn"])

    async def denied(self, arn: str, actions: Sequence[str], resources: Sequence[str]) -> list[str]:
        """Return the actions that a user's or a role's policies do not allow, as IAM simulates them."""
        results = self._aws.items(
            "iam",
            "SimulatePrincipalPolicy",
            "EvaluationResults",
            of="the caller's permissions",
            PolicySourceArn=arn,
            ActionNames=list(actions),
            ResourceArns=list(resources),
            ContextEntries=[_PASSED],
        )
        return sorted({result["EvalActionName"] async for result in results if result["EvalDecision"] != "allowed"})


_PASSED = {
    "ContextKeyName": "iam:PassedToService",
    "ContextKeyValues": ["ecs-tasks.amazonaws.com"],
    "ContextKeyType": "string",
}


def _in(vpc: str) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": [vpc]}]
