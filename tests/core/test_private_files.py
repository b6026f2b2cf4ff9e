# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that another user of the machine could have made are not believed, and that user works all the same."""

from __future__ import annotations

import hashlib
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from covalent_awsbatch_plugin.core.private_files import create_own, open_own, own_folder
from covalent_awsbatch_plugin.errors import Lost, StagingError
from covalent_awsbatch_plugin.runner.protocol import archive, envelope
from covalent_awsbatch_plugin.settings import Given, resolve
from covalent_awsbatch_plugin.tasks import cache_folder as cache
from covalent_awsbatch_plugin.tasks.cache_folder import cache_folder
from covalent_awsbatch_plugin.tasks.result_secret import SECRET_BYTES, result_secret
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staging import value_of

THEIRS = 54321  # the id of another user
MINE = f"covalent-awsbatch-{os.geteuid()}"
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user of the machine reaches and may write to, as /tmp is."""
    with TemporaryDirectory(prefix="covalent-awsbatch-test-") as folder:
        path = Path(folder, "tmp")
        Path(folder).chmod(0o755)
        path.mkdir()
        path.chmod(0o1777)
        yield path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    cache._warn_once.cache_clear()
    return tmp_path


def as_user(uid: int, deed: Callable[[], object]) -> str:
    """Does it in a process of this user's; what it returned, as text, or its traceback."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            text = str(deed())
        except BaseException:  # noqa: BLE001 - it is told
            text = traceback.format_exc()
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


# ---- which folder ---------------------------------------------------------------------------------------------------
def test_the_default_is_in_the_users_cache_and_for_nobody_else(home: Path) -> None:
    folder = cache_folder(resolve(Given({}, "by nobody")).cache_dir)
    assert (folder, mode(folder)) == (home / "cache" / "covalent-awsbatch" / "staging", 0o700)


def test_a_given_folder_gets_a_subfolder_of_the_users_own(shared: Path) -> None:
    folder = cache_folder(str(shared / "covalent"))
    assert (folder, mode(folder)) == (shared / "covalent" / MINE, 0o700)
    assert cache_folder(str(shared / "covalent")) == folder


def test_an_own_folder_that_others_can_look_into_is_closed(shared: Path) -> None:
    (shared / MINE).mkdir(mode=0o755)
    assert mode(cache_folder(str(shared))) == 0o700


def test_an_own_folder_that_others_could_write_to_is_refused(shared: Path) -> None:
    (shared / MINE).mkdir()
    (shared / MINE).chmod(0o777)
    with pytest.raises(StagingError, match=f"{shared / MINE} can't be used: others have permissions"):
        cache_folder(str(shared))


def test_a_folder_that_everybody_may_rename_things_in_is_not_used(home: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert cache_folder(str(tmp_path / "open")) == home / "cache" / "covalent-awsbatch" / "staging"


def test_a_link_in_the_own_folders_place_is_not_followed(home: Path, shared: Path) -> None:
    (shared / "elsewhere").mkdir()
    (shared / MINE).symlink_to(shared / "elsewhere")
    assert cache_folder(str(shared)) == home / "cache" / "covalent-awsbatch" / "staging"
    assert list((shared / "elsewhere").iterdir()) == []


def test_a_file_in_the_folders_place_is_told(home: Path) -> None:
    (home / "cache").write_text("")
    with pytest.raises(StagingError, match="Not a directory"):
        cache_folder("")


def test_a_home_that_covalent_cannot_transfer_from_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "a b"))
    with pytest.raises(StagingError, match="Covalent can't transfer files below .*a b"):
        cache_folder("")


@root
@pytest.mark.parametrize("permissions", [0o777, 0o755, 0o1777])
def test_another_users_folder_is_not_used_and_what_lies_in_it_is_not_read(
    home: Path, shared: Path, permissions: int
) -> None:
    def squat() -> None:
        (shared / "covalent").mkdir()
        (shared / "covalent").chmod(permissions)
        out = shared / "covalent" / MINE / "dispatch" / "0" / "out"
        out.mkdir(parents=True)
        os.mkfifo(out / "output-0")

    assert as_user(THEIRS, squat) == "None"
    assert cache_folder(str(shared / "covalent")) == home / "cache" / "covalent-awsbatch" / "staging"


@root
def test_another_users_folder_in_the_place_of_ones_own_is_not_used(home: Path, shared: Path) -> None:
    assert as_user(THEIRS, lambda: (shared / MINE).mkdir(mode=0o777)) == "None"
    assert cache_folder(str(shared)) == home / "cache" / "covalent-awsbatch" / "staging"


@root
def test_the_second_user_of_a_machine_works(shared: Path) -> None:
    first = cache_folder(str(shared / "covalent"))

    def second() -> Path:
        os.environ |= {"XDG_CACHE_HOME": str(shared / "home-of-the-second")}
        folder = cache_folder(str(shared / "covalent"))
        with create_own(folder / "output-0") as file:
            file.write(b"theirs")
        return folder

    assert as_user(THEIRS, second) == str(shared / "home-of-the-second" / "covalent-awsbatch" / "staging")
    (shared / "covalent").chmod(0o1777)
    assert as_user(THEIRS, second) == str(shared / "covalent" / f"covalent-awsbatch-{THEIRS}")
    assert "Permission denied" in as_user(THEIRS, lambda: list(first.iterdir()))


# ---- files ----------------------------------------------------------------------------------------------------------
def test_a_fifo_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "output-0")
    with pytest.raises(PermissionError, match="it is not a regular file"):
        open_own(tmp_path / "output-0")
    with create_own(tmp_path / "output-0") as file:
        file.write(b"mine")
    assert ((tmp_path / "output-0").read_bytes(), mode(tmp_path / "output-0")) == (b"mine", 0o600)


def test_a_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"theirs")
    (tmp_path / "output-0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        open_own(tmp_path / "output-0")
    with create_own(tmp_path / "output-0") as file:
        file.write(b"mine")
    assert (tmp_path / "elsewhere").read_bytes() == b"theirs"
    (tmp_path / "folder").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        own_folder(tmp_path / "folder")


@root
def test_another_users_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "output-0").write_bytes(b"theirs")
    os.chown(tmp_path / "output-0", THEIRS, THEIRS)
    with pytest.raises(PermissionError, match=f"it belongs to user {THEIRS}"):
        open_own(tmp_path / "output-0")


RAN: list[str] = []


def run(text: str) -> None:
    RAN.append(text)


class Evil:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return run, ("evil",)


def test_what_was_not_authenticated_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "output-0"
    archive.save(42, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    result = NodeResult(0, None, {envelope.OUTPUT: path}, {envelope.OUTPUT: digest})
    assert value_of(result) == 42
    archive.save(Evil(), path)
    with pytest.raises(Lost, match="is not the output that node 0 left"):
        value_of(result)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StagingError, match="not a regular file"):
        value_of(result)
    assert RAN == []
    pickle.loads(pickle.dumps(Evil()))
    assert RAN == ["evil"]  # which shows what would have run


def test_a_folder_that_was_replaced_since_it_was_checked_is_checked_again(home: Path, tmp_path: Path) -> None:
    folder = cache_folder(str(tmp_path / "given"))
    assert cache_folder(str(tmp_path / "given")) == folder
    folder.chmod(0o777)
    with pytest.raises(StagingError, match="others have permissions"):
        cache_folder(str(tmp_path / "given"))
    folder.rmdir()
    assert (cache_folder(str(tmp_path / "given")), mode(folder)) == (folder, 0o700)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert cache_folder(str(tmp_path / "given")) == home / "cache" / "covalent-awsbatch" / "staging"


# ---- the installation's secret --------------------------------------------------------------------------------------
@pytest.fixture
def secret(home: Path) -> Path:
    result_secret()
    return home / "data" / "covalent-awsbatch" / "result-secret"


@pytest.mark.parametrize("permissions", [0o666, 0o640, 0o604])
def test_a_secret_that_others_may_know_is_refused(secret: Path, permissions: int) -> None:
    assert mode(secret) == 0o600
    secret.chmod(permissions)
    with pytest.raises(StagingError, match=f"{secret} can't be read or made: others have permissions"):
        result_secret()


@root
def test_another_users_secret_is_refused(secret: Path) -> None:
    os.chown(secret, THEIRS, THEIRS)
    with pytest.raises(StagingError, match=f"it belongs to user {THEIRS}"):
        result_secret()


def test_a_link_or_a_fifo_in_the_secrets_place_is_refused(secret: Path) -> None:
    known = secret.with_name("known")
    known.write_bytes(b"k" * SECRET_BYTES)
    known.chmod(0o600)
    secret.unlink()
    secret.symlink_to(known)
    with pytest.raises(StagingError, match="symbolic link"):
        result_secret()
    secret.unlink()
    os.mkfifo(secret, 0o600)
    with pytest.raises(StagingError, match="not a regular file"):
        result_secret()
