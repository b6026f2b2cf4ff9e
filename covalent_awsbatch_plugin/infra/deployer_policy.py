# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The IAM policy of the deployer, who creates and deletes the infrastructure.

The network's actions accept no names, because a network that does not exist yet has no id. All other statements are
limited to the names of the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from ..iam import EVERYTHING, Names, Statement, allow, ec2_principal
from .stack_names import names as names_of
from .stack_settings import InfraSettings, infra_settings

_READ_BUCKET = (
    "AccelerateConfiguration BucketAcl BucketCORS BucketLogging BucketObjectLockConfiguration BucketOwnershipControls"
    " BucketPolicy BucketPublicAccessBlock BucketRequestPayment BucketTagging BucketVersioning BucketWebsite"
    " EncryptionConfiguration LifecycleConfiguration ReplicationConfiguration"
)
_ROLES = (
    "iam:AttachRolePolicy CreateRole DeleteRole DeleteRolePolicy DetachRolePolicy GetRole GetRolePolicy"
    " ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies PutRolePolicy TagRole UntagRole"
    " UpdateAssumeRolePolicy"
)
_NEW_NETWORK = (
    "ec2:AssociateRouteTable AttachInternetGateway CreateInternetGateway CreateRoute CreateRouteTable CreateSubnet"
    " CreateVpc CreateVpcEndpoint DeleteInternetGateway DeleteRouteTable DeleteSubnet DeleteVpc DeleteVpcEndpoints"
    " DescribeAvailabilityZones DescribeInternetGateways DescribeNetworkAcls DescribePrefixLists DescribeRouteTables"
    " DescribeVpcEndpoints DetachInternetGateway DisassociateRouteTable ModifySubnetAttribute ModifyVpcAttribute"
)


def deployer(infra: InfraSettings, names: Names, resources: Mapping[str, str]) -> list[Statement]:
    """Return the deployer's statements; `resources` are the names of `stack_names.names`."""
    on_instances = not infra.compute.startswith("FARGATE")
    return [
        *_storage(infra, names),
        *_identities(names, resources, on_instances),
        *_batch(infra, names),
        allow("DescribeNetwork", "ec2:DescribeNetworkInterfaces DescribeSecurityGroupRules DescribeSecurityGroups"
              " DescribeSubnets DescribeVpcAttribute DescribeVpcs", EVERYTHING),
        allow("ManageSecurityGroup", "ec2:AuthorizeSecurityGroupEgress CreateSecurityGroup CreateTags"
              " DeleteSecurityGroup DeleteTags ModifySecurityGroupRules RevokeSecurityGroupEgress", EVERYTHING),
        *([allow("ManageNetwork", _NEW_NETWORK, EVERYTHING)] if infra.new_network else []),
    ]  # fmt: skip


def allowing(action: str, resource: str = "") -> list[str]:
    """Return the Sids of the statements that allow an action; of several, those that name the resource."""
    stack = names_of("*", "*", "*", {})
    everything = infra_settings({"new_network": True, "delete_data": True})
    having = [
        statement
        for statement in deployer(everything, Names.made(stack, "*", "*", "*"), stack)
        if action in statement["Action"]
    ]
    exact = [each for each in having if any(fnmatchcase(resource, pattern) for pattern in each["Resource"])]
    return [str(each["Sid"]) for each in exact or having]


def _storage(infra: InfraSettings, names: Names) -> list[Statement]:
    group = names.arn("logs", f"log-group:{names.log_group}")
    data = [
        allow("ListObjectVersions", "s3:ListBucketVersions", names.bucket_arn),
        # DeleteObjects asks for both: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
        allow("DeleteObjects", "s3:DeleteObject DeleteObjectVersion", f"{names.bucket_arn}/*"),
    ]
    return [
        allow(
            "ManageBucket",
            "s3:CreateBucket DeleteBucket DeleteBucketPolicy ListBucket PutBucketOwnershipControls PutBucketPolicy"
            " PutBucketPublicAccessBlock PutBucketTagging PutEncryptionConfiguration PutLifecycleConfiguration",
            names.bucket_arn,
        ),
        allow(
            "ReadBucketConfiguration",
            "s3:" + " ".join(f"Get{part}" for part in _READ_BUCKET.split()),
            names.bucket_arn,
        ),
        allow(
            "ManageRepository",
            "ecr:CreateRepository DeleteLifecyclePolicy DeleteRepository DescribeRepositories GetLifecyclePolicy"
            " ListTagsForResource PutImageScanningConfiguration PutLifecyclePolicy TagResource UntagResource",
            names.repository_arn,
        ),
        allow(
            "ManageLogGroup",
            "logs:CreateLogGroup DeleteLogGroup ListTagsForResource PutRetentionPolicy TagResource UntagResource",
            group,
            f"{group}:*",
        ),
        allow("DescribeLogGroups", "logs:DescribeLogGroups", EVERYTHING),
        allow("ListImages", "ecr:ListImages", names.repository_arn),
        allow("DescribeLogStreams", "logs:DescribeLogStreams", group, f"{group}:*"),
        *(data if infra.delete_data else []),
    ]


def _identities(names: Names, resources: Mapping[str, str], on_instances: bool) -> list[Statement]:
    roles = [names.role(resources[kind]) for kind in ("execution_role", "job_role", "service_role")]
    instance = names.role(resources["instance_role"])
    iam = f"arn:{names.partition}:iam::{names.account}"
    statements = [
        allow("ManageRoles", _ROLES, *roles, *([instance] if on_instances else [])),
        allow(
            "ManageDispatcherPolicy",
            "iam:CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion"
            " ListPolicyVersions TagPolicy UntagPolicy",
            f"{iam}:policy/{resources['dispatcher']}",
        ),
        allow(
            "PassRoleToBatch",
            "iam:PassRole",
            names.role(resources["service_role"]),
            StringEquals={"iam:PassedToService": "batch.amazonaws.com"},
        ),
    ]
    if on_instances:
        statements += [
            allow(
                "ManageInstanceProfile",
                "iam:AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile"
                " RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile",
                f"{iam}:instance-profile/{resources['instance_role']}",
            ),
            allow(
                "PassRoleToInstances",
                "iam:PassRole",
                instance,
                StringEquals={"iam:PassedToService": ec2_principal(names.partition)},
            ),
        ]
    return statements


def _batch(infra: InfraSettings, names: Names) -> list[Statement]:
    environments = names.arn("batch", f"compute-environment/{infra.prefix}-batch-*")
    return [
        allow(
            "ManageQueue",
            "batch:CreateComputeEnvironment CreateJobQueue DeleteComputeEnvironment DeleteJobQueue TagResource"
            " UntagResource UpdateComputeEnvironment UpdateJobQueue",
            environments,
            names.queue_arn,
        ),
        allow("DescribeQueues", "batch:DescribeComputeEnvironments DescribeJobQueues", EVERYTHING),
    ]
