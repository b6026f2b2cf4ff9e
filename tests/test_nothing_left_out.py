# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The test suite's own promise: no test is left out in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
NO_ENGINE_THERE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
NEEDS_ENGINE = """
    import pytest

    @pytest.mark.engine
    def test_needs_an_engine(): pass

    def test_needs_nothing(): pass
"""


def outcome_of(folder: Path, text: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of pytest on one small file, with the plugin."""
    indent = len(text.strip("\n")) - len(text.strip("\n").lstrip())
    (folder / "test_small.py").write_text("\n".join(line[indent:] for line in text.strip("\n").splitlines()))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    engine: needs one\n")
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "REQUIRE_ALL", "DOCKER_HOST")}
    command = [sys.executable, "-m", "pytest", "-p", "tests.nothing_left_out", "-p", "no:cacheprovider", str(folder)]
    run = subprocess.run(
        command, cwd=PROJECT, env=kept | environment, capture_output=True, text=True, timeout=60, check=False
    )
    return run.returncode, run.stdout + run.stderr


def test_without_an_engine_the_last_lines_say_what_did_not_run(tmp_path: Path) -> None:
    code, output = outcome_of(tmp_path, NEEDS_ENGINE, **NO_ENGINE_THERE)
    assert code == 0, output
    assert "engine tests: 1 not run, no Docker engine answers; `make engine` starts one" in output
    assert "1 passed, 1 deselected" in output


@pytest.mark.parametrize("word", ["CI", "REQUIRE_ALL"])
def test_where_all_must_run_a_missing_engine_is_a_failure(tmp_path: Path, word: str) -> None:
    code, output = outcome_of(tmp_path, NEEDS_ENGINE, **{word: "true"}, **NO_ENGINE_THERE)
    assert code == 1, output
    assert "1 failed, 1 passed" in output or "1 passed, 1 error" in output
    assert "no Docker engine answers" in output


@pytest.mark.parametrize(
    "text",
    [
        "import pytest\ndef test_skips(): pytest.skip('too lazy')",
        "import pytest\n@pytest.mark.skip(reason='too lazy')\ndef test_skips(): pass",
        "import pytest\npytest.skip('too lazy', allow_module_level=True)",
    ],
    ids=["inside", "by mark", "whole file"],
)
def test_where_all_must_run_a_skip_is_a_failure_with_its_reason(tmp_path: Path, text: str) -> None:
    code, output = outcome_of(tmp_path, text, REQUIRE_ALL="1")
    assert code != 0, output
    assert "was skipped where every test must run" in output
    assert "too lazy" in output
    assert outcome_of(tmp_path, text)[0] in (0, 5), "elsewhere a skip is a skip"
