# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of what happened to the tasks of a dispatch: its lines, and the reader. docs/events.md has the schema.

Each line of a dispatch's file is one change of state of one or more tasks, as JSON. `EventLog` writes the lines.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict, cast, get_type_hints

from ..core.user_dirs import state_dir

log = logging.getLogger(__name__)

VERSION = 1
MERGE_SECONDS = 1.0  # events of one kind and with the same figures become one within this time
_MOST_NODES = 1_000_000  # of one line: a damaged line must not fill the memory
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Kind(StrEnum):
    """The changes of a task's state, in the order of its life; FAILED and CANCELLED end a task without a result."""

    PACKED = "packed"
    PUSHED = "pushed"
    SUBMITTED = "submitted"
    STARTED = "started"
    ATTEMPT_ENDED = "attempt_ended"
    RESULT_READ = "result_read"
    FAILED = "failed"
    CANCELLED = "cancelled"


_REPORTED_AGAIN = {Kind.STARTED, Kind.ATTEMPT_ENDED, Kind.RESULT_READ}  # by each reading of the same result


class Figures(TypedDict, total=False):
    """The figures that an event may have; docs/events.md says which kind has which, and their units."""

    name: str
    bytes: int
    seconds: float
    image: str
    payload: str
    log_stream_prefix: str
    log_stream: str
    queue: str
    vcpu: float
    memory_mib: int
    gpus: int
    tasks_per_job: int
    tries: int
    members: tuple[int, ...]
    job_id: str
    attempt: int
    outcome: str
    exit_code: int | None
    signal: int | None
    reason: str
    error: str
    started: float | None
    user_cpu_seconds: float | None
    system_cpu_seconds: float | None
    peak_rss_bytes: int | None
    bytes_in: int | None
    bytes_out: int | None


@dataclass(frozen=True)
class Event:
    """One change of state of some tasks of a dispatch, at `time` (Unix seconds).

    Where several events were joined, `time` is the first one's and `until` the last one's; otherwise `until` is None.
    """

    kind: Kind
    time: float
    dispatch_id: str
    node_ids: tuple[int, ...]
    figures: Figures
    until: float | None = None

    @property
    def last_time(self) -> float:
        """The time of the last of the joined events."""
        return self.time if self.until is None else self.until

    def to_line(self) -> bytes:
        """Return the event as one line of JSON, without its end; node ids and members are written as runs."""
        figures: dict[str, Any] = {name: value for name, value in self.figures.items() if value is not None}
        if "members" in figures:
            figures["members"] = runs(figures["members"])
        head: dict[str, Any] = {
            "v": VERSION,
            "kind": self.kind.value,
            "time": round(self.time, 3),
            "dispatch": self.dispatch_id,
        }
        if self.until is not None:
            head["until"] = round(self.until, 3)
        return json.dumps(head | {"nodes": runs(self.node_ids)} | figures, separators=(",", ":")).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Event | None:
        """Return the event of a line, or None for a line that is torn, of another version or no event."""
        try:
            body = json.loads(line)
            if body["v"] != VERSION:
                return None
            figures = {name: _figure(name, body[name]) for name in _FIGURES if name in body}
            first, last = float(body["time"]), body.get("until")
            dispatch_id, nodes = str(body["dispatch"]), expanded(body["nodes"])
            until = None if last is None else float(last)
            return cls(Kind(body["kind"]), first, dispatch_id, nodes, cast(Figures, figures), until)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


_FIGURES = get_type_hints(Figures)


def _figure(name: str, value: Any) -> Any:
    """Return the value of a figure. Raises TypeError or ValueError where it is of another type."""
    if name == "members":
        return expanded(value)
    if type(value) not in ((str,) if _FIGURES[name] is str else (int, float)):
        raise TypeError(value)
    return value


def runs(numbers: Sequence[int]) -> list[list[int]]:
    """Return numbers, in their order, as runs of [first, step, count]: 0, 2, 4, 9 are [0, 2, 3] and [9, 0, 1]."""
    result: list[list[int]] = []
    for number in numbers:
        first, step, count = result[-1] if result else (0, 0, 0)
        if count == 1:
            result[-1] = [first, number - first, 2]
        elif count and number == first + step * count:
            result[-1][2] += 1
        else:
            result.append([number, 0, 1])
    return result


def expanded(encoded: Any) -> tuple[int, ...]:
    """Return the numbers of runs. Raises ValueError or TypeError for anything else, and for over a million numbers."""
    if any(type(number) is not int for run in encoded for number in run):
        raise TypeError(encoded)
    if sum(count for _, _, count in encoded) > _MOST_NODES or any(count < 1 for _, _, count in encoded):
        raise ValueError(encoded)
    return tuple(chain.from_iterable((first + step * k for k in range(count)) for first, step, count in encoded))


def merged(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events with neighbours of one kind and with the same figures as one; `bytes` are added up.

    The last one is at most MERGE_SECONDS later than the first.
    """
    last: Event | None = None
    for event in events:
        if last is not None and _may_join(last, event):
            last = _joined(last, event)
            continue
        if last is not None:
            yield last
        last = event
    if last is not None:
        yield last


def _may_join(one: Event, other: Event) -> bool:
    if (one.kind, one.dispatch_id) != (other.kind, other.dispatch_id) or "members" in one.figures:
        return False
    return (
        other.time - one.time >= 0
        and other.last_time - one.time <= MERGE_SECONDS
        and _without_bytes(one) == _without_bytes(other)
    )


def _without_bytes(event: Event) -> dict[str, object]:
    return {name: value for name, value in event.figures.items() if name != "bytes"}


def _joined(one: Event, other: Event) -> Event:
    figures = one.figures
    if "bytes" in figures or "bytes" in other.figures:
        figures = {**figures, "bytes": figures.get("bytes", 0) + other.figures.get("bytes", 0)}
    until = max(one.last_time, other.last_time)
    return replace(
        one, node_ids=one.node_ids + other.node_ids, figures=figures, until=None if until == one.time else until
    )


def events_folder() -> Path:
    """Return the folder of this user's event files."""
    return state_dir() / "events"


def event_files(folder: Path, dispatch_id: str) -> tuple[Path, Path]:
    """Return the file to which a dispatch's events are appended, and the file with the events before these.

    A dispatch id that is no plain file name is replaced by its hash.
    """
    name = dispatch_id
    if not _FILE_NAME.fullmatch(dispatch_id):
        name = hashlib.sha256(dispatch_id.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return folder / f"{name}.jsonl", folder / f"{name}.before.jsonl"


def read_events(dispatch_id: str, folder: Path | None = None) -> Iterator[Event]:
    """Yield the events of a dispatch in the order in which they were written, each change once; none for no file.

    Torn and foreign lines are left out. The result of a task may have been read twice: then its events come once.
    """
    current, before = event_files(folder or events_folder(), dispatch_id)
    events = (event for path in (before, current) for event in _lines(path) if event.dispatch_id == dispatch_id)
    return merged(_once(events))


def newest_record(name: str, folder: Path | None = None) -> str | None:
    """Return the dispatch id of the newest record of a pool of this name: `name-` and 12 hexadecimal digits."""
    pattern = re.compile(re.escape(name) + r"-[0-9a-f]{12}")
    paths = [path for path in (folder or events_folder()).glob(f"{name}-*.jsonl") if pattern.fullmatch(path.stem)]
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    return newest.stem if newest else None


def _lines(path: Path) -> Iterator[Event]:
    odd = 0
    try:
        with path.open("rb") as file:
            for line in file:
                event = Event.from_line(line) if line.strip() else None
                odd += bool(line.strip()) and event is None
                if event:
                    yield event
    except FileNotFoundError:
        return
    if odd:
        log.info("%s has %d lines that are torn or of another version; they are left out.", path, odd)


def _once(events: Iterable[Event]) -> Iterator[Event]:
    """Yield events without the tasks of which the same change has been told before."""
    changes: set[Hashable] = set()
    for event in events:
        if event.kind not in _REPORTED_AGAIN:
            yield event
            continue
        change = event.kind, event.figures.get("job_id"), event.figures.get("attempt")
        fresh = tuple(node for node in event.node_ids if (change, node) not in changes)
        changes.update((change, node) for node in fresh)
        if fresh:
            yield replace(event, node_ids=fresh)
