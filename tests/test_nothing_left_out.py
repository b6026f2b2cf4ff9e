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
SKIPS = {
    "inside": "import pytest\ndef test_skips(): pytest.skip('too lazy')",
    "by_mark": "import pytest\n@pytest.mark.skip(reason='too tired')\ndef test_skips(): pass",
    "whole_file": "import pytest\npytest.skip('too old', allow_module_level=True)",
}


def outcome_of(folder: Path, files: dict[str, str], *words: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of pytest on some small files, with the plugin."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    engine: needs one\n    terraform: needs it\n")
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "REQUIRE_ALL", "DOCKER_HOST")}
    kept |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment
    options = ["-p", "tests.nothing_left_out", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *options, *words, str(folder)]
    run = subprocess.run(command, cwd=PROJECT, env=kept, capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("words", [(), ("-p", "xdist", "-n", "2")], ids=["in one process", "shared"])
def test_without_an_engine_the_last_lines_say_what_did_not_run(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, output = outcome_of(tmp_path, {"engine": NEEDS_ENGINE}, *words, **NO_ENGINE_THERE)
    assert code == 0, output
    assert "engine tests: 1 not run, no Docker engine answers; `make engine` starts one" in output
    assert "1 passed" in output
    assert words or "1 passed, 1 deselected" in output, output  # xdist doesn't tell its own process of the latter


def test_without_terraform_the_last_lines_say_what_did_not_run_and_where_all_must_run_it_is_a_failure(
    tmp_path: Path,
) -> None:
    text = "import pytest\n@pytest.mark.terraform\ndef test_needs_terraform(): pass\ndef test_needs_nothing(): pass"
    code, output = outcome_of(tmp_path, {"terraform": text}, TERRAFORM_PROVIDERS="")
    assert code == 0, output
    assert "terraform tests: 1 not run, no Terraform is on PATH, or TERRAFORM_PROVIDERS names no folder" in output
    assert outcome_of(tmp_path, {"terraform": text}, TERRAFORM_PROVIDERS="", REQUIRE_ALL="1")[0] == 1


@pytest.mark.parametrize("word", ["CI", "REQUIRE_ALL"])
def test_where_all_must_run_a_missing_engine_is_a_failure(tmp_path: Path, word: str) -> None:
    code, output = outcome_of(tmp_path, {"engine": NEEDS_ENGINE}, **{word: "true"}, **NO_ENGINE_THERE)
    assert code == 1, output
    assert "1 passed, 1 error" in output
    assert "no Docker engine answers" in output


def test_where_all_must_run_a_skip_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    code, output = outcome_of(tmp_path, SKIPS, REQUIRE_ALL="1")
    assert code == 1, output
    assert output.count("was skipped where every test must run") >= len(SKIPS)
    assert all(reason in output for reason in ("too lazy", "too tired", "too old"))
    assert " skipped" not in output.splitlines()[-1], output


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    code, output = outcome_of(tmp_path, SKIPS)
    assert (code, "3 skipped" in output) == (0, True), output
