# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`make bench` writes what it measured: tables, ratios, what was aimed at, and which part failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import containers, environment, fan_out, quotas, run, through_server
from benchmarks.fan_out import LITHOPS, OURS, FanOut
from benchmarks.peers import Run
from benchmarks.section import Reach, Section
from benchmarks.stats import figure, median, quantile, spread

ONE_OF_EACH = {"ecr:PutImage": 1, "batch:RegisterJobDefinition": 1, "batch:SubmitJob": 1, "batch:DescribeJobs": 1}


def a_run(n: int, cpu_s: float, peak_mib: float = 150, **calls: int) -> Run:
    made = ONE_OF_EACH | {"s3:GetObject": n, "bytes s3:PutObject": 4096 * n} | calls
    return Run(n, wall_s=2.0, cpu_s=cpu_s, peak_mib=peak_mib, calls=made)


def cells(text: str, start: str) -> list[str]:
    """Of the one line of a table that begins so."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_numbers_are_told_with_two_digits_and_their_noise() -> None:
    assert [figure(value) for value in (0.01234, 5.44, 1234.5, 0, None)] == ["0.012", "5.4", "1,234", "0", "-"]
    assert (median([3, 1, 2]), quantile(range(1, 11), 0.9), spread([90, 100, 110])) == (2, 9, "±10%")


def test_a_fan_out_is_told_beside_the_others_with_ratios_and_its_distance_to_the_floor() -> None:
    found = FanOut()
    found.runs[OURS.name, 10] = [a_run(10, cpu_s=0.1)]
    found.runs[LITHOPS.name, 10] = [a_run(10, cpu_s=0.45)]
    text = fan_out.text(found)
    assert cells(text, f"10 {OURS.name}")[1:4] == ["10", "one run", ""]
    assert cells(text, f"10 {LITHOPS.name}")[1:4] == ["45", "one run", "1 : 4.5"]
    assert cells(text, "10 |") == ["10", "1.00", "2.00"], "N + 4 calls, and twice the arguments' bytes"


def test_what_was_aimed_at_is_judged_by_the_worst_run() -> None:
    found = FanOut()
    found.runs[OURS.name, 1000] = [a_run(1000, cpu_s=4), a_run(1000, cpu_s=4, **{"batch:SubmitJob": 4})]
    judged = {line.what.removeprefix("1,000 tasks at once: "): line.met for line in fan_out.reached(found)}
    right = {"client CPU a task": True, "AWS calls": True, "PutImage": True, "RegisterJobDefinition": True}
    assert judged == right | {"SubmitJob": False}


@pytest.mark.parametrize(("peak_mib", "flat"), [(450, True), (600, False)])
def test_memory_is_flat_when_later_tasks_cost_no_more_than_earlier_ones(peak_mib: float, flat: bool) -> None:
    found = FanOut()
    for n, peak in ((1, 100.0), (1000, 140.0), (10_000, peak_mib)):
        found.runs[OURS.name, n] = [a_run(n, cpu_s=1, peak_mib=peak)]
    assert fan_out.reached(found)[-1].met is flat


def test_one_of_the_others_who_is_not_there_is_named() -> None:
    found = FanOut(missing={(LITHOPS.name, 10): "No index answered."})
    assert f"Not measured: {LITHOPS.name} with 10 tasks. No index answered." in fan_out.text(found)


def test_throttled_calls_are_told_as_a_share_of_all() -> None:
    found = quotas.Quotas({quotas.ARRAYS: a_run(96, cpu_s=1, **{"refused batch:SubmitJob": 1})})
    assert cells(quotas.text(found), "96 in arrays")[1:5] == ["all", "100", "1", "1.00%"]


def test_walls_are_told_in_percent_of_their_floor() -> None:
    found = containers.Containers(empty=[5.0], by_hand=[10.0], runs={(OURS.name, containers.MANY): [a_run(50, 1)]})
    assert cells(containers.text(found), "50 tasks, this plugin")[1:] == ["2.0", "one run", "20%"]
    through = through_server.Through(200, {through_server.LOCAL: [10.0], through_server.OURS: [12.0]})
    assert cells(through_server.text(through), "200 electrons, executor `awsbatch`")[-1] == "120%"


def test_an_environment_is_judged_beside_docker_and_without_its_own_download() -> None:
    took = {
        environment.COLD: environment.Took(1, 8, 1, 9_000_000),
        environment.WARM: environment.Took(0, 0.05, 0.04, 1000),
        environment.ADDED: environment.Took(1, 2, 0, 1000),
    }
    found = environment.Found(took, download_s=0.5, docker_s=(15.0, 4.0), imports_s={"with byte-code": 1.0})
    assert [(line.measured, line.met) for line in environment.reached(found)] == [
        (pytest.approx(66.7, abs=0.1), False),
        (pytest.approx(0.09), True),
        (2.5, False),
    ]
    assert cells(environment.text(found), environment.COLD)[1:] == ["10", "1.0", "8.0", "1.0", "9.00"]


def test_the_file_says_what_was_reached_and_which_part_failed() -> None:
    section = Section("Told.\n", (Reach("calls", 3, 3), Reach("wall", 131.4, 115, "%")))
    assert Section.from_json(section.to_json()) == section
    text = run.written(["today"], {"quotas": section, "server": "It ended with exit code 1.\nOops"})
    assert cells(text, "calls")[1:] == ["3", "3", "yes"]
    assert cells(text, "wall")[1:] == ["115 %", "131 %", "**no**"]
    assert "Told." in text
    assert "## Through Covalent's server\n\n**Not measured: this part failed.**\n\n```\nIt ended" in text


def test_a_part_that_fails_stops_no_other_and_is_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STARTER", (sys.executable, "-c", "import sys; sys.exit('broken ' + sys.argv[2])"))
    assert run.main(["--only", "quotas", "server", "--out", str(tmp_path / "numbers.md")]) == 1
    text = (tmp_path / "numbers.md").read_text()
    assert "exit code 1.\nbroken quotas" in text
    assert "exit code 1.\nbroken server" in text


def test_a_part_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STARTER", (sys.executable, "-c", "import threading; threading.Event().wait()"))
    monkeypatch.setitem(run.PARTS, "server", run.Part("through_server", "Through", limit_s=1))
    told = run.measured("server", quick=True)
    assert isinstance(told, str)
    assert told.startswith("It took longer than 1 s and was stopped.")
