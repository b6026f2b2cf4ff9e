# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Numbers with units: times such as `90s` or `1h`, and memory such as `16GiB`."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
# The units of IEC 80000-13: GiB is 2**30 bytes, and GB 10**9.
_BYTES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as `90`, `90s`, `10m`, `1.5h`, `2d` or `1h30m`. Raises ValueError."""
    rest, total = text.strip(), 0.0
    while rest:
        match = _NUMBER.match(rest)
        if match is None or match[2].lower() not in _SECONDS or (not match[2] and rest != text.strip()):
            raise ValueError(f"{text!r} is no time; write it like 90s, 10m, 2h or 1d")
        total += float(match[1]) * _SECONDS[match[2].lower()]
        rest = rest[match.end() :]
    if not text.strip():
        raise ValueError("a time is empty; write it like 90s, 10m, 2h or 1d")
    return total


def gib_of(text: str) -> float:
    """Return the GiB of a size such as `16`, `16GiB`, `500 MiB` or `16GB`; a bare number is GiB. Raises ValueError."""
    match = _NUMBER.fullmatch(text)
    units = {unit.lower(): size for unit, size in _BYTES.items()}
    if match is None or (match[2] and match[2].lower() not in units):
        raise ValueError(f"{text!r} is no size; write it like 16GiB, 500MiB or 16GB (10**9 bytes)")
    return float(match[1]) * (units[match[2].lower()] / 2**30 if match[2] else 1)
