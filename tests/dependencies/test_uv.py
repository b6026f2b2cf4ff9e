# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What uv says, and what is to be done about it."""

from __future__ import annotations

import pytest

from covalent_awsbatch_plugin.dependencies.uv import advice_on


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        ("error: Failed to extract\n cause: No space left on device (os error 28)", "Free space"),
        ("error: failed to write to file\n cause: Disk quota exceeded (os error 122)", "Free space"),
        ("error: Failed to download `a==1`\n cause: Hash mismatch for `a==1`", "find out why it changed"),
        (
            "error: Failed to download `a==1`\n cause: HTTP status client error (401 Unauthorized)",
            "must reach the index",
        ),
        ("error: Failed to download and build `a==1`\n cause: The built wheel is not compatible", "Choose a version"),
        ("error: No solution found\n cause: a has no wheels with a matching platform tag", "Choose a version"),
        ("error: Because a was not found in the registry, your requirements are unsatisfiable", "Correct the setting"),
    ],
)
def test_each_failure_has_its_advice(says: str, advice: str) -> None:
    assert advice in advice_on(says)
