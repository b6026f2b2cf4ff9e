# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: no test is left out in silence.

Tests marked `engine` run where a Docker engine answers. Where none does they are left out, and the last lines say how
many and what to do. With REQUIRE_ALL=1 (and in CI, where CI=true) they fail instead, and so does every test that skips.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import cache

import pytest

NO_ENGINE = "no Docker engine answers; `make engine` starts one"
left_out = pytest.StashKey[int]()


def everything_required() -> bool:
    """REQUIRE_ALL if it is set, else CI."""
    said = os.environ.get("REQUIRE_ALL") or os.environ.get("CI") or ""
    return said.lower() in ("1", "true", "yes")


@cache
def engine_answers() -> bool:
    import docker
    import docker.errors

    try:
        client = docker.from_env(timeout=10)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    need_engine = [item for item in items if item.get_closest_marker("engine")]
    if not need_engine or everything_required() or engine_answers():
        return
    config.stash[left_out] = len(need_engine)
    config.hook.pytest_deselected(items=need_engine)
    items[:] = [item for item in items if item not in set(need_engine)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if number := config.stash.get(left_out, 0):
        terminalreporter.write_line(f"engine tests: {number} not run, {NO_ENGINE}", yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") and not engine_answers():
        pytest.fail(f"{NO_ENGINE}, and REQUIRE_ALL or CI says that every test must run", pytrace=False)


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
