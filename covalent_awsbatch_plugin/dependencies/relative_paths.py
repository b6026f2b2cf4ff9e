# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Relative paths in the setting `environment`, which mean something only where the setting is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .spec import anchored, one_text, relative_paths


def anchored_existing(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return settings with the paths in `environment` made absolute. Raises SettingError for one that doesn't exist.

    A relative path is one of this machine; an absolute one may be of the machine that runs the Covalent server.
    """
    text = one_text(settings.get("environment"))
    for path in relative_paths(text) if text and isinstance(text, str) else ():
        if not (folder / path).exists():
            raise SettingError(
                f"The setting environment names {path}, which does not exist in {folder}.",
                advice="Start from the folder that it is relative to, or use an absolute path.",
            )
    return anchored(settings, folder)
