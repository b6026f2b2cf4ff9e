# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The state of a run in the user's state folder: what has been checked already, and what was sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.files import atomic_write
from ..core.private_files import open_own, own_folder
from ..core.user_dirs import state_dir
from ..errors import StagingError
from ..settings import Settings
from .trace import Traces

VERSION = 1
OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"


@dataclass(frozen=True)
class Result:
    """The result of a check: `text` is its evidence in one line, `advice` what to do, `seconds` how long it took."""

    name: str
    state: str
    text: str
    advice: str = ""
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunState:
    """A run that can go on: its id, the results by name, the kinds of ends by job id, and its traces."""

    path: Path
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    began: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"))
    results: dict[str, Result] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    traces: Traces = field(default_factory=lambda: Traces(""))
    account: str = ""
    caller: str = ""  # ARN
    resumed: bool = False

    def __post_init__(self) -> None:
        self.traces.run = self.run

    def save(self) -> None:
        """Write the state for this user alone. Raises StagingError."""
        fields = {
            "version": VERSION,
            "run": self.run,
            "began": self.began,
            "results": {name: asdict(result) for name, result in self.results.items()},
            "kinds": self.kinds,
            "records": self.records,
            "traces": self.traces.to_json(),
            "account": self.account,
            "caller": self.caller,
        }
        try:
            own_folder(self.path.parent)
            atomic_write(self.path, json.dumps(fields), mode=0o600)
        except OSError as error:
            raise StagingError(
                f"The state of the check can't be kept in {self.path.parent}: {error.strerror or error}.",
                advice="Free space there, or set XDG_STATE_HOME to another folder.",
            ) from error

    def forget(self) -> None:
        """Delete the file of a run that is over."""
        self.path.unlink(missing_ok=True)


def run_state(settings: Settings, names: Sequence[str], *, again: bool) -> RunState:
    """Return the state of an unfinished run with these settings and checks; a new one where there is none.

    With `again` the results of the unfinished run don't count, but its traces do.
    """
    key = settings.model_dump_json(exclude={"cache_dir", "poll_freq", "outage_patience"})
    digest = hashlib.sha256(f"{__version__} {key} {' '.join(names)}".encode()).hexdigest()[:16]
    path = state_dir() / "check" / f"{digest}.json"
    try:
        with open_own(path) as file:
            fields = json.load(file)
        state = RunState(
            path,
            fields["run"],
            fields["began"],
            {} if again else {name: Result(**result) for name, result in fields["results"].items()},
            {} if again else fields["kinds"],
            {} if again else fields["records"],
            Traces.from_json(fields["run"], fields["traces"]),
            fields["account"],
            fields["caller"],
            resumed=True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RunState(path)
    return state
