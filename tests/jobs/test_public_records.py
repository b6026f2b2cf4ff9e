# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`why` on records that people published, each with its source and the cause that its thread found.

Set 1 was known while the rules were written; set 2 was collected afterwards, and its score tells whether the rules hold
for texts that they were not written for. `settled` is false where the thread itself was not sure.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.jobs.outcomes.causes import Cause
from covalent_awsbatch_plugin.jobs.outcomes.classify import why

FILE = Path(__file__).with_name("public_records.json")
RECORDS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
KEYS = ["job_id", "cause", "detail", "blame", "retry_may_help", "happened", "says", "advice"]
LEAST = 0.95


def misses(records: list[dict[str, Any]]) -> list[str]:
    outcomes = [(each, why(each["record"])) for each in records]
    return [
        f"{each['source']}: {outcome.cause}, not {each['cause']}"
        for each, outcome in outcomes
        if each["cause"] != outcome.cause
    ]


@pytest.mark.parametrize("sets", [(1,), (2,), (1, 2)], ids=["first", "second", "both"])
def test_of_the_settled_records_95_of_100_get_their_cause(sets: tuple[int, ...]) -> None:
    settled = [each for each in RECORDS if each["settled"] and each["set"] in sets]
    wrong = misses(settled)
    assert 1 - len(wrong) / len(settled) >= LEAST, wrong


def test_the_sets_are_whole_and_differ() -> None:
    first, second = ([each for each in RECORDS if each["set"] == number] for number in (1, 2))
    assert (len(first), len(second) >= 20) == (53, True)
    assert all(each["source"].startswith("https://") for each in second)
    assert not {json.dumps(each["record"]) for each in first} & {json.dumps(each["record"]) for each in second}
    assert {each["cause"] for each in RECORDS} <= set(Cause)


@pytest.mark.parametrize("record", [each["record"] for each in RECORDS])
def test_every_record_has_advice_and_awss_words(record: dict[str, Any]) -> None:
    outcome = why(record)
    assert outcome.advice or outcome.cause in (Cause.SUCCESS, Cause.CANCELLED)
    assert " ".join(str(record.get("statusReason", "")).split()) in " ".join(outcome.says.split())


def test_the_json_of_a_file_keeps_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    for each in RECORDS:
        path.write_text(json.dumps(each["record"]))
        printed = CliRunner().invoke(main, ["why", "--file", str(path), "--json"])
        assert list(json.loads(printed.stdout)) == KEYS
