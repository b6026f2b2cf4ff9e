# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The rule that tools/commit_subjects.py holds commits to."""

import runpy
from pathlib import Path

import pytest

complaint = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "commit_subjects.py"))["complaint"]


@pytest.mark.parametrize(
    "subject",
    [
        "core: move four helpers below the slices that use them",
        "jobs, tasks: pass the clock",
        "jobs/outcomes: need no network",
        "ci: check subjects",
        "tests: " + "x" * 65,
    ],
)
def test_commit_subject_in_the_form_passes(subject: str) -> None:
    assert complaint(subject) == ""


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("tests: " + "x" * 66, "73 characters"),
        ("A job that is cut off takes along what would have lost", "is not `area: imperative`"),
        ("core: Move a file", "is not `area: imperative`"),
        ("Core: move a file", "is not `area: imperative`"),
        ("core:move a file", "is not `area: imperative`"),
        ("core: moved a file", "'moved'"),
        ("core: moving a file", "'moving'"),
        ("core: moves a file", "'moves'"),
        ("core: the file moves", "'the'"),
        ("core: what was there moves", "'what'"),
        ("core: move a file.", "ends with a dot"),
        ("", "is not `area: imperative`"),
    ],
)
def test_commit_subject_out_of_form_is_refused(subject: str, reason: str) -> None:
    assert reason in complaint(subject)
