# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The log of the permissions that the offline AWS checks: every check is in it, and its size has a bound."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local.iam.enforcement import Guard
from covalent_awsbatch_plugin.local.iam.required_actions import Need


class User:
    """A user without any policy."""

    arn = "arn:aws:iam::123456789012:user/nobody"

    def collect_policies(self) -> list[object]:
        return []


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "iam.jsonl"


def checked(path: Path) -> list[str]:
    """Return the resources of the checks in a log file."""
    return [json.loads(line)["resource"] for line in path.read_text().splitlines()]


def test_log_has_each_check_in_a_file_of_this_user_alone(log: Path) -> None:
    guard = Guard(log)
    assert [guard.allows(User(), Need("s3:GetObject", f"object-{number}")) for number in range(3)] == [False] * 3
    assert checked(log) == ["object-0", "object-1", "object-2"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_full_log_is_kept_once_and_begun_anew(log: Path) -> None:
    guard = Guard(log, max_bytes=500)
    for number in range(40):
        guard.allows(User(), Need("s3:GetObject", f"object-{number:02}"))
    guard.allows(User(), Need("s3:GetObject", "the last"))
    before = log.with_name("iam.before.jsonl")
    assert checked(before)[0] > "object-20"
    assert [*checked(before), *checked(log)][-3:] == ["object-38", "object-39", "the last"]
    assert before.stat().st_size + log.stat().st_size < 1500
    assert sorted(path.name for path in log.parent.iterdir()) == ["iam.before.jsonl", "iam.jsonl"]
