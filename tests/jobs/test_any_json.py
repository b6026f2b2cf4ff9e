# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Whatever JSON says it is a job: an outcome, of the closed lists, that can be printed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.jobs.outcomes.causes import Blame, Cause, Detail
from covalent_awsbatch_plugin.jobs.outcomes.classify import why
from covalent_awsbatch_plugin.jobs.outcomes.errors import error_text
from covalent_awsbatch_plugin.jobs.outcomes.records import Unreadable, records_of
from tests.jobs.records import RECORDS

QUICK = settings(database=None, deadline=None, max_examples=150)

words = st.sampled_from([text for each in RECORDS.values() for text in (each.status_reason, each.reason) if text])
text = st.text(max_size=300) | words | st.tuples(words, st.text(max_size=20)).map("".join)
leaf = st.none() | st.booleans() | st.integers() | st.floats() | text
anything = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
code = st.none() | st.integers(-1, 300) | anything
container = st.fixed_dictionaries(
    {}, optional={"exitCode": code, "reason": text | anything, "logStreamName": anything, "memory": anything}
)
attempts = st.lists(
    st.fixed_dictionaries({}, optional={"container": container | anything, "statusReason": text | anything}) | anything,
    max_size=4,
)
statuses = st.sampled_from(["SUCCEEDED", "FAILED", "RUNNABLE", "RUNNING", "{x}", ""])
details = st.fixed_dictionaries(
    {},
    optional={
        "jobId": anything,
        "jobName": anything,
        "status": statuses | anything,
        "statusReason": text | anything,
        "container": container | anything,
        "attempts": attempts | anything,
        "isCancelled": anything,
        "isTerminated": anything,
        "logTail": text | anything,
        "timeout": anything,
        "arrayProperties": anything,
        "ecsProperties": anything,
        "eksProperties": anything,
        "eksAttempts": anything,
        "nodeProperties": anything,
        "exitCode": code,
        "reason": text | anything,
    },
)


@QUICK
@given(details)
def test_an_outcome_for_any_record(detail: dict[str, Any]) -> None:
    outcome = why(detail)
    body = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert body["cause"] in set(Cause)
    assert body["blame"] in set(Blame)
    assert body["detail"] in {None, *Detail}
    assert (body["detail"] is None) == (body["cause"] != Cause.IMAGE_PULL)
    assert body["retry_may_help"] in (True, False, None)
    assert isinstance(body["says"], str)
    assert isinstance(body["advice"], str)
    error_text(outcome).encode()  # nothing in it that a terminal's encoding refuses


@QUICK
@given(anything.map(lambda held: json.dumps(held).encode()) | st.binary(max_size=200))
def test_a_file_is_read_or_refused_in_one_sentence(data: bytes) -> None:
    try:
        details = records_of(data).details
    except Unreadable as refusal:
        details, said = (), str(refusal)
    else:
        said = ""
    assert all(why(detail).cause in set(Cause) for detail in details)
    assert bool(details) != bool(said)
    assert "\n" not in said
