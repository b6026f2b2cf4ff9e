# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Figures of calls that have ended: a summary as text, a timeline and a histogram as SVG."""

from __future__ import annotations

import html
import itertools
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from .response_future import ResponseFuture

_DOTS = 72  # of an inch
_MARGIN = 50
_STYLE = 'font-family="sans-serif" font-size="11"'
_MOST_BINS = 30


def print_summary(started: Sequence[ResponseFuture]) -> None:
    """Print a table with one line for each map or call, and a sum."""
    print(f"{'Job_ID':<8}{'Function':<24}{'Calls':>8}{'Failed':>8}{'AvgRuntime (s)':>16}{'Sum (s)':>12}")
    total = 0.0
    for job_id, group in itertools.groupby(started, lambda future: future.job_id):
        calls = list(group)
        times = _seconds(calls)
        total += sum(times)
        average = f"{sum(times) / len(times):.3f}" if times else "-"
        failed = sum(future.error for future in calls)
        name = calls[0].function_name[:23]
        print(f"{job_id:<8}{name:<24}{len(calls):>8}{failed:>8}{average:>16}{sum(times):>12.3f}")
    print(f"{'Summary':<32}{len(started):>8}{sum(f.error for f in started):>8}{'':>16}{total:>12.3f}")


def write_plots(ended: Sequence[ResponseFuture], dst: str | None, figsize: tuple[float, float]) -> None:
    """Write DST_timeline.svg and DST_histogram.svg; `figsize` is in inches."""
    begin = Path(os.path.expanduser(dst)) if dst else Path("plots") / str(int(time.time()))
    begin.parent.mkdir(parents=True, exist_ok=True)
    width, height = (side * _DOTS for side in figsize)
    spans = [(f.stats["worker_func_start_tstamp"], f.stats["worker_func_end_tstamp"]) for f in ended]
    Path(f"{begin}_timeline.svg").write_text(_timeline(spans, width, height), encoding="utf-8")
    Path(f"{begin}_histogram.svg").write_text(_histogram(spans, width, height), encoding="utf-8")


def _seconds(calls: Iterable[ResponseFuture]) -> list[float]:
    return [future.stats["worker_func_exec_time"] for future in calls if future.success and future.stats]


def _timeline(spans: Sequence[tuple[float, float]], width: float, height: float) -> str:
    """Return a picture with a bar for each call, from its begin to its end."""
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    across, down = (width - 2 * _MARGIN) / ((last - first) or 1), (height - 2 * _MARGIN) / len(spans)
    bars = [
        f'<rect x="{_MARGIN + (begin - first) * across:.2f}" y="{_MARGIN + number * down:.2f}" '
        f'width="{max(1, (end - begin) * across):.2f}" height="{max(0.5, down * 0.8):.2f}" fill="#4c72b0">'
        f"<title>call {number}: {end - begin:.3f} s</title></rect>"
        for number, (begin, end) in enumerate(spans)
    ]
    return _picture(bars, width, height, f"{len(spans)} calls in {last - first:.1f} s", "time (s)")


def _histogram(spans: Sequence[tuple[float, float]], width: float, height: float) -> str:
    """Return a picture of how many calls took how long."""
    times = [end - begin for begin, end in spans]
    count = min(_MOST_BINS, len(times))
    least, most = min(times), max(times)
    step = (most - least) / count or 1
    bins = [0] * count
    for seconds in times:
        bins[min(count - 1, int((seconds - least) / step))] += 1
    across, down = (width - 2 * _MARGIN) / count, (height - 2 * _MARGIN) / max(bins)
    bars = [
        f'<rect x="{_MARGIN + number * across:.2f}" y="{height - _MARGIN - calls * down:.2f}" '
        f'width="{across * 0.9:.2f}" height="{calls * down:.2f}" fill="#55a868">'
        f"<title>{calls} calls from {least + number * step:.3f} s</title></rect>"
        for number, calls in enumerate(bins)
    ]
    return _picture(bars, width, height, f"{len(times)} calls of {least:.3f} to {most:.3f} s", "seconds of a call")


def _picture(bars: Sequence[str], width: float, height: float, title: str, axis: str) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}">',
        f'<text x="{_MARGIN}" y="{_MARGIN / 2}" {_STYLE}>{html.escape(title)}</text>',
        f'<text x="{width / 2:.0f}" y="{height - 15:.0f}" {_STYLE}>{html.escape(axis)}</text>',
        *bars,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
