# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: no test is left out in silence.

Tests marked `engine` run where a Docker engine answers, those marked `ministack` where MiniStack is installed, those
marked `terraform` where Terraform and its provider are. Where they aren't the tests are left out, and the last lines
say how many and what to do. With REQUIRE_ALL=1 (and in CI, where CI=true) they fail instead, and so does every test
that skips. Tests marked `soak` take minutes each and run with SOAK=1 only; the last lines say how many there are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROVIDERS = "TERRAFORM_PROVIDERS"  # a folder as `terraform providers mirror` makes it
SOAK = "soak"
left_out = pytest.StashKey[dict[str, int]]()


def everything_required() -> bool:
    """REQUIRE_ALL if it is set, else CI."""
    said = os.environ.get("REQUIRE_ALL") or os.environ.get("CI") or ""
    return said.lower() in ("1", "true", "yes")


@cache
def engine_answers() -> bool:
    from covalent_awsbatch_plugin.images.builders.docker_client import docker_answers

    return docker_answers(timeout_s=10)


def terraform_is_here() -> bool:
    return shutil.which("terraform") is not None and os.path.isdir(os.environ.get(PROVIDERS, ""))


def ministack_is_here() -> bool:
    return (ROOT / ".venv-ministack" / "bin" / "python").exists()


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "engine": (engine_answers, "no Docker engine answers; `make engine` starts one"),
    "ministack": (ministack_is_here, "MiniStack is not installed; `make ministack` does it"),
    SOAK: (lambda: bool(os.environ.get("SOAK")), "they take minutes each; `make soak` runs them"),
    "terraform": (
        terraform_is_here,
        f"no Terraform is on PATH, or {PROVIDERS} names no folder with hashicorp/aws; "
        "`terraform providers mirror` makes one",
    ),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[left_out] = {}
    for mark, (is_here, _) in NEEDS.items():
        if mark != SOAK and everything_required():
            continue
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and not is_here():
            config.stash[left_out][mark] = len(marked)
            config.hook.pytest_deselected(items=marked)
            items[:] = [item for item in items if item not in set(marked)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the numbers to the process that writes the last lines, where `-n` shares the tests among several."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(left_out, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the numbers of one process; all collect the same tests."""
    node.config.stash[left_out] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for mark, number in config.stash.get(left_out, {}).items():
        terminalreporter.write_line(f"{mark} tests: {number} not run, {NEEDS[mark][1]}", yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, (is_here, why) in NEEDS.items():
        if item.get_closest_marker(mark) and not is_here():
            pytest.fail(f"{why}, and REQUIRE_ALL or CI says that every test must run", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and everything_required():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped where every test must run: {reason}"
