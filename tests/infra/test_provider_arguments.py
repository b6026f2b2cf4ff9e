# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Every argument that assets/infra sets is known to each version of the AWS provider that its range admits.

`tools/provider_arguments.py` makes the table of arguments, from the provider's schema and from PyPI's bindings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.infra.hcl import Body, blocks, bodies

INFRA = Path(__file__).parents[2] / "assets" / "infra"
TABLE = json.loads(Path(__file__).with_name("provider_arguments.json").read_text(encoding="utf-8"))
USED = [body for body in bodies(INFRA) if body.type.startswith("aws")]


def unknown(version: str, used: list[Body]) -> set[str]:
    known = TABLE[version]["arguments"]
    return {
        f"{body.address}: {path}" for body in used for path in body.arguments if path not in known.get(body.address, ())
    }


def admitted(version: str) -> bool:
    (versions,) = re.findall(r'^ +version = "(.+)"$', (INFRA / "main.tf").read_text(), re.MULTILINE)
    return SpecifierSet(versions).contains(version)


@pytest.mark.parametrize("version", TABLE)
def test_the_range_admits_a_version_if_and_only_if_it_knows_every_argument(version: str) -> None:
    assert admitted(version) == (not unknown(version, USED)), unknown(version, USED)


def test_one_argument_keeps_version_6_out() -> None:
    """When this set gets empty, the range can be opened."""
    assert unknown("6.25.0", USED) == {"resource aws_batch_compute_environment: compute_environment_name_prefix"}


def test_the_table_has_both_ends_and_every_type() -> None:
    assert set(TABLE) == {"5.100.0", "6.25.0"}
    for version in TABLE.values():
        assert version["source"]
        assert {body.address for body in USED} <= version["arguments"].keys()


def test_all_blocks_of_the_files_are_read() -> None:
    written = sum(
        len(re.findall(r'^(?:resource|data) "|^provider "', path.read_text(), re.MULTILINE))
        for path in INFRA.glob("*.tf")
    )
    assert len(list(bodies(INFRA))) == written
    assert sum(len(body.arguments) for body in USED) > 100


def test_an_argument_in_any_place_is_found() -> None:
    text = """
    # comment { "
    resource "aws_batch_job_queue" "this" {
      name = "${var.a}-b" // a comment
      tags = { made_up = [for x in local.y : x if x != "}"] }
      unheard_of = 1
      dynamic "job_state_time_limit_action" {
        for_each = { for a in b : a => 1 }
        content {
          action = "CANCEL"
          strange { deep = 2 }
        }
      }
      lifecycle { ignore_changes = [name] }
    }
    """
    assert unknown("5.100.0", list(blocks(text))) == {
        f"resource aws_batch_job_queue: {path}"
        for path in ("unheard_of", "job_state_time_limit_action.strange", "job_state_time_limit_action.strange.deep")
    }
