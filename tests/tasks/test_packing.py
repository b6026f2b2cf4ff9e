# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Packing: the same task is the same bytes, small things go into the image and big ones to the bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.images.layer import layer
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.runner.protocol.task import IN_IMAGE, IN_S3, TaskFile
from covalent_awsbatch_plugin.tasks.packing import Package, StagedGroup, image_files, pack
from covalent_awsbatch_plugin.tasks.staging import stage_call
from tests.tasks.tasks import double, shout

MAX = 10_000


def key_for(content: str) -> bytes:
    return content.encode()[:4]


def staged(folder: Path, word: object = "a", dispatch_id: str = "d", node_id: int = 0) -> StagedGroup:
    folder.mkdir()
    function = shout if isinstance(word, str) else double
    return stage_call(function, (word,), {}, folder, dispatch_id=dispatch_id, node_id=node_id)


def packed(group: StagedGroup) -> Package:
    return pack(group, MAX, key_for, "0.240")


def test_the_same_task_gives_the_same_layer(tmp_path: Path) -> None:
    one, other = (packed(staged(tmp_path / name, dispatch_id=name)) for name in ("x", "y"))
    assert one == other
    files = image_files([one], ["x"]), image_files([other], ["y"])
    assert layer(files[0], "task").digest == layer(files[1], "task").digest


def test_another_argument_is_another_task(tmp_path: Path) -> None:
    one, other = packed(staged(tmp_path / "x", "a")), packed(staged(tmp_path / "y", "b"))
    assert one.content != other.content
    assert one.task.result_key != other.task.result_key


def test_small_objects_go_into_the_image_and_big_ones_to_the_bucket(tmp_path: Path) -> None:
    package = packed(staged(tmp_path / "x", b"x" * 2 * MAX))
    (value,) = package.task.inputs.values()
    (task,) = package.task.tasks
    assert (value.place, task.function.place, task.hooks.place) == (IN_S3, IN_IMAGE, IN_IMAGE)
    assert list(package.uploads) == [layout.object_key(value.sha256)]
    assert layout.object_file(task.function.sha256) in package.objects
    assert package.size == sum(map(len, package.objects.values()))


def test_what_two_tasks_share_is_in_the_layer_once(tmp_path: Path) -> None:
    packages = [packed(staged(tmp_path / name, node_id=node)) for node, name in enumerate("xyz")]
    files = image_files(packages, ["d"] * 3)
    assert sorted(path for path in files if path.startswith(layout.TASKS_DIR)) == [
        layout.task_file(i) for i in range(3)
    ]
    assert len(files) == 3 + len(packages[0].objects)


def test_the_dispatch_is_in_the_description_only_where_the_environment_cannot_tell_it(tmp_path: Path) -> None:
    packages = [packed(staged(tmp_path / name)) for name in "xy"]
    alone = image_files(packages, ["one", "one"])
    mixed = image_files(packages, ["one", "two"])
    told = [TaskFile.from_json(files[layout.task_file(1)]).dispatch_id for files in (alone, mixed)]
    assert told == ["", "two"]


@pytest.mark.parametrize("which", ["function", "hooks", "input"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, which: str) -> None:
    group = staged(tmp_path / "x")
    path = {"function": group.tasks[0].function, "hooks": group.tasks[0].hooks, "input": group.inputs[1]}[which]
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.StagingError, match=f"{path.name} can't be read: Is a directory"):
        packed(group)


@pytest.mark.parametrize(
    "data", [b"", b"x" * 7, b"\xff" * 16, (16).to_bytes(8, "big") + bytes(8) + b"not json"], ids=repr
)
def test_a_function_that_is_not_covalents_is_refused(tmp_path: Path, data: bytes) -> None:
    group = staged(tmp_path / "x")
    group.tasks[0].function.write_bytes(data)
    with pytest.raises(errors.NotPicklable, match="function of node 0 is not in Covalent's format"):
        packed(group)


def test_a_header_without_a_version_is_refused(tmp_path: Path) -> None:
    group = staged(tmp_path / "x")
    group.tasks[0].function.write_bytes((18).to_bytes(8, "big") + (18).to_bytes(8, "big") + b"{}")
    with pytest.raises(errors.NotPicklable, match="function of node 0 is not in Covalent's format"):
        packed(group)
