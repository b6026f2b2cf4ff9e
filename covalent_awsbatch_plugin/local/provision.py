# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Create the resources of a fresh offline AWS, with the documented names, from the bucket to the job queue.

They are created through the API over HTTP, as a user would. Only the default VPC's internet gateway is created inside
moto, because the client's model of EC2 takes 0.3 s to load.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

from ..core.files import atomic_write
from ..iam import Names, policy

PROFILE = "local"
PROVISIONER = "provisioner"  # the access key id of `Provisioner`, valid while it runs
BUCKET = "covalent-batch-job-resources"
REPOSITORY = "covalent-batch-job-images"
LOG_GROUP = "covalent-batch-job-logs"
QUEUE = "covalent-batch-queue"
DEFINITION = "covalent-batch-jobs"
EXECUTION_ROLE = "ecsTaskExecutionRole"
JOB_ROLE = "CovalentBatchJobRole"
ENVIRONMENT = "covalent-batch-environment"
BASE_REPOSITORY = "python"
MAX_VCPUS = 256

ACCOUNT = "123456789012"  # moto's
NAMES = {
    "bucket": BUCKET,
    "repository": REPOSITORY,
    "definition": DEFINITION,
    "queue": QUEUE,
    "execution_role": EXECUTION_ROLE,
    "job_role": JOB_ROLE,
    "log_group": LOG_GROUP,
}
_ANYTHING: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@dataclass(frozen=True)
class Network:
    """The subnet and security group of the compute environment; the offline AWS takes any."""

    subnet: str
    security_group: str


class Provisioner:
    """A client that fills an empty offline AWS in `region` at `endpoint_url`, with the key PROVISIONER and `secret`."""

    def __init__(self, endpoint_url: str, region: str, secret: str) -> None:
        self._endpoint_url, self._region = endpoint_url, region
        self._session = botocore.session.Session(profile=None)
        self._session.set_credentials(PROVISIONER, secret)
        self._clients: dict[str, Any] = {}

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            client = self._session.create_client(service, self._region, endpoint_url=self._endpoint_url)
            self._clients[service] = client
        return self._clients[service]

    def run(self, network: Network, credentials_file: Path) -> None:
        """Create all resources, and write the user's credentials file."""
        self._storage()
        for repository in (REPOSITORY, BASE_REPOSITORY):
            self._client("ecr").create_repository(repositoryName=repository)
        self._client("logs").create_log_group(logGroupName=LOG_GROUP)
        self._roles()
        self._queue(network)
        self._user(credentials_file)

    def _storage(self) -> None:
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        s3 = self._client("s3")
        s3.create_bucket(Bucket=BUCKET, **({} if self._region == "us-east-1" else elsewhere))
        # AWS encrypts every new bucket with SSE-S3
        rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})

    def _roles(self) -> None:
        iam = self._client("iam")
        principals = {EXECUTION_ROLE: "ecs-tasks", JOB_ROLE: "ecs-tasks", "AWSBatchServiceRole": "batch"}
        for role, service in (principals | {"ecsInstanceRole": "ec2"}).items():
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=_trust(service))
        names = Names("aws", ACCOUNT, self._region, **NAMES)  # as `covalent-awsbatch iam` prints them
        for role, kind in ((EXECUTION_ROLE, "execution"), (JOB_ROLE, "job")):
            iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(policy(kind, names)))
        iam.create_instance_profile(InstanceProfileName="ecsInstanceRole")
        iam.add_role_to_instance_profile(InstanceProfileName="ecsInstanceRole", RoleName="ecsInstanceRole")

    def _queue(self, network: Network) -> None:
        iam, batch = self._client("iam"), self._client("batch")
        profile = iam.get_instance_profile(InstanceProfileName="ecsInstanceRole")["InstanceProfile"]["Arn"]
        batch.create_compute_environment(
            computeEnvironmentName=ENVIRONMENT,
            type="MANAGED",
            state="ENABLED",
            serviceRole=iam.get_role(RoleName="AWSBatchServiceRole")["Role"]["Arn"],
            computeResources={
                "type": "EC2",
                "minvCpus": 0,
                "maxvCpus": MAX_VCPUS,
                "desiredvCpus": 0,
                "instanceTypes": ["optimal"],
                "instanceRole": profile,
                "subnets": [network.subnet],
                "securityGroupIds": [network.security_group],
            },
        )
        order = [{"order": 1, "computeEnvironment": ENVIRONMENT}]
        batch.create_job_queue(jobQueueName=QUEUE, state="ENABLED", priority=1, computeEnvironmentOrder=order)

    def _user(self, credentials_file: Path) -> None:
        """Create a user and its credentials file: keys, Region and endpoint in one profile."""
        iam = self._client("iam")
        iam.create_user(UserName="covalent")
        iam.put_user_policy(UserName="covalent", PolicyName="all", PolicyDocument=_policy(_ANYTHING))
        key = iam.create_access_key(UserName="covalent")["AccessKey"]
        atomic_write(
            credentials_file,
            f"[{PROFILE}]\n"
            f"aws_access_key_id = {key['AccessKeyId']}\n"
            f"aws_secret_access_key = {key['SecretAccessKey']}\n"
            f"region = {self._region}\n"
            f"endpoint_url = {self._endpoint_url}\n",
            mode=0o600,
        )


def create_internet_gateway(ec2: Any, vpc_id: str) -> None:
    """Give a VPC of moto's `ec2` backend an internet gateway and routes to it, as each default VPC has at AWS."""
    gateway = ec2.create_internet_gateway()
    ec2.attach_internet_gateway(gateway.id, vpc_id)
    for table in ec2.describe_route_tables(filters={"vpc-id": [vpc_id]}):
        ec2.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)


def section(credentials_file: Path, region: str, base_image: str) -> dict[str, Any]:
    """Return the `[executors.awsbatch]` settings that lead to the resources of `Provisioner`."""
    return {
        "credentials": str(credentials_file),
        "profile": PROFILE,
        "region": region,
        "s3_bucket_name": BUCKET,
        "ecr_repo_name": REPOSITORY,
        "batch_job_definition_name": DEFINITION,
        "batch_queue": QUEUE,
        "batch_execution_role_name": EXECUTION_ROLE,
        "batch_job_role_name": JOB_ROLE,
        "batch_job_log_group_name": LOG_GROUP,
        "container_image_uri": base_image,
        "poll_freq": 0.5,
    }


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _trust(service: str) -> str:
    principal = {"Service": f"{service}.amazonaws.com"}
    return _policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
