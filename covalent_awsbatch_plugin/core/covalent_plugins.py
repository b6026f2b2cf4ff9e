# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Find other installed plugins with this executor name: Covalent silently uses the last one it finds."""

from __future__ import annotations

from importlib.metadata import Distribution, distributions

from .. import __version__

GROUP = "covalent.executor.executor_plugins"
OURS = ("covalent-awsbatch-plugin", __version__)


def other_awsbatch_plugins() -> list[str]:
    """Return name, version and folder of each other distribution with an executor named `awsbatch`."""
    claims = {_named(dist): dist for dist in distributions() if _claims_awsbatch(dist)}
    return sorted(text for text, dist in claims.items() if (dist.name, dist.version) != OURS)


def _claims_awsbatch(dist: Distribution) -> bool:
    points = (point for point in dist.entry_points if point.group == GROUP)
    return any(point.value.split(":")[0].rsplit(".", 1)[-1] == "awsbatch" for point in points)


def _named(dist: Distribution) -> str:
    return f"{dist.name} {dist.version} in {dist.locate_file('')}"
