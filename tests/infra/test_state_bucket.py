# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Terraform's state moves from this user's data to a bucket, and is found there from then on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.infra.company import ACCOUNT, REGION, Company

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]


def test_the_state_moves_to_a_bucket(guarded_aws: LocalAWS, tmp_path: Path) -> None:
    company = Company.founded("moved", guarded_aws, tmp_path)
    company.credentials["admin"] = guarded_aws.section()["credentials"]  # the bucket is the company's own affair
    s3 = company.client("s3")
    s3.create_bucket(Bucket="states")
    company.infra("plan", "--compute", "FARGATE", by="admin")
    company.shell.terraform(company.folder, "apply", "-auto-approve", "-target=terraform_data.limits")

    company.infra("plan", "--state-bucket", "states", by="admin")
    key = f"terraform/covalent-awsbatch/{ACCOUNT}-{REGION}-moved.tfstate"
    state = json.loads(s3.get_object(Bucket="states", Key=key)["Body"].read())
    assert [each["name"] for each in state["resources"] if each["mode"] == "managed"] == ["limits"]
    assert not (company.folder / "terraform.tfstate").read_text()
    assert "has 1 resources" in company.infra("status", by="admin")

    assert "The stack is deleted." in company.infra("down", "--yes", by="admin")
    state = json.loads(s3.get_object(Bucket="states", Key=key)["Body"].read())
    assert state["resources"] == []
