# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`check` is green on the offline AWS, and red in the right line where AWS does something else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.check.plan import NAMES
from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.local import LocalAWS
from tests.check.planted_faults import EMPTY, NO_KEY, Liar, body_of, lying, records, same_answer_again

DELETED = (200, [("Content-Type", "application/xml")], b"<DeleteResult/>")
NO_FAILURES = (200, [("Content-Type", "application/x-amz-json-1.1")], b'{"imageIds": [], "failures": []}')


@pytest.fixture(scope="module")
def small_aws() -> Iterator[LocalAWS]:
    """An offline AWS with room for two jobs, so that a third one is RUNNABLE."""
    aws = LocalAWS(engine="process", slots=2, grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


def check(settings: dict[str, Any], *words: str) -> Result:
    options = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return CliRunner().invoke(main, ["check", "--yes", *words, *options], catch_exceptions=False)


def lines(output: str) -> dict[str, str]:
    """Return the lines of results by the name of their check."""
    found = (line.split(maxsplit=1) for line in output.splitlines() if line.startswith(("ok ", "BAD ", "? ")))
    return {rest.partition(":")[0]: f"{mark} {rest.partition(': ')[2]}" for mark, rest in found}


def test_every_check_is_green_on_the_offline_aws(small_aws: LocalAWS, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = check(small_aws.section(), "--json", str(record))
    told = lines(done.stdout)
    assert list(told) == list(NAMES), done.output
    # the process engine needs less than a DescribeJobs call to start a job that has room
    unseen = (
        {"cancel-starting"} if "passed STARTING before DescribeJobs showed it" in told["cancel-starting"] else set()
    )
    assert {name for name, mark in told.items() if not mark.startswith("ok")} == unseen, done.output
    assert done.exit_code == 0
    body = json.loads(record.read_text(encoding="utf-8"))
    assert {each["state"] for each in body["checks"] if each["name"] not in unseen} == {"ok"}
    assert body["differences"] == []
    names = [value for key, value in small_aws.section().items() if key.endswith("_name") or key == "batch_queue"]
    assert [name for name in (*names, "123456789012", "arn:aws") if name in record.read_text(encoding="utf-8")] == []


def without(*path: str) -> Callable[[dict[str, Any]], object]:
    """Return an edit of a record that takes a field away."""

    def edit(job: dict[str, Any]) -> object:
        place = job
        for name in path[:-1]:
            place = place.get(name, {})
        return place.pop(path[-1], None)

    return edit


def wrong_exit_code(job: dict[str, Any]) -> None:
    if "exitCode" in job.get("container", {}):
        job["container"]["exitCode"] = 0


def no_attempts(job: dict[str, Any]) -> None:
    job["attempts"] = []


def another_death(job: dict[str, Any]) -> None:
    for place in (job.get("container", {}), *(each.get("container", {}) for each in job.get("attempts", ()))):
        place.pop("reason", None)


def text_for_a_time(job: dict[str, Any]) -> None:
    job["createdAt"] = str(job["createdAt"])


def plant(*edits: Callable[[dict[str, Any]], object]) -> Callable[[Liar], None]:
    return lambda liar: liar.answers.extend(records(edit) for edit in edits)


def swallow(operation: str, answer: Any = EMPTY, times: int = 1000) -> Callable[[Liar], None]:
    return lambda liar: liar.swallowed.update({operation: (times, answer)})


def change(operation: str, pattern: str, status: int, edit: Callable[[bytes], bytes]) -> Callable[[Liar], None]:
    return lambda liar: liar.answers.append(body_of(operation, pattern, status, edit))


FAULTS: dict[str, tuple[Callable[[Liar], None], str, str, str]] = {  # fault, the check that is made, red line, words
    "no log stream": (plant(without("container", "logStreamName")), "array", "array", "names no log stream"),
    "no last line": (
        change("logs:GetLogEvents", "", 200, lambda _: b'{"events": []}'), "array", "array",
        "last line is not in the log",
    ),
    "wrong exit code": (plant(wrong_exit_code), "array", "array", "exit code 0 of a container that died"),
    "no attempts": (plant(no_attempts), "array", "array", "0 attempts of the container that died"),
    "no status reason": (
        plant(without("statusReason")), "task", "records", "statusReason (value): the field is missing",
    ),
    "a text for a time": (plant(text_for_a_time), "task", "records", "createdAt (value): a text, not a number"),
    "result lost": (change("s3:GetObject", "/results/", 404, lambda _: NO_KEY), "task", "task", ""),
    "no second job": (
        lambda liar: liar.answers.append(same_answer_again("batch:SubmitJob")), "retry-exceptions", "retry-exceptions",
        "ConnectionError",
    ),
    "memory told otherwise": (
        plant(another_death), "out-of-memory", "out-of-memory", "too much memory ended the job as",
    ),
    "objects left": (swallow("s3:DeleteObjects", DELETED), "task", "nothing-left", "left: object"),
    "definitions left": (swallow("batch:DeregisterJobDefinition"), "task", "nothing-left", "job definition arn:"),
    "images left": (swallow("ecr:BatchDeleteImage", NO_FAILURES), "task", "nothing-left", "left: image sha256:"),
}  # fmt: skip

SAMPLE = ("wrong exit code", "no status reason", "result lost", "images left")  # in CI; `make soak` has all


@pytest.mark.parametrize("name", FAULTS if os.environ.get("SOAK") else SAMPLE)
def test_planted_fault_is_red_in_its_line(offline_aws: LocalAWS, tmp_path: Path, name: str) -> None:
    fault, only, red, words = FAULTS[name]
    with lying(offline_aws, tmp_path) as (liar, settings):
        fault(liar)
        done = check(settings, "--only", only, "--patience", "12")
    told = lines(done.stdout)
    assert done.exit_code == 1, done.output
    assert told[red].startswith("BAD"), done.output
    assert words in told[red], told[red]
