# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""uv as a child process: its environment variables, its progress, and its error text.

Indexes and their credentials are the user's own, from uv's settings or pip's variables; no log or error shows a
password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from uv import find_uv_bin

from .subprocesses import LIMIT_S, Work
from .url_passwords import without_passwords

# The variables of pip, and uv's own of the same meaning. uv itself reads none of pip's.
_PIPS = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_NO_INDEX": "UV_NO_INDEX",
}
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")
_FIRST_LINES, _LAST_LINES = 10, 20  # of uv's error text: what it did, and how a compiler's output ends
# Lines of progress: some are worth passing on, and none explains a failure.
_NEWS = re.compile(r"\s*(Downloading|Building|Updating) .+")
_PROGRESS = re.compile(
    r"\s*(Using CPython|Resolved|Downloading|Downloaded|Building|Built|Updating|Updated|Prepared|Installed) .+"
    r"| [+~-] .+|warning: The .--pylock. option is experimental.*"
)


class UvRun(NamedTuple):
    """A run of uv that ended; `error` is its text where it failed, without passwords, else empty."""

    output: str
    error: str


def run_uv(
    work: Work,
    words: Sequence[str],
    *,
    folder: Path | None = None,
    stdin_text: str = "",
    indexes: Sequence[str] = (),
    limit_s: float = LIMIT_S,
) -> UvRun:
    """Run uv in `folder`, with `stdin_text` as its input and `indexes` added to the user's. Raises Cancelled."""

    def report(line: str) -> None:
        if _NEWS.fullmatch(line):
            work.say(without_passwords(f"uv: {line.strip()}"))

    environment = uv_environment(os.environ)
    command = [find_uv_bin(), *words, "--color", "never", *_no_index(environment)]
    if indexes:  # not as arguments, which every user of this machine can read
        environment["UV_INDEX"] = " ".join(filter(None, (environment.get("UV_INDEX"), *indexes)))
    done = work.run(
        command, folder=folder, environment=environment, stdin_text=stdin_text, on_line=report, limit_s=limit_s
    )
    if not done.code:
        return UvRun(done.output, "")
    lines = [line for line in done.stderr.strip().splitlines() if not _PROGRESS.fullmatch(line)]
    ended = f"ended by signal {-done.code}" if done.code < 0 else f"ended with code {done.code}"
    if len(lines) > _FIRST_LINES + _LAST_LINES:
        lines = [*lines[:_FIRST_LINES], "...", *lines[-_LAST_LINES:]]
    return UvRun(done.output, without_passwords("\n".join(lines)) or ended)


def uv_environment(user_variables: Mapping[str, str]) -> dict[str, str]:
    """Return uv's environment variables: the user's, pip's where uv has none; uv may not download a Python."""
    variables = {**user_variables, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    if not any(name in user_variables for name in INDEXES):
        variables |= {ours: user_variables[pips] for pips, ours in _PIPS.items() if user_variables.get(pips)}
    variables.pop("VIRTUAL_ENV", None)  # uv warns of one that is not used
    return variables


def _no_index(environment: Mapping[str, str]) -> list[str]:
    """Return the option that keeps uv from every index: uv 0.13 does not read the variable."""
    value = environment.get("UV_NO_INDEX", "").lower()
    return [] if value in ("", "0", "false", "no", "off", "n", "f") else ["--no-index"]


def index_variables(user_variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name indexes, without passwords: another index may give another answer."""
    variables = uv_environment(user_variables)
    return {name: without_passwords(variables[name]) for name in INDEXES if variables.get(name)}
