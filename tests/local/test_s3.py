# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline S3 refuses what S3 refuses: another Region's signature, another owner, wrong checksums, no encryption."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from tests.local.small_world import World

ELSEWHERE = "eu-west-1"


@pytest.fixture(scope="module")
def aws(opened: Callable[..., World]) -> World:
    return opened("process")


@pytest.fixture
def s3(aws: World) -> Any:
    return aws.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"tests-{uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def key(aws: World) -> str:
    arn: str = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


def client_in(aws: World, region: str) -> Any:
    """A client of S3 that signs for a Region."""
    session = botocore.session.Session(profile=aws.settings["profile"])
    session.set_config_variable("credentials_file", aws.settings["credentials"])
    return session.create_client("s3", region)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def responses(s3: Any, operation: str) -> list[tuple[int, str | None]]:
    """Status and bucket Region of each response that the client gets, redirects too."""
    received: list[tuple[int, str | None]] = []

    def note(response: Any = None, **_: Any) -> None:
        http: AWSResponse = response[0]
        received.append((http.status_code, http.headers.get("x-amz-bucket-region")))

    s3.meta.events.register_first(f"needs-retry.s3.{operation}", note)
    return received


@pytest.mark.parametrize(("signed_for", "status"), [("us-east-1", 400), ("ap-south-1", 301)])
def test_another_regions_signature_is_refused_with_the_buckets_region(aws: World, signed_for: str, status: int) -> None:
    name = f"tests-{uuid4().hex}"
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    client = client_in(aws, signed_for)
    received = responses(client, "HeadBucket")
    assert client.head_bucket(Bucket=name)["BucketRegion"] == ELSEWHERE  # botocore follows; other clients do not
    assert received == [(status, ELSEWHERE), (200, ELSEWHERE)]


@pytest.mark.parametrize(("signed_for", "status"), [("us-east-1", 400), ("ap-south-1", 301)])
def test_another_regions_write_is_refused_with_the_buckets_region(aws: World, signed_for: str, status: int) -> None:
    name = f"tests-{uuid4().hex}"
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    client = client_in(aws, signed_for)
    received = responses(client, "PutObject")
    client.put_object(Bucket=name, Key="k", Body=b"1")
    assert [(received[0]), received[-1][0]] == [(status, ELSEWHERE), 200]


def test_another_owner_is_refused(s3: Any, bucket: str) -> None:
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner="123456789012")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ExpectedBucketOwner="210987654321")
    assert code(error) == "AccessDenied"


@pytest.mark.parametrize(
    "checksum", [{"ChecksumSHA256": "AAAA"}, {"ChecksumCRC32": "AAAAAA=="}, {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}]
)
def test_a_wrong_checksum_is_refused(s3: Any, bucket: str, checksum: dict[str, str]) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", **checksum)
    assert code(error) == "BadDigest"


def test_each_object_is_encrypted_as_the_bucket_says(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    assert s3.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == "AES256"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_a_key_that_is_not_there_is_refused(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=str(uuid4()))
    assert code(error) == "KMS.NotFoundException"


def demand(s3: Any, bucket: str, test: str, name: str, value: str) -> None:
    """Give the bucket a policy that denies what is written with another value of a condition key."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {test: {f"s3:{name}": value}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


@pytest.mark.parametrize(("test", "value"), [("StringNotEquals", "aws:kms"), ("Null", "true")])
def test_a_policy_that_demands_encryption_is_obeyed(s3: Any, bucket: str, key: str, test: str, value: str) -> None:
    demand(s3, bucket, test, "x-amz-server-side-encryption", value)
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy") as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert code(error) == "AccessDenied"
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"


def test_a_policy_that_demands_a_key_is_obeyed_by_an_upload_in_parts(s3: Any, bucket: str, key: str) -> None:
    demand(s3, bucket, "StringNotEquals", "x-amz-server-side-encryption-aws-kms-key-id", key)
    with pytest.raises(ClientError) as error:
        s3.create_multipart_upload(Bucket=bucket, Key="k")
    assert code(error) == "AccessDenied"
    place = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**place, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)["UploadId"]
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"1")
    s3.complete_multipart_upload(
        **place, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert s3.head_object(**place)["SSEKMSKeyId"] == key
