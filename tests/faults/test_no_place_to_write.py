# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A user's folder in which nothing can be written: the task has its value, or one sentence names the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from tests.tasks.small_world import World

NO_PLACE = "/proc/covalent-awsbatch"  # the kernel lets nobody make a file there, root neither


@pytest.mark.cloud
@pytest.mark.parametrize("name", ["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"])
async def test_a_folder_that_cannot_be_written_is_named_and_no_job_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, NO_PLACE)
    before = world.sent()
    if name == "XDG_DATA_HOME":  # without the secret there no result can be read
        with pytest.raises(errors.StagingError, match=f"The file {NO_PLACE}/.* can't be read or made: No such file"):
            await world.value(world.settings(), str, "value")
    else:
        assert await world.value(world.settings(), str, "value") == "value"
    await close_shared()
    after = world.sent()
    states = {world.job(job)["status"] for job in after.jobs - before.jobs}
    assert states <= {"SUCCEEDED", "FAILED"}
    assert (after.definitions, after.objects) == (before.definitions, before.objects)


async def test_a_file_that_was_there_stays_whole_where_the_disk_is_full(tmp_path: Path) -> None:
    import resource
    import signal
    import subprocess
    import sys

    path = tmp_path / "note.json"
    path.write_text("whole")
    program = "import sys, pathlib; from covalent_awsbatch_plugin.core.files import atomic_write; " + (
        "atomic_write(pathlib.Path(sys.argv[1]), 'x' * 100_000)"
    )

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    ended = subprocess.run(
        [sys.executable, "-B", "-c", program, str(path)],
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and "OSError" in ended.stderr
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("whole", ["note.json"])
