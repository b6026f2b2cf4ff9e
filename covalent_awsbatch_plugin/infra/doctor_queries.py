# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The questions of `doctor`, one call each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..aws.session import AWS
from ..errors import Refused
from ..runner.protocol import layout


class Checkup:
    """Asks; the one thing it writes it deletes again."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def caller(self) -> tuple[str, float]:
        """Our ARN, and how many seconds this machine's clock is ahead of AWS's."""
        answer = await self._aws.call("sts", "GetCallerIdentity", of="the AWS account")
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        skew = (datetime.now(UTC) - parsedate_to_datetime(told)).total_seconds() if told else 0.0
        return str(answer["Arn"]), skew

    async def encryption(self, bucket: str) -> list[Mapping[str, Any]]:
        """The bucket's rules; none where there are none."""
        try:
            answer = await self._aws.call("s3", "GetBucketEncryption", of=f"bucket `{bucket}`", Bucket=bucket)
        except Refused as error:
            if "ServerSideEncryptionConfigurationNotFoundError" in error.says:
                return []
            raise
        return list(answer["ServerSideEncryptionConfiguration"]["Rules"])

    async def write(self, bucket: str) -> None:
        """Writes an empty object where arguments go, and deletes it."""
        key, of = layout.object_key(f"doctor-{uuid.uuid4().hex}"), f"bucket `{bucket}`"
        await self._aws.call("s3", "PutObject", of=of, Bucket=bucket, Key=key, Body=b"")
        await self._aws.call("s3", "DeleteObject", of=of, Bucket=bucket, Key=key)

    async def trust(self, role: str) -> Mapping[str, Any]:
        """A role's trust policy."""
        name = role.rpartition("/")[2]
        answer = await self._aws.call("iam", "GetRole", of=f"role `{name}`", RoleName=name)
        told: Mapping[str, Any] = answer["Role"]["AssumeRolePolicyDocument"]
        return told

    async def subnets(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """DescribeSubnets."""
        answer = await self._aws.call("ec2", "DescribeSubnets", of="the subnets", SubnetIds=list(ids))
        return list(answer["Subnets"])

    async def routes(self, subnet: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Of the subnet's own route table, or else its VPC's."""
        of, filters = "the route tables", _in(subnet["VpcId"])
        own: list[Mapping[str, Any]] = []
        main = own
        async for table in self._aws.items("ec2", "DescribeRouteTables", "RouteTables", of=of, Filters=filters):
            for link in table.get("Associations", ()):
                own = table["Routes"] if link.get("SubnetId") == subnet["SubnetId"] else own
                main = table["Routes"] if link.get("Main") else main
        return own or main

    async def endpoints(self, vpc: str) -> list[str]:
        """The services that have an endpoint in a VPC."""
        of = "the VPC endpoints"
        endpoints = self._aws.items("ec2", "DescribeVpcEndpoints", "VpcEndpoints", of=of, Filters=_in(vpc))
        return [endpoint["ServiceName"] async for endpoint in endpoints]

    async def instance_types(self, patterns: Sequence[str]) -> list[Mapping[str, Any]]:
        """DescribeInstanceTypes of types and families, such as `g5.*`."""
        of, filters = "the instance types", [{"Name": "instance-type", "Values": list(patterns)}]
        types = self._aws.items("ec2", "DescribeInstanceTypes", "InstanceTypes", of=of, Filters=filters)
        return [each async for each in types]

    async def denied(self, arn: str, actions: Sequence[str], resources: Sequence[str]) -> list[str]:
        """The actions that our own policies do not allow, as IAM simulates them."""
        results = self._aws.items(
            "iam",
            "SimulatePrincipalPolicy",
            "EvaluationResults",
            of="our own permissions",
            PolicySourceArn=_source(arn),
            ActionNames=list(actions),
            ResourceArns=list(resources),
            ContextEntries=[_PASSED],
        )
        return sorted({found["EvalActionName"] async for found in results if found["EvalDecision"] != "allowed"})


_PASSED = {
    "ContextKeyName": "iam:PassedToService",
    "ContextKeyValues": ["ecs-tasks.amazonaws.com"],
    "ContextKeyType": "string",
}


def _in(vpc: str) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": [vpc]}]


def _source(arn: str) -> str:
    """IAM simulates users and roles, not a role's sessions."""
    if ":assumed-role/" not in arn:
        return arn
    before, _, after = arn.partition(":assumed-role/")
    return f"{before.replace(':sts:', ':iam:')}:role/{after.partition('/')[0]}"
