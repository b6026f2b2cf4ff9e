# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""No planted name, id or key comes through the scrubber."""

from __future__ import annotations

import json

import pytest

from covalent_awsbatch_plugin.check.scrubber import Scrubber

PLANTED = [
    "123456789012", "arn:aws:batch:eu-west-1:123456789012:job/abc", "AKIAIOSFODNN7EXAMPLE", "secret-queue",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "ip-10-0-3-7.eu-west-1.compute.internal", "10.0.3.7",
    "i-0f00dfeed0badcafe", "somebody@example.com", "https://bucket.s3.amazonaws.com/key",
    "sha256:" + "ab" * 32, "0f7a237d-bcfb-4e7f-a5d6-fa9d6a127ede",
]  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("sentence", ["{}", "AWS said '{}' of it.", "a={} (b)"])
def test_planted_text_is_replaced(planted: str, sentence: str) -> None:
    assert planted not in Scrubber({"queue": ["secret-queue"]}).text(sentence.format(planted))


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_text_is_in_no_record(planted: str) -> None:
    record = {
        "jobName": planted, "statusReason": f"failed for {planted}",
        "tags": {planted: planted}, "parameters": [planted],
        "container": {"environment": [{"name": planted, "value": planted}], "reason": planted, "image": planted},
        planted: 1,
    }  # fmt: skip
    assert planted not in json.dumps(Scrubber({"queue": ["secret-queue"]}).record(record))


def test_awss_own_words_stay() -> None:
    told = {"status": "FAILED", "statusReason": "Essential container in task exited", "startedAt": 1796104336250}
    assert Scrubber({}).record(told) == told
