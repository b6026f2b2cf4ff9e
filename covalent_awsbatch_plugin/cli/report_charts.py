# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The charts of a report as SVG. A kind of bar is one path, so that 10,000 tasks are four elements and need no script.

Measured for 10,000 tasks: 0.4 MB in all. The smallest library of those compared (uPlot, 50 kB, on a canvas) would need
the same figures as JSON beside it, and a script, which mail programs don't run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from ..tasks.report_figures import ReportFigures, State, TaskFigures
from .tables import duration

WIDTH = 1000  # units of each chart; the page scales them
BARS = 24  # of a histogram, at most
TICKS = 5


def timeline(report: ReportFigures) -> str:
    """Return a bar for each task: when it waited, ran, and failed."""
    tasks = [task for task in report.tasks if task.submitted is not None]
    tasks.sort(key=lambda task: (task.submitted or 0.0, task.started or math.inf, task.node))
    if not tasks:
        return ""
    scale = _Scale(report.began, max(report.ended, report.began + 0.001))
    height = min(18.0, max(4.0, 400 / len(tasks))) if len(tasks) < 100 else max(0.06, 600 / len(tasks))
    paths: dict[str, list[str]] = {"waited": [], "ran": [], "active": [], "failed": []}
    for row, task in enumerate(tasks):
        for kind, begin, end in _bars(task, report.ended):
            paths[kind].append(_bar(scale, row, begin, end, 4 if kind == "failed" else 1))
    total = height * len(tasks)
    marks = "".join(
        f'<path class="{kind}" transform="scale(1 {height:g})" d="{"".join(bars)}"/>'
        for kind, bars in paths.items()
        if bars
    )
    label = f"Timeline of {len(tasks)} tasks over {duration(report.ended - report.began)}."
    return _svg(label, total, marks) + _time_axis(report)


def _bars(task: TaskFigures, now: float) -> Iterable[tuple[str, float, float]]:
    """Yield the kinds and times of a task's bars."""
    begin = task.submitted or 0.0
    for attempt in task.attempts.values():
        if attempt.started is None or attempt.ended is None:
            continue
        yield "waited", begin, attempt.started
        yield "failed" if attempt.failed else "ran", attempt.started, attempt.ended
        begin = attempt.ended
    if task.state == State.ACTIVE:
        yield "active", begin, now


def _bar(scale: _Scale, row: int, begin: float, end: float, least: int) -> str:
    x = scale.x(begin)
    width = max(least, scale.x(end) - x)
    return f"M{x} {row}h{width}v.8h-{width}z"


class _Scale:
    """The scale of times, in whole units of a thousandth of the width: whole numbers are short."""

    def __init__(self, first: float, last: float) -> None:
        self._first, self._span = first, last - first

    def x(self, time: float) -> int:
        """Return the place of a time."""
        return round((time - self._first) / self._span * WIDTH)


def concurrency(report: ReportFigures) -> str:
    """Return the number of running tasks over time as an area, at most one step for each unit of the width."""
    steps = report.concurrency()
    if not steps:
        return ""
    scale = _Scale(report.began, max(report.ended, report.began + 0.001))
    most = max(number for _, number in steps)
    peaks: dict[int, int] = {}
    current = 0
    for time, number in steps:
        x = scale.x(time)
        peaks[x] = max(peaks.get(x, 0), number, 0 if x in peaks else current if number < current else 0)
        current = number
    path, height = f"M{min(peaks)} 120", 120
    after = _after(steps, scale)
    for x, number in peaks.items():
        path += f"H{x}V{height - number / most * height:.4g}" + f"H{x + 1}V{height - after[x] / most * height:.4g}"
    label = f"Running tasks over time; at most {most} at once."
    axis = f'<p class="axis-y">at most {most} at once</p>'
    return axis + _svg(label, height, f'<path class="area" d="{path}V{height}z"/>') + _time_axis(report)


def _after(steps: Sequence[tuple[float, int]], scale: _Scale) -> dict[int, int]:
    """Return the number after the last change at each place."""
    return {scale.x(time): number for time, number in steps}


def histogram(title: str, values: Sequence[float], unit: str, limit: float | None = None) -> str:
    """Return how many values lie in each of some equal ranges; `limit` is drawn as a line."""
    if not values:
        return ""
    first, last = (0.0, max(*values, limit or 0.0)) if limit else (min(values), max(values))
    count = min(BARS, max(1, math.ceil(math.sqrt(len(values))))) if last > first else 1
    numbers = [0] * count
    for value in values:
        place = int((value - first) / (last - first) * count) if last > first else 0
        numbers[min(count - 1, place)] += 1
    most, width, height = max(numbers), WIDTH / count, 160
    path = "".join(
        f"M{number * width:.5g} {height}v-{size / most * height:.4g}h{width * 0.94:.4g}v{size / most * height:.4g}z"
        for number, size in enumerate(numbers)
        if size
    )
    line = f'<path class="limit" d="M{limit / last * WIDTH:.5g} 0v{height}"/>' if limit else ""
    ordered = sorted(values)
    median = ordered[len(ordered) // 2]
    summary = f"{_number(ordered[0])} to {_number(ordered[-1])} {unit}, median {_number(median)} {unit}"
    summary += f"; the line is the {_number(limit)} {unit} that were asked for" if limit else ""
    rows = "".join(
        f"<tr><td>{_number(first + (last - first) * number / count)} to"
        f" {_number(first + (last - first) * (number + 1) / count)} {unit}</td><td>{size}</td></tr>"
        for number, size in enumerate(numbers)
        if size
    )
    svg = _svg(f"{title}: {summary}.", height, f'<path class="ran" d="{path}"/>{line}')
    ends = f'<p class="axis"><span>{_number(first)} {unit}</span><span>{_number(last)} {unit}</span></p>'
    table = f"<table><thead><tr><th>range</th><th>tasks</th></tr></thead><tbody>{rows}</tbody></table>"
    name = f"numbers-{title.replace(' ', '-')}"
    more = f'<details id="{name}"><summary>Numbers of {title}</summary>{table}</details>'
    return f"<figure><figcaption>{title}: {summary}</figcaption>{svg}{ends}{more}</figure>"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _time_axis(report: ReportFigures) -> str:
    span = report.ended - report.began
    marks = "".join(f"<span>{duration(span * tick / (TICKS - 1))}</span>" for tick in range(TICKS))
    return f'<p class="axis">{marks}</p>'


def _svg(label: str, height: float, marks: str) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.6g}" height="{max(height, 40):.0f}" preserveAspectRatio="none"'
    return f'<svg role="img" aria-label="{escape(label)}" {size}>{marks}</svg>'
