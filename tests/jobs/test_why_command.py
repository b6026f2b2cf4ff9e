# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch why`: a record in a file or on standard input, without AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from tests.jobs.records import RECORDS

OOM = RECORDS["out of memory, exit 137"].detail
HOST = RECORDS["host terminated"].detail


def why(*options: str, held: Any = None) -> Result:
    data = held if isinstance(held, bytes) else json.dumps(held).encode()
    return CliRunner().invoke(main, ["why", *options], input=data)


def test_why_of_a_file_prints_the_error_text(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"jobs": [OOM]}))
    told = why("--file", str(file))
    assert told.exit_code == 0
    assert told.stdout.startswith("`fit` (Batch job 4f1c0b7e) needed more memory than it was given.\n")


@pytest.mark.parametrize(
    "held",
    [OOM, {"jobs": [OOM]}, {"jobSummaryList": [OOM]}, {"detail-type": "Batch Job State Change", "detail": OOM}],
    ids=["job", "describe-jobs", "list-jobs", "event"],
)
def test_json_for_programs(held: Any) -> None:
    told = why("--file", "-", "--json", held=held)
    assert told.exit_code == 0
    body = json.loads(told.stdout)
    assert (body["cause"], body["blame"], body["retry_may_help"]) == ("out_of_memory", "user", False)
    assert (body["job_id"], body["detail"]) == ("4f1c0b7e", None)
    assert "Container killed due to memory usage" in body["says"]
    assert body["advice"]


def test_a_list_gets_a_list() -> None:
    told = json.loads(why("--file", "-", "--json", held=[OOM, HOST]).stdout)
    assert [body["cause"] for body in told] == ["out_of_memory", "host_lost"]
    assert [body["cause"] for body in json.loads(why("--file", "-", "--json", held=[HOST]).stdout)] == ["host_lost"]
    assert why("--file", "-", held=[OOM, HOST]).stdout.count("Cause: ") == 2


def test_a_record_with_nothing_in_it_is_still_a_record() -> None:
    told = why("--file", "-", "--json", held={})
    assert (told.exit_code, json.loads(told.stdout)["cause"]) == (0, "unknown")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"", "it is empty"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe{}", "it is not UTF-8 text"),
        (b"[" * 100_000, "it is not the JSON of a job record"),
        (b"null", "it holds null where a job record should be"),
        (b'[{}, "x"]', "it holds a string where a job record should be"),
        (b'{"jobs": []}', "it lists no jobs"),
        (b"[]", "it lists no jobs"),
    ],
    ids=["empty", "cut", "binary", "deep", "null", "string", "no jobs", "empty list"],
)
def test_what_is_no_record_is_told_in_one_sentence(held: bytes, said: str) -> None:
    told = why("--file", "-", "--json", held=held)
    assert (told.exit_code, told.stdout) == (2, "")
    assert said in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    told = why("--file", str(tmp_path / "no.json"))
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert "No such file" in told.stderr


@pytest.mark.parametrize("arguments", [(), ("4f1c0b7e", "--file", "-")])
def test_a_job_or_a_file(arguments: tuple[str, ...]) -> None:
    told = why(*arguments)
    assert told.exit_code == 2
    assert "Give either a JOB_ID or --file." in told.stderr
