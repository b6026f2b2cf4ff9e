# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Packing: the same task is the same bytes, small things go into the image and big ones to the bucket."""

from __future__ import annotations

import base64
import json
import pickle
import random
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from covalent._workflow.depsbash import DepsBash
from covalent._workflow.depscall import DepsCall
from covalent._workflow.depspip import DepsPip

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.images.layer import Pieces, compressed_layer
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.runner.protocol.task import (
    IN_IMAGE,
    IN_S3,
    ContainerList,
    Head,
    ObjectRef,
    Row,
    TaskFile,
    row_at,
)
from covalent_awsbatch_plugin.tasks import packing
from covalent_awsbatch_plugin.tasks.image_and_payload import image_files
from covalent_awsbatch_plugin.tasks.packing import Package, pack
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
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
    files = image_files([one], ["x"], 1), image_files([other], ["y"], 1)
    assert compressed_layer(files[0], "task").digest == compressed_layer(files[1], "task").digest


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
    assert task.sources is not None
    assert sorted(package.objects) == sorted([task.function.sha256, task.hooks.sha256, task.sources.sha256])
    assert package.size_beside(set()) == sum(len(each.data) for each in package.objects.values())
    (upload,) = package.uploads.values()
    assert pickle.loads(upload.read_bytes()) == b"x" * 2 * MAX
    assert ObjectRef.of(upload.read_bytes(), IN_S3) == value


def contents(files: dict[str, Pieces]) -> tuple[bytes, list[ContainerList]]:
    """The one file of a layer, and the lists of its containers."""
    ((path, file),) = files.items()
    data = b"".join(bytes(chunk) for chunk in file.chunks)
    assert (path, file.size) == (layout.PAYLOAD_FILE, len(data))
    rows = [Row.from_bytes(data[row_at(i) : row_at(i + 1)]) for i in range(Head.from_bytes(data).containers)]
    return data, [ContainerList.from_bytes(data[row.begin : row.begin + row.size]) for row in rows]


def test_the_source_lines_of_a_function_are_no_part_of_its_content(tmp_path: Path) -> None:
    one = packed(script_task(tmp_path / "x", "def task():\n    return 1 / 0  # a remark\n"))
    (task,) = one.task.tasks
    assert task.sources is not None
    (lines,) = json.loads(one.objects[task.sources.sha256].data)
    file = str(tmp_path / "script.py")
    assert lines == {"file": file, "line": 1, "name": "task", "text": "def task():\n    return 1 / 0  # a remark\n"}
    packing._sources.clear()  # as in another process
    (tmp_path / "script.py").write_text("def task():\n    return 2 / 0\n")
    other = packed(script_task(tmp_path / "y"))
    assert other.task.tasks[0].sources is None, "another function stands there now"
    assert (other.content, other.task.result_key) == (one.content, one.task.result_key)


@pytest.mark.parametrize("wrapper", ["functools.lru_cache", "functools.cache"])
def test_a_function_that_its_pickle_only_names_is_refused(tmp_path: Path, wrapper: str) -> None:
    text = f"import functools\n@{wrapper}\ndef cached(x):\n    return x\ndef task():\n    return cached(1)\n"
    with pytest.raises(errors.NotPicklable, match="The function of node 0 can't be sent") as caught:
        packed(script_task(tmp_path / "x", text))
    assert "`cached` of the script was sent by its name only" in caught.value.advice


def script_task(folder: Path, text: str = "") -> StagedGroup:
    """A call of the function `task` of the script beside the folder; with a text, the script is written and run."""
    script = folder.parent / "script.py"
    if text:
        script.write_text(text)
        code = (
            "import runpy, sys, types, cloudpickle; main = sys.modules['__main__']; main.__file__ = sys.argv[1];"
            "exec(compile(open(sys.argv[1]).read(), sys.argv[1], 'exec'), vars(main));"
            "open(sys.argv[1] + '.pickle', 'wb').write(cloudpickle.dumps(task))"
        )
        subprocess.run([sys.executable, "-c", code, str(script)], check=True)
    folder.mkdir()
    group = stage_call(shout, (), {}, folder, dispatch_id="d", node_id=0)
    pickle_in_archive(group.tasks[0].function, script.with_name("script.py.pickle").read_bytes())
    return group


def pickle_in_archive(path: Path, data: bytes) -> None:
    """Put another pickle into a staged archive."""
    archived = path.read_bytes()
    at = int.from_bytes(archived[8:16], "big")
    path.write_bytes(archived[:at] + base64.b64encode(data))


def test_what_two_tasks_share_is_in_the_layer_once(tmp_path: Path) -> None:
    packages = [packed(staged(tmp_path / name, node_id=node)) for node, name in enumerate("xyz")]
    data, lists = contents(image_files(packages, ["d"] * 3, 1))
    assert [list(each.tasks) for each in lists] == [[0], [1], [2]]
    assert [[each.sha256 for each in found.objects] for found in lists] == [list(packages[0].objects)] * 3
    assert [data.count(shared.data) for shared in packages[0].objects.values() if len(shared.data) > 2] == [1, 1, 1]


def test_tasks_that_share_a_container_are_in_one_list(tmp_path: Path) -> None:
    packages = [packed(staged(tmp_path / name, name, node_id=node)) for node, name in enumerate("xyz")]
    _, lists = contents(image_files(packages, ["d"] * 3, 2))
    assert [list(each.tasks) for each in lists] == [[0, 1], [2]]


def test_shared_objects_are_in_memory_once_and_counted_once(tmp_path: Path) -> None:
    one, other = (packed(staged(tmp_path / name, node_id=node)) for node, name in enumerate("xy"))
    assert one.objects.keys() == other.objects.keys()
    assert all(one.objects[sha256] is other.objects[sha256] for sha256 in one.objects)
    there = set[str]()
    assert one.size_beside(there) == sum(len(each.data) for each in one.objects.values())
    assert other.size_beside(there) == 0


def test_objects_that_no_package_has_are_not_kept(tmp_path: Path) -> None:
    package = packed(staged(tmp_path / "x", "only here"))
    kept = [weakref.ref(each) for each in package.objects.values()]
    del package
    assert len([each for each in kept if each() is not None]) < len(kept)


def test_the_dispatch_is_in_the_description_only_where_the_environment_cannot_tell_it(tmp_path: Path) -> None:
    packages = [packed(staged(tmp_path / name)) for name in "xy"]
    alone = image_files(packages, ["one", "one"], 1)
    mixed = image_files(packages, ["one", "two"], 1)
    told = [TaskFile.from_json(contents(files)[1][1].tasks[1]).dispatch_id for files in (alone, mixed)]
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


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"\xff" * 16, bytes(15) + b"\x10" + b"a"], ids=repr)
def test_an_argument_that_is_not_covalents_is_refused(tmp_path: Path, data: bytes) -> None:
    group = staged(tmp_path / "x")
    group.inputs[1].write_bytes(data)
    with pytest.raises(errors.NotPicklable, match="value of node 1 is not in Covalent's format"):
        packed(group)


def test_hooks_lose_their_captions_and_keep_what_the_runner_reads(tmp_path: Path) -> None:
    group = staged(tmp_path / "x")
    call = DepsCall(print, args=[object()], retval_keyword="x").to_dict()
    pip, shell = DepsPip(packages=["numpy==1"]).to_dict(), DepsBash(["ls"]).to_dict()
    hooks = {"deps": {"pip": pip, "bash": shell}, "call_before": [call], "call_after": []}
    group.tasks[0].hooks.write_text(json.dumps(hooks))
    package = packed(group)
    sent = json.loads(package.objects[package.task.tasks[0].hooks.sha256].data)
    pickles = ("apply_fn", "apply_args", "apply_kwargs")
    objects = {name: {"attributes": {"_object": call["attributes"][name]["attributes"]["_object"]}} for name in pickles}
    assert sent == {
        "deps": {
            "pip": {"attributes": {"packages": ["numpy==1"], "requirements_content": ""}},
            "bash": {"attributes": {"commands": ["ls"]}},
        },
        "call_before": [{"attributes": {"retval_keyword": "x", **objects}}],
    }


@pytest.mark.parametrize("text", ["no json", "[]", '{"deps": {"pip": {}}}', '{"call_before": [1]}'])
def test_hooks_that_are_not_covalents_are_sent_as_they_are(tmp_path: Path, text: str) -> None:
    group = staged(tmp_path / "x")
    group.tasks[0].hooks.write_text(text)
    package = packed(group)
    assert package.objects[package.task.tasks[0].hooks.sha256].data == text.encode()


@pytest.mark.parametrize(("kind", "most"), [("random", 2500), ("numbers", 500)])
def test_bytes_pushed_for_a_task_stay_below_their_bound(tmp_path: Path, kind: str, most: int) -> None:
    """Per task of an array of 200, whose arguments have 2 KB each."""
    chance = random.Random(7)
    values = {"random": lambda _: chance.randbytes(2000), "numbers": lambda each: list(range(each, each + 500))}
    groups = [staged(tmp_path / str(each), values[kind](each), node_id=each) for each in range(200)]
    packages = [packed(group) for group in groups]
    made = compressed_layer(image_files(packages, ["d"] * 200, 1), "task")
    assert made.size / 200 <= most
