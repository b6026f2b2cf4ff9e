# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's config file, which is the user's: read while others write it, changed in our section only."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from covalent_awsbatch_plugin.core import covalent_config
from covalent_awsbatch_plugin.errors import SettingError

USERS = """\
# mine, and dear to me
[sdk]
log_level = "debug"   # while I look for it

[executors.dask]
log_stdout = "stdout.log"

[executors.awsbatch]
vcpu = 4  # four are enough
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path / "covalent"))
    (tmp_path / "covalent").mkdir()
    return tmp_path / "covalent" / "covalent.conf"


def test_no_file_is_no_settings(conf: Path) -> None:
    assert covalent_config.section() == {}


def test_no_section_is_no_settings(conf: Path) -> None:
    conf.write_text("[executors.dask]\n")
    assert covalent_config.section() == {}


def test_only_our_keys_change_and_comments_stay(conf: Path) -> None:
    conf.write_text(USERS)
    covalent_config.write_section({"memory": 3.75, "batch_queue": "q"})
    lines = USERS.splitlines()
    assert [line for line in conf.read_text().splitlines() if line in lines] == lines
    assert covalent_config.section() == {"vcpu": 4, "memory": 3.75, "batch_queue": "q"}


def test_a_file_is_made_where_there_is_none(conf: Path) -> None:
    conf.parent.rmdir()
    covalent_config.write_section({"vcpu": 8})
    assert covalent_config.section() == {"vcpu": 8}
    assert [path.name for path in conf.parent.iterdir() if path.suffix != ".lock"] == ["covalent.conf"]


def test_permissions_and_links_stay(conf: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.conf"
    real.write_text(USERS)
    real.chmod(0o600)
    conf.symlink_to(real)
    covalent_config.write_section({"vcpu": 8})
    assert conf.is_symlink() and "vcpu = 8" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "broken", [b"[executors", b"executors = 5", b"[executors]\nawsbatch = 3", b"\xff\xfe"], ids=repr
)
def test_a_broken_file_is_named_and_left_as_it_is(conf: Path, broken: bytes) -> None:
    conf.write_bytes(broken)
    for use in (covalent_config.section, lambda: covalent_config.write_section({"vcpu": 1})):
        with pytest.raises(
            SettingError, match=r"Covalent's config file .*covalent\.conf can't be read or written: "
        ) as caught:
            use()
        assert "Correct it" in caught.value.advice
    assert conf.read_bytes() == broken


def test_a_folder_that_cannot_be_written_is_named(conf: Path) -> None:
    conf.parent.rmdir()
    conf.parent.write_text("a file where the folder should be")
    with pytest.raises(SettingError, match=r"covalent\.conf can't be read or written"):
        covalent_config.write_section({"vcpu": 1})


@pytest.mark.parametrize("half", ["", USERS[:-30] + '"', "[sdk]\n"], ids=["emptied", "no TOML", "TOML too"])
def test_a_file_that_covalent_is_writing_is_read_when_it_is_whole(conf: Path, half: str) -> None:
    """Covalent writes in place, under its lock: half a file is what others see meanwhile."""
    conf.write_text(half)
    lock = FileLock(f"{conf}.lock")
    lock.acquire()
    found: list[object] = []
    reader = threading.Thread(target=lambda: found.append(covalent_config.section()))
    reader.start()
    reader.join(0.1)
    conf.write_text(USERS)
    lock.release()
    reader.join()
    assert found == [{"vcpu": 4}]


def test_a_writer_waits_for_covalents_lock(conf: Path) -> None:
    conf.write_text(USERS)
    lock = FileLock(f"{conf}.lock")
    lock.acquire()
    writer = threading.Thread(target=covalent_config.write_section, args=({"memory": 1},))
    writer.start()
    writer.join(0.1)
    assert writer.is_alive() and "memory" not in conf.read_text()
    lock.release()
    writer.join()
    assert covalent_config.section() == {"vcpu": 4, "memory": 1}


def test_a_lock_that_is_never_released_is_told(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covalent_config, "LOCK_SECONDS", 0.05)
    with FileLock(f"{conf}.lock"), pytest.raises(SettingError, match=r"could not be acquired"):
        covalent_config.write_section({"vcpu": 1})


def test_it_is_where_covalent_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, expected in (
        ("HOME", tmp_path, tmp_path / ".config" / "covalent" / "covalent.conf"),
        ("XDG_CONFIG_DIR", tmp_path / "xdg", tmp_path / "xdg" / "covalent" / "covalent.conf"),
        ("COVALENT_CONFIG_DIR", tmp_path / "c", tmp_path / "c" / "covalent.conf"),
    ):
        monkeypatch.setenv(name, str(value))
        assert covalent_config.config_file() == expected
