# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What is old in the cache folder goes; what is young, or somebody else's, stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.tasks.cache_folder import cache_folder
from covalent_awsbatch_plugin.tasks.staging_dirs import OLD_SECONDS, remove_old, remove_old_soon

NOW = 1_800_000_000.0
BEFORE = NOW - OLD_SECONDS


def made(cache: Path, name: str, age_s: float) -> Path:
    """A file that was written so long ago, in a folder as old."""
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("something")
    for each in (path, path.parent):
        os.utime(each, (NOW - age_s, NOW - age_s))
    return path


@pytest.mark.parametrize("way", ["out", "in", "in-0a1b2c3d"])
def test_old_ones_go_with_their_empty_folders(tmp_path: Path, way: str) -> None:
    made(tmp_path, f"dispatch/0/{way}/output-0", OLD_SECONDS + 1)
    remove_old(tmp_path, BEFORE)
    assert list(tmp_path.iterdir()) == []


def test_young_ones_stay_and_one_young_file_keeps_its_neighbours(tmp_path: Path) -> None:
    young = made(tmp_path, "dispatch/1/out/output-1", OLD_SECONDS - 60)
    old = made(tmp_path, "dispatch/0/out/output-0", OLD_SECONDS + 1)
    beside = made(tmp_path, "dispatch/2/out/stdout-2", OLD_SECONDS + 1)
    newer = made(tmp_path, "dispatch/2/out/output-2", 60)
    remove_old(tmp_path, BEFORE)
    assert not old.parent.parent.exists()
    assert all(path.exists() for path in (young, beside, newer))


@pytest.mark.parametrize(
    "name", ["wheels/obstore.whl", "layers/0/files/x", "d/0/output/x", "d/group/out/x", "d/0/in-x/y"]
)
def test_what_is_not_on_its_way_stays(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name, 10 * OLD_SECONDS)
    remove_old(tmp_path, BEFORE)
    assert path.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = made(tmp_path, "elsewhere/file", 10 * OLD_SECONDS)
    (tmp_path / "cache/d/0").mkdir(parents=True)
    (tmp_path / "cache/d/0/out").symlink_to(elsewhere.parent)
    remove_old(tmp_path / "cache", BEFORE)
    assert elsewhere.exists()


@pytest.mark.parametrize("link", ["d", "d/0"])
def test_a_link_on_the_way_is_not_followed(tmp_path: Path, link: str) -> None:
    elsewhere = made(tmp_path, "elsewhere/0/out/file", 10 * OLD_SECONDS)
    (tmp_path / "cache" / link).parent.mkdir(parents=True)
    (tmp_path / "cache" / link).symlink_to(tmp_path / "elsewhere" / ("0" if link == "d/0" else ""))
    remove_old(tmp_path / "cache", BEFORE)
    assert elsewhere.exists()


def test_it_is_done_once_a_process_and_beside_it(tmp_path: Path) -> None:
    old = made(cache_folder(str(tmp_path)), "dispatch/0/out/output-0", -1.0)
    os.utime(old, (0, 0))
    os.utime(old.parent, (0, 0))
    thread = remove_old_soon(str(tmp_path))
    assert thread is not threading.current_thread()
    thread.join()
    assert not old.exists()
    assert remove_old_soon(str(tmp_path)) is thread


def test_no_folder_is_no_work(tmp_path: Path) -> None:
    remove_old(tmp_path / "missing", BEFORE)
