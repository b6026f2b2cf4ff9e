# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The user's folders are where they have always been, and where XDG's variables say."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_awsbatch_plugin.core.user_dirs import cache_home, data_dir
from covalent_awsbatch_plugin.local.background import home


@pytest.mark.parametrize("empty", [True, False])
def test_user_folders_without_variables_are_below_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "") if empty else monkeypatch.delenv(name, raising=False)
    assert data_dir() == tmp_path / ".local" / "share" / "covalent-awsbatch"
    assert cache_home() == tmp_path / ".cache" / "covalent-awsbatch"
    assert home() == data_dir() / "local"


def test_user_folders_follow_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_dir() == tmp_path / "data" / "covalent-awsbatch"
    assert cache_home() == tmp_path / "cache" / "covalent-awsbatch"
    assert not list(tmp_path.iterdir())
