# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Buckets that are not plain: in another Region than the queue, with a KMS key, with a policy that demands a header."""

from __future__ import annotations

import json
import platform
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.errors import NotAllowed, Refused
from covalent_awsbatch_plugin.infra.checks import OK, Finding
from covalent_awsbatch_plugin.infra.doctor import Doctor
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks import clean
from covalent_awsbatch_plugin.tasks.client import connect
from tests.local.small_world import World as Images
from tests.local.small_world import compose
from tests.tasks.small_world import World

cloudpickle.register_pickle_by_value(sys.modules[__name__])

BIG = 300_000  # bytes: more than fit into an envelope
WAYS: list[dict[str, Any]] = [
    {"payload": "image"},
    {"payload": "s3"},
    {"payload": "image", "max_baked_mib": 0},
    {"payload": "s3", "tasks_per_job": 2},
]


def add(x: bytes, y: bytes) -> bytes:
    return x + y


def bucket_in(world: World, region: str = "") -> str:
    name = f"tests-{uuid.uuid4().hex}"
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region else {}
    world.client("s3").create_bucket(Bucket=name, **place)
    return name


def key_of(world: World) -> str:
    arn: str = world.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


def demanding(world: World, name: str, value: str) -> str:
    """A bucket whose policy denies each object with another value of a condition key."""
    bucket = bucket_in(world)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"StringNotEquals": {f"s3:{name}": value}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    world.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    return bucket


async def findings(settings: Settings) -> dict[str, Finding]:
    async with connect(settings) as client:
        return {found.name: found async for found in Doctor(client.services, settings).findings()}


# ---- another Region --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", WAYS)
async def test_a_task_with_its_bucket_in_another_region_returns_its_value(world: World, way: dict[str, Any]) -> None:
    settings = world.settings(s3_bucket_name=bucket_in(world, "eu-west-1"), delete_objects=False, **way)
    assert await world.value(settings, add, b"x" * BIG, b"y") == b"x" * BIG + b"y"


async def test_doctor_says_that_a_bucket_in_another_region_costs_transfer(world: World) -> None:
    found = await findings(world.settings(s3_bucket_name=bucket_in(world, "eu-west-1")))
    assert found["bucket"].state == found["bucket writable"].state == OK
    assert "in eu-west-1: AWS bills all transfer between it and the jobs in us-east-1" in found["bucket"].text


async def test_objects_of_a_bucket_in_another_region_are_deleted_with_the_task(world: World) -> None:
    bucket = bucket_in(world, "eu-west-1")
    assert await world.value(world.settings(s3_bucket_name=bucket, payload="s3"), add, b"x" * BIG, b"y")
    await close_shared()
    assert world.client("s3").list_objects_v2(Bucket=bucket).get("Contents", []) == []


# ---- encryption ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", WAYS)
async def test_each_object_has_the_encryption_of_the_settings(world: World, way: dict[str, Any]) -> None:
    key = key_of(world)
    bucket = demanding(world, "x-amz-server-side-encryption-aws-kms-key-id", key)
    settings = world.settings(s3_bucket_name=bucket, kms_key=key, delete_objects=False, **way)
    assert await world.value(settings, add, b"x" * BIG, b"y") == b"x" * BIG + b"y"
    s3 = world.client("s3")
    objects = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    heads = [s3.head_object(Bucket=bucket, Key=name) for name in objects]
    assert {(head["ServerSideEncryption"], head["SSEKMSKeyId"]) for head in heads} == {("aws:kms", key)}


async def test_a_policy_that_demands_sse_s3_is_met_by_sse(world: World) -> None:
    bucket = demanding(world, "x-amz-server-side-encryption", "AES256")
    settings = world.settings(s3_bucket_name=bucket, sse="AES256", payload="s3")
    assert await world.value(settings, add, b"x", b"y") == b"xy"


async def test_a_policy_that_demands_encryption_is_told_before_a_job_is_sent(world: World) -> None:
    bucket = demanding(world, "x-amz-server-side-encryption", "aws:kms")
    before = world.sent().jobs
    with pytest.raises(NotAllowed, match="set `sse` or `kms_key`"):
        await world.value(world.settings(s3_bucket_name=bucket, payload="s3"), add, b"x", b"y")
    assert world.sent().jobs == before


async def test_doctor_writes_as_a_task_does(world: World) -> None:
    bucket = demanding(world, "x-amz-server-side-encryption", "aws:kms")
    found = await findings(world.settings(s3_bucket_name=bucket))
    assert "set `sse` or `kms_key`" in found["bucket writable"].advice
    found = await findings(world.settings(s3_bucket_name=bucket, kms_key=key_of(world)))
    assert found["bucket writable"].state == OK


async def test_a_key_that_does_not_exist_is_told_by_the_setting(world: World) -> None:
    with pytest.raises(Refused, match="Correct `kms_key`"):
        await world.value(world.settings(kms_key=str(uuid.uuid4()), payload="s3"), add, b"x", b"y")


# ---- the base image --------------------------------------------------------------------------------------------------
async def test_a_base_image_with_a_proxy_and_variables_of_aws_does_not_lose_the_result(world: World) -> None:
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    steering = {
        "AWS_ENDPOINT": "http://127.0.0.1:9",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_ACCESS_KEY_ID": "somebody-elses",
        "AWS_SECRET_ACCESS_KEY": "somebody-elses",
    }
    lines = {"PYTHON_VERSION": platform.python_version()} | proxies | steering
    image = compose(Images(world.aws), {"note": b""}, Env=[f"{name}={value}" for name, value in lines.items()])
    settings = world.settings(container_image_uri=image, payload="s3", max_baked_mib=0)
    assert await world.value(settings, add, b"x" * BIG, b"y") == b"x" * BIG + b"y"


# ---- the owner -------------------------------------------------------------------------------------------------------
async def test_every_request_to_the_bucket_names_its_owner(world: World) -> None:
    unnamed: list[str] = []

    def note(request: Any, operation_name: str = "", **_: Any) -> None:
        if "x-amz-expected-bucket-owner" not in {name.lower() for name in request.headers}:
            unnamed.append(request.method)

    settings = world.settings(payload="s3", max_baked_mib=0)
    async with connect(settings) as client:
        s3 = await client.services.aws.client("s3")
        s3.meta.events.register("before-send.s3", note)
        assert await world.value(settings, add, b"x" * BIG, b"y")
        await findings(settings)
        await clean.remove(client.services, settings, await clean.find(client.services, settings, datetime.now(UTC)))
    assert unnamed == []
