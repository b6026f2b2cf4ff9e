# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Envelopes: whatever is done to one, it is opened as it was sealed or refused before anything in it is unpickled."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.runner.protocol import envelope as env
from covalent_awsbatch_plugin.runner.protocol.envelope import (
    BadEnvelope,
    Envelope,
    Part,
    TaskResult,
    Usage,
    seal,
    unseal,
)

QUICK = settings(database=None, deadline=None)
OUTCOMES = (env.RETURNED, env.RAISED, env.EXITED, env.KILLED, env.TERMINATED)
KEY = b"k" * 32

job_ids = st.uuids().map(str) | st.tuples(st.uuids(), st.integers(0, 9999)).map(lambda pair: f"{pair[0]}:{pair[1]}")
attempts = st.integers(1, 10)
keys = st.binary(min_size=32, max_size=32)


seconds = st.none() | st.floats(0, 1e12)
counts = st.none() | st.integers(0, 2**62)
usages = st.none() | st.builds(Usage, seconds, seconds, seconds, seconds, counts, counts, counts)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Of any tasks, with parts inline and parts of their own."""
    body, tasks = b"", []
    for node in draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True)):
        parts = {}
        for name in draw(st.sets(st.sampled_from(env.PARTS))):
            data = draw(st.binary(max_size=50))
            inline = draw(st.booleans())
            parts[name] = Part(len(data), hashlib.sha256(data).hexdigest(), len(body) if inline else None)
            body += data if inline else b""
        ended = draw(st.none() | st.integers(0, 255)), draw(st.none() | st.integers(1, 64))
        words, usage = draw(st.none() | st.text()), draw(usages)
        tasks.append(TaskResult(node, draw(st.sampled_from(OUTCOMES)), *ended, words, parts, usage))
    return Envelope(draw(job_ids), draw(attempts), draw(st.text(max_size=10)), tuple(tasks), body)


def opened(data: bytes, like: Envelope, key: bytes = KEY) -> Envelope:
    return unseal(data, key, job_id=like.job_id, attempt=like.attempt)


@QUICK
@given(envelopes(), keys)
def test_what_was_sealed_is_opened_as_it_was(whole: Envelope, key: bytes) -> None:
    assert opened(seal(whole, key), whole, key) == whole


@QUICK
@given(envelopes(), st.data())
def test_no_byte_can_be_changed(whole: Envelope, data: st.DataObject) -> None:
    sealed = bytearray(seal(whole, KEY))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadEnvelope, match="no result of a task|cut or changed"):
        opened(bytes(sealed), whole)


@QUICK
@given(envelopes(), st.data())
def test_nothing_can_be_cut_off_or_out(whole: Envelope, data: st.DataObject) -> None:
    sealed = seal(whole, KEY)
    start = data.draw(st.integers(0, len(sealed) - 1))
    end = data.draw(st.integers(start + 1, len(sealed)))
    if (less := sealed[:start] + sealed[end:]) != sealed:
        with pytest.raises(BadEnvelope, match="no result of a task|cut or changed"):
            opened(less, whole)


@QUICK
@given(envelopes(), st.binary(min_size=1, max_size=80), st.data())
def test_nothing_can_be_put_in(whole: Envelope, more: bytes, data: st.DataObject) -> None:
    sealed = seal(whole, KEY)
    at = data.draw(st.sampled_from([0, len(sealed)]) | st.integers(0, len(sealed)))
    with pytest.raises(BadEnvelope, match="no result of a task|cut or changed"):
        opened(sealed[:at] + more + sealed[at:], whole)


@QUICK
@given(envelopes(), keys, keys)
def test_another_key_opens_nothing(whole: Envelope, key: bytes, other: bytes) -> None:
    if key != other:
        with pytest.raises(BadEnvelope, match="not written with this task's key"):
            opened(seal(whole, key), whole, other)


@QUICK
@given(envelopes(), job_ids, attempts)
def test_it_is_of_one_attempt_of_one_job(whole: Envelope, job_id: str, attempt: int) -> None:
    for asked in ((job_id, whole.attempt), (whole.job_id, attempt), (job_id, attempt)):
        if asked != (whole.job_id, whole.attempt):
            with pytest.raises(BadEnvelope, match=f"is of job {whole.job_id}, attempt {whole.attempt}; expected"):
                unseal(seal(whole, KEY), KEY, job_id=asked[0], attempt=asked[1])


@QUICK
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: env.MAGIC + rest))
def test_bytes_of_any_kind_are_no_envelope(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        unseal(data, KEY, job_id="j", attempt=1)


leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
numbers = st.integers(-3, 60)
part = st.fixed_dictionaries({"size": numbers, "sha256": st.text(max_size=3)}, optional={"offset": numbers | anything})
parts = st.dictionaries(st.sampled_from(env.PARTS) | st.text(max_size=3), part | anything, max_size=2)
task = st.fixed_dictionaries(
    {"node_id": numbers | anything, "outcome": st.sampled_from(OUTCOMES) | anything, "parts": parts | anything},
    optional={
        "exit_code": anything,
        "signal": anything,
        "exception_type": anything,
        "more": anything,
        "usage": st.dictionaries(st.sampled_from([*vars(Usage())]) | st.text(max_size=3), numbers | anything)
        | anything,
    },
)
header = st.fixed_dictionaries(
    {
        "version": st.sampled_from(env.READABLE_VERSIONS) | anything,
        "job_id": st.just("j"),
        "attempt": st.just(1),
        "python": st.just("3") | anything,
    },
    optional={"tasks": st.lists(task | anything, max_size=2) | anything, "more": anything},
)

NO_PARTS = {
    "version": env.VERSION,
    "job_id": "j",
    "attempt": 1,
    "python": "3",
    "tasks": [{"node_id": 0, "outcome": env.RETURNED, "parts": None}],
}


def with_header(written: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """Sealed with the right key: who writes so has it, and may still write nonsense."""
    signed = (len(written) if length is None else length).to_bytes(8, "big") + written + body
    return env.MAGIC + hmac.digest(KEY, signed, "sha256") + signed


@QUICK
@given(header | anything, st.binary(max_size=60))
@example(NO_PARTS, b"")
def test_nonsense_under_the_right_key_is_refused_by_the_same_error(told: Any, body: bytes) -> None:
    try:
        found = unseal(with_header(json.dumps(told).encode(), body), KEY, job_id="j", attempt=1)
    except BadEnvelope:
        return
    for each in found.tasks:
        assert type(each.node_id) is int and each.parts.keys() <= set(env.PARTS)


@QUICK
@given(st.binary(max_size=60), st.none() | st.integers(0, 2**64 - 1))
def test_a_header_that_is_no_json_is_refused_by_the_same_error(written: bytes, length: int | None) -> None:
    with pytest.raises(BadEnvelope):
        unseal(with_header(written, length=length), KEY, job_id="j", attempt=1)


@pytest.mark.parametrize("lie", [{"sha256": "0" * 64}, {"size": 2}, {"offset": 9}, {"offset": -1}])
def test_a_header_that_lies_about_a_part_is_refused(lie: dict[str, Any]) -> None:
    true = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest(), "offset": 0}
    lying = TaskResult(0, env.RETURNED, parts={env.OUTPUT: Part(**(true | lie))})
    with pytest.raises(BadEnvelope, match="not what the header says"):
        opened(seal(whole := Envelope("j", 1, "3.11", (lying,), b"x"), KEY), whole)


@pytest.mark.parametrize(
    "told",
    [{"node_id": "0/../../authorized_keys"}, {"parts": {"../../authorized_keys": {"size": 0, "sha256": ""}}}],
    ids=["node", "part"],
)
def test_no_name_in_a_result_leads_out_of_the_folder_it_is_written_to(told: dict[str, Any]) -> None:
    """A task's own function can read its key, and the client makes files of these names."""
    task = {"node_id": 0, "outcome": env.RETURNED, "parts": {}} | told
    written = json.dumps(
        {"version": env.VERSION, "job_id": "j", "attempt": 1, "python": "3.11", "tasks": [task]}
    ).encode()
    with pytest.raises(BadEnvelope, match="none that a runner writes"):
        unseal(with_header(written), KEY, job_id="j", attempt=1)


# ---- versions --------------------------------------------------------------------------------------------------------
OLD = Path(__file__).parent / "formats" / "envelope-1.bin"  # written by the code of version 1
OLD_JOB = "8a7c0f6e-0000-4b1f-9c4d-2f1a5ae7f3b2:7"


def test_envelope_of_version_1_is_read_without_usage() -> None:
    whole = unseal(OLD.read_bytes(), KEY, job_id=OLD_JOB, attempt=2)
    first, second = whole.tasks
    assert (first.outcome, whole.inline(first.parts[env.OUTPUT]), first.usage) == (env.RETURNED, b"value", None)
    assert (second.exception_type, second.parts[env.STDOUT].size, second.usage) == ("ZeroDivisionError", 300_000, None)
    assert opened(seal(whole, KEY), whole) == whole


def test_envelope_of_version_2_is_read_with_usage() -> None:
    whole = unseal(OLD.with_name("envelope-2.bin").read_bytes(), KEY, job_id=OLD_JOB, attempt=2)
    first, second = whole.tasks
    assert (first.outcome, whole.inline(first.parts[env.OUTPUT])) == (env.RETURNED, b"value")
    assert first.usage == Usage(1.0, 2.0, 0.5, 0.25, 1024, 10, 5)
    assert (second.exception_type, second.usage) == ("ZeroDivisionError", None)


@pytest.mark.parametrize("version", [0, 4, 99])
def test_envelope_of_an_unknown_version_is_refused_with_what_to_do(version: int) -> None:
    told = {**NO_PARTS, "version": version}
    with pytest.raises(
        BadEnvelope, match=rf"has format {version}, .* reads formats 1, 2 and 3: read it with the version"
    ):
        unseal(with_header(json.dumps(told).encode()), KEY, job_id="j", attempt=1)


@pytest.mark.parametrize(
    "lie",
    [
        {"started": -1.0}, {"ended": float("nan")}, {"user_cpu_seconds": float("inf")}, {"peak_rss_bytes": 1.5},
        {"bytes_in": True}, {"bytes_out": "9"}, {"peak_rss_bytes": 2**63}, {"more": 1},
    ],
)  # fmt: skip
def test_usage_that_no_runner_writes_is_refused(lie: dict[str, Any]) -> None:
    whole = Envelope("j", 1, "3.11", (TaskResult(0, env.RETURNED, usage=Usage(1.0, 2.0)),))
    header = json.loads(seal(whole, KEY)[48:])
    header["tasks"][0]["usage"] |= lie
    with pytest.raises(BadEnvelope, match="none that a runner writes"):
        opened(with_header(json.dumps(header).encode()), whole)
