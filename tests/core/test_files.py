# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.core.files import atomic_write


@pytest.mark.parametrize("durable", [False, True])
def test_atomic_write_replaces_the_content(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file.json"
    atomic_write(path, b"old", durable=durable)
    atomic_write(path, "new ü", durable=durable)
    assert path.read_bytes() == "new ü".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_that_fails_leaves_the_old_content_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new", durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_without_overwrite_keeps_the_first_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, "first", overwrite=False)
    atomic_write(path, "second", overwrite=False)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_gives_the_permissions_it_is_told(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        atomic_write(tmp_path / "usual", "")
        atomic_write(tmp_path / "secret", "", mode=0o600)
        atomic_write(tmp_path / "shared", "", mode=0o664)
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"usual": 0o640, "secret": 0o600, "shared": 0o664}


def test_atomic_writes_at_once_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [str(number) * 100_000 for number in range(10)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda text: atomic_write(path, text), texts * 5))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]
