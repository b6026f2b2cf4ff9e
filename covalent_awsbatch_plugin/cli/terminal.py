# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Text for a terminal: colours of labels, and lines without control characters."""

from __future__ import annotations

import os
import re
import sys
import zlib

import click

# The colours that are legible on a light and on a dark ground.
_COLORS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")
# Cursor movements, titles and other commands to the terminal; the sequences that only colour text stay.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-ln-~]"  # CSI, but not m
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?"  # strings: OSC, DCS, PM, APC, SOS
    r"|\x1b[^\[\]P^_X]"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\x80-\x9f]"
)
_COLOR = re.compile(r"\x1b\[[0-9;:]*m")


def has_color() -> bool:
    """Return whether standard output is a terminal, and https://no-color.org is not asked for."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def colored(label: str) -> str:
    """Return a label in a colour that the same label always has."""
    return click.style(label, fg=_COLORS[zlib.crc32(label.encode()) % len(_COLORS)]) if has_color() else label


def plain_text(text: str, *, is_terminal: bool | None = None, color: bool | None = None) -> str:
    """Return a task's line without commands to the terminal, and without colours where none are shown.

    Of a progress bar, which overwrites its line, the last state is left. A pipe gets the line as it is.
    """
    if not (sys.stdout.isatty() if is_terminal is None else is_terminal):
        return text
    text = _CONTROL.sub("", text.rstrip("\r").rpartition("\r")[2])
    if has_color() if color is None else color:
        return text + "\x1b[0m" if _COLOR.search(text) and not text.endswith("\x1b[0m") else text
    return _COLOR.sub("", text)
