# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task that fills the disk, empties the folder for temporary files or drops its user: its end is told anyway."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.runner import kept_file
from covalent_awsbatch_plugin.runner.kept_file import KeptFile
from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import Container, without_header
from tests.runner.test_shared_container import Shared

MIB = 1024 * 1024
FULL = "The disk of the container is full"


class OnSmallDisk(Container):
    """A container whose folder for temporary files is a tmpfs of 2 MiB, in a mount namespace of its own."""

    def launch(self, **popen: Any) -> subprocess.Popen[bytes]:
        temporary, runner = self.root / "tmp", self.root / layout.RUNNER_DIR
        script = f"mount -t tmpfs -o size=2m tmpfs {temporary} && exec {self.python} -s {runner}"
        words = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
        return subprocess.Popen(words, env=self.environment(), cwd=self.root, **popen)


@pytest.fixture
def small(container: Container) -> OnSmallDisk:
    return OnSmallDisk(container.root, container.bucket)


@pytest.fixture(autouse=True)
def _functions_of_this_file_travel() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def fill() -> None:
    with Path(tempfile.gettempdir(), "filler").open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_a_value_bigger_than_the_disk_arrives(small: OnSmallDisk) -> None:
    small.add(lambda: b"v" * 10_000_000)
    ran = small.run()
    assert (ran.exit_code, ran.value()) == (0, b"v" * 10_000_000)


def test_a_value_that_has_no_room_in_memory_either_names_the_disk(small: OnSmallDisk) -> None:
    small.add(lambda: bytes(kept_file.MEMORY_BYTES), name="big")
    ran = small.run()
    assert ran.exit_code == layout.RAISED.code
    assert ran.ended() == (envelope.NO_ROOM, 1, None)
    assert f"big returned a value that can't be kept. {FULL}" in ran.text(envelope.ERROR)


def test_the_own_exception_is_kept_on_a_full_disk(small: OnSmallDisk) -> None:
    def fail() -> None:
        fill()
        raise ValueError("my own error")

    small.add(fail)
    ran = small.run()
    assert ran.ended() == (envelope.RAISED, 1, None)
    assert ran.task().exception_type == "ValueError"
    text = ran.text(envelope.ERROR)
    assert "ValueError: my own error" in text
    assert FULL in text
    assert "ValueError: my own error" in ran.text(envelope.STDERR)
    assert cloudpickle.loads(ran.part(envelope.EXCEPTION)).args == ("my own error",)


def test_more_output_than_the_disk_holds_is_cut_with_the_reason(small: OnSmallDisk) -> None:
    small.add(lambda: print("p" * 10_000_000) or 1)
    ran = small.run()
    assert ran.value() == 1
    output = ran.text(envelope.STDOUT)
    assert output.startswith("p" * MIB)
    assert output.endswith("[cut here: the disk of the container is full, and the rest is in CloudWatch only]\n")
    assert ran.stdout.decode().count("p") == 10_000_000


def test_an_exit_code_is_kept_on_a_full_disk(small: OnSmallDisk) -> None:
    def leave() -> None:
        fill()
        print("so far", flush=True)
        os._exit(3)

    small.add(leave)
    ran = small.run()
    assert ran.ended() == (envelope.EXITED, 3, None)
    assert ran.text(envelope.STDOUT) == "so far\n"
    text = ran.text(envelope.ERROR)
    assert "left by os._exit with code 3" in text
    assert FULL in text


def test_an_argument_bigger_than_the_disk_arrives(small: OnSmallDisk) -> None:
    small.add(len, small.upload(cloudpickle.dumps(b"v" * 10_000_000)))
    assert small.run().value() == 10_000_000


def empty() -> None:
    folder = tempfile.gettempdir()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def test_an_emptied_folder_takes_no_value(container: Container) -> None:
    def task() -> int:
        empty()
        print("printed")
        return 42

    container.add(task)
    container.add(lambda: "next")
    ran = container.run()
    assert (ran.exit_code, ran.value(0), ran.value(1)) == (0, 42, "next")
    assert ran.text(envelope.STDOUT) == "printed\n"


def test_an_emptied_folder_takes_no_later_input(container: Container) -> None:
    container.add(empty)
    container.add(len, container.upload(cloudpickle.dumps(b"from afar")))
    ran = container.run()
    assert (ran.exit_code, ran.value(1)) == (0, 9)


@pytest.mark.parametrize("harm", [fill, empty])
def test_the_other_tasks_of_a_shared_container_go_on(small: OnSmallDisk, harm: Callable[[], None]) -> None:
    shared = Shared(small)
    for function in (lambda: harm() or 1, lambda: 2, lambda: 1 / 0):
        shared.add(function)
    shared.members = [OnSmallDisk(**vars(member)) for member in shared.members]
    left = shared.run()
    assert [ran.task().outcome for ran in left] == [envelope.RETURNED, envelope.RETURNED, envelope.RAISED]
    assert [ran.value() for ran in left[:2]] == [1, 2]
    assert (FULL in left[2].text(envelope.ERROR)) == (harm is fill)


def test_a_finished_task_is_found_on_a_full_disk(small: OnSmallDisk) -> None:
    shared = Shared(small)
    shared.add(fill)
    shared.add(lambda: "done")
    shared.members = [OnSmallDisk(**vars(member)) for member in shared.members]
    first = shared.run()
    second = shared.run(attempt=2)
    assert [ran.value() for ran in first] == [None, "done"]
    assert second[0].exit_code == 0
    assert not [key for key in first[0].bucket.listed() if "/2/" in key], "nothing ran again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its user")
@pytest.mark.parametrize("ending", ["returns", "raises", "exits"])
def test_a_task_that_drops_its_user_keeps_its_end(container: Container, ending: str) -> None:
    def task() -> str:
        os.setgid(65534)
        os.setuid(65534)
        if ending == "raises":
            raise ValueError("my own error")
        return "dropped" if ending == "returns" else os._exit(3)

    container.add(task)
    ran = container.run()
    expected = {"returns": (envelope.RETURNED, 0, None), "raises": (envelope.RAISED, 1, None)}
    assert ran.ended() == expected.get(ending, (envelope.EXITED, 3, None))
    assert ending != "returns" or ran.value() == "dropped"
    assert ending != "raises" or "my own error" in ran.text(envelope.ERROR)


def test_a_task_without_a_descriptor_left_keeps_its_value(container: Container) -> None:
    def task() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(open(os.devnull))  # noqa: SIM115 - they stay open
        except OSError:
            pass
        globals()["held"] = held
        return len(held)

    container.add(task)
    assert 20 < container.run().value() < 64


def test_a_task_that_closes_every_descriptor_keeps_its_value(container: Container) -> None:
    def task() -> int:
        os.closerange(3, 1024)
        globals()["own"] = [open(os.devnull, "w") for _ in range(60)]  # noqa: SIM115 - takes the same numbers
        return 42

    container.add(task)
    assert container.run().value() == 42


@pytest.mark.parametrize("closed", [False, True])
def test_streams_that_are_regular_files_or_closed_take_no_value(
    container: Container, tmp_path: Path, closed: bool
) -> None:
    container.add(lambda: print("printed", file=sys.stderr) or print("printed") or 42)
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        if closed:
            words = ["sh", "-c", f"exec {container.python} -s {container.root / layout.RUNNER_DIR} <&- >&- 2>&-"]
            container.write()
            code = subprocess.run(words, env=container.environment(), cwd=container.root, check=False).returncode
        else:
            code = container.start(stdout=out, stderr=err).wait(60)
    ran = container.ran(code)
    assert (ran.exit_code, ran.value()) == (0, 42)
    assert (ran.text(envelope.STDOUT), ran.text(envelope.STDERR)) == ("printed\n", "printed\n")
    expected = "" if closed else "printed\n"
    assert [without_header((tmp_path / name).read_text()) for name in ("out", "err")] == [expected, expected]


def test_the_parts_of_a_file_are_read_as_one(tmp_path: Path) -> None:
    file = KeptFile(tmp_path, memory_bytes=10)
    file.write(b"on the disk, ")
    assert (file.read(), file.size, list(tmp_path.iterdir())) == (b"on the disk, ", 13, [])
    with file.reader() as stream:
        assert (stream.read(3), stream.seek(-2, os.SEEK_END), stream.read()) == (b"on ", 11, b", ")
    memory = KeptFile(None, memory_bytes=10)
    memory.write(b"0123456789")
    with pytest.raises(OSError, match="No space left"):
        memory.write(b"more")
    memory.end_with(b"cut")
    assert memory.read() == b"0123456cut"
    memory.settle(10)
    assert (memory.read(), memory.size, memory.path()) == (b"0123456cut", 10, None)


def test_a_system_without_files_in_memory_keeps_them_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(kept_file, "_SHARED_MEMORY", str(tmp_path / "nowhere"))
    file = KeptFile()
    file.write(b"kept")
    assert file.read() == b"kept"


def test_a_result_of_two_parts_is_uploaded_whole(small: OnSmallDisk) -> None:
    def task() -> bytes:
        return os.urandom(1) * 3_000_000

    small.add(task)
    ran = small.run()
    assert len(ran.value()) == 3_000_000
