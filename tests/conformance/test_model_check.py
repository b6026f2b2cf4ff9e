# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The check of requests and of read fields against AWS's models finds what is planted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.model_check import problems, unmodelled_reads
from tests.conformance.reads import noting
from tests.recorded_traffic import Exchange, WireRequest

SCOPE = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
SUBMIT = {"jobName": "job", "jobQueue": "queue", "jobDefinition": "definition"}


def request(service: str, method: str, target: str, body: bytes = b"", **headers: str) -> WireRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireRequest(method, target, {"authorization": SCOPE.format(service)} | named, body)


def submit(parameters: Mapping[str, Any]) -> WireRequest:
    return request("batch", "POST", "/v1/submitjob", json.dumps(parameters).encode())


def found(wire: WireRequest) -> list[str]:
    return problems([Exchange(wire, 200, {})])


VALID = [
    submit(SUBMIT),
    request("s3", "PUT", "/bucket/key", b"value", x_amz_checksum_crc32="AAAAAA==", x_amz_tagging="a=b"),
    request("iam", "POST", "/", b"Action=GetRole&Version=2010-05-08&RoleName=role"),
    request("ec2", "POST", "/", b"Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=state&Filter.1.Value.1=x"),
    request("logs", "POST", "/", b'{"logGroupName": "group", "logStreamName": "stream"}',
            x_amz_target="Logs_20140328.GetLogEvents"),
    request("registry", "HEAD", f"/v2/name/blobs/sha256:{'0' * 64}"),
]  # fmt: skip


@pytest.mark.parametrize("wire", VALID, ids=lambda wire: wire.operation)
def test_a_valid_request_has_no_problem(wire: WireRequest) -> None:
    assert found(wire) == []


WRONG = [
    (submit(SUBMIT | {"jobColour": "red"}), "input has the unknown member jobColour"),
    (submit(SUBMIT | {"timeout": {"seconds": 60}}), "input.timeout has the unknown member seconds"),
    (submit(SUBMIT | {"schedulingPriorityOverride": "1"}), "input.schedulingPriorityOverride is str, not integer"),
    (submit({"jobName": "job", "jobQueue": "queue"}), "input lacks jobDefinition"),
    (request("s3", "PUT", "/bucket/key", b"value", x_amz_colour="red"), "header x-amz-colour"),
    (request("s3", "GET", "/bucket/key?colour=red"), "query parameter colour"),
    (request("s3", "POST", "/bucket?delete", b"<Delete><Colour/></Delete>"), "element Colour"),
    (request("s3", "GET", "/bucket/key", x_amz_checksum_mode="MAYBE"), "is not of the enum"),
    (request("iam", "POST", "/", b"Action=GetRole&Version=2010-05-08&RoleName=role&Colour=red"), "form fields"),
    (request("iam", "POST", "/", b"Action=GetRole&Version=2010-05-08&RoleName=%2F"), "does not match"),
    (request("iam", "POST", "/", b"Action=PaintRole&Version=2010-05-08"), "is no operation of the model"),
    (request("logs", "POST", "/", b'{"logGroupName": "group", "logStreamName": "stream", "limit": 10001}',
             x_amz_target="Logs_20140328.GetLogEvents"), "the max is 10000"),
    (request("registry", "HEAD", "/v2/name/blobs/latest"), "names no digest"),
    (request("registry", "PATCH", "/v2/name/tags/list"), "is no operation"),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_a_wrong_request_has_one_problem(wire: WireRequest, problem: str) -> None:
    (sentence,) = found(wire)
    assert problem in sentence


def test_a_field_that_no_answer_has_is_found_when_it_is_read() -> None:
    reads: list[tuple[str, str, tuple[str, ...]]] = []
    jobs = noting({"jobs": [{"status": "RUNNING"}]}, (), lambda path: reads.append(("batch", "DescribeJobs", path)))
    assert jobs["jobs"][0]["status"] == "RUNNING"
    assert unmodelled_reads(reads) == []
    jobs["jobs"][0].get("statusColour")
    assert unmodelled_reads(reads) == ["batch:DescribeJobs has no jobs.statusColour"]
