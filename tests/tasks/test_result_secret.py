# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The secret of an installation: one, its owner's alone, whoever asks first."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.errors import StagingError
from covalent_awsbatch_plugin.tasks.packing import result_key
from covalent_awsbatch_plugin.tasks.result_secret import result_secret

ROOT = Path(__file__).parents[2]
ASK = "from covalent_awsbatch_plugin.tasks.result_secret import result_secret; print(result_secret().hex())"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "covalent-awsbatch"


def test_processes_that_begin_at_once_agree(data: Path) -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(6)
    ]
    keys = {process.communicate()[0] for process in asking}
    assert keys == {f"{result_secret().hex()}\n"}
    assert [path.name for path in data.iterdir()] == ["result-secret"]


def test_it_is_its_owners_alone(data: Path) -> None:
    result_secret()
    assert stat.S_IMODE((data / "result-secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert len((data / "result-secret").read_bytes()) == 32


def test_each_task_has_a_key_of_its_own_and_always_the_same() -> None:
    secret = result_secret()
    assert result_key(secret, "a") == result_key(result_secret(), "a") != result_key(secret, "b")


def test_a_secret_that_was_cut_is_refused_and_not_used(data: Path) -> None:
    data.mkdir(parents=True)
    (data / "result-secret").write_bytes(b"")
    (data / "result-secret").chmod(0o600)
    with pytest.raises(StagingError, match=r"result-secret does not have 32 bytes") as caught:
        result_secret()
    assert "Remove it" in caught.value.advice


def test_a_full_disk_leaves_no_half_secret(data: Path) -> None:
    """With no room for a byte; the file size limit is the kernel's, as a full disk is."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); {ASK}"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "StagingError" in done.stderr and "File too large" in done.stderr
    assert list(data.iterdir()) == []
    assert result_secret()
