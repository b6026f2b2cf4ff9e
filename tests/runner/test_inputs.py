# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Where functions and arguments come from, and what is said when they can't be had."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from covalent_awsbatch_plugin.runner.protocol.task import HEAD, IN_S3, MAGIC, ContainerFiles, ObjectRef, payload
from tests.runner.bench import Container

MIB = 1024 * 1024


def test_an_argument_may_come_from_the_bucket(container: Container) -> None:
    ref = container.upload(cloudpickle.dumps("from afar"))
    container.add(lambda x, y: x + y, ref, y=ref)
    assert container.run().value() == "from afarfrom afar"


def test_a_hundred_megabytes_in_and_out_need_little_more_memory(container: Container) -> None:
    data = os.urandom(MIB) * 100
    container.add(lambda data: (data[::-1],), container.upload(cloudpickle.dumps(data)))
    measure(container)
    ran = container.run(timeout=120)
    assert ran.value() == (data[::-1],)
    fetch, task, supervisor = map(int, ran.tasks_stderr.split())
    assert fetch < 150, "MiB"
    assert task < 100 + 100 + 50, "MiB: the argument, the result, and Python"
    assert supervisor < 150, "MiB"


def measure(container: Container) -> None:
    """Let every process of this container end with its peak of memory, in MiB, on stderr."""
    main = container.root / layout.RUNNER_DIR / "__main__.py"
    text = main.read_text()
    main.unlink()  # a link to the image's own file
    main.write_text(f"import atexit\n{inspect.getsource(_tell_peak)}\natexit.register(_tell_peak)\n{text}")


def _tell_peak() -> None:
    import sys

    with open("/proc/self/status") as file:
        kib = next(line.split()[1] for line in file if line.startswith("VmHWM:"))
    print(int(kib) // 1024, file=sys.stderr, flush=True)


def test_the_text_of_big_containers_is_a_caption_and_of_a_str_is_whole(container: Container) -> None:
    container.add(lambda: bytes(9 * MIB))
    container.add(lambda: "x" * 9 * MIB)
    ran = container.run()
    assert ran.archive(0).object_string.startswith("<bytes, 125")
    assert ran.archive(1).object_string == "x" * 9 * MIB


def test_an_object_that_was_changed_is_refused(container: Container) -> None:
    container.add(reference("math", "sin"), 0.0)
    container.spoil = lambda data: data.replace(reference("math", "sin"), reference("math", "cos"))
    ran = container.run()
    assert ran.exit_code == layout.NO_INPUT.code
    assert ran.ended() == (envelope.NO_INPUT, 1, None)
    assert "was packed with" in ran.text(envelope.ERROR)


def test_an_object_of_the_bucket_that_was_changed_is_refused(container: Container) -> None:
    ref = container.upload(cloudpickle.dumps(1))
    key = layout.object_key(ref.sha256)
    container.bucket.client.put_object(Bucket=container.bucket.name, Key=key, Body=cloudpickle.dumps(2))
    container.add(lambda x: x, ref)
    ran = container.run()
    assert ran.ended()[0] == envelope.NO_INPUT


def test_an_object_that_is_gone_is_named_with_a_remedy(container: Container) -> None:
    gone = ObjectRef.of(b"gone", IN_S3)
    container.add(lambda x: x, gone)
    container.add(lambda: "needs nothing")
    ran = container.run()
    error = ran.text(envelope.ERROR)
    assert ran.exit_code == layout.NO_INPUT.code
    assert f"s3://{container.bucket.name}/{layout.object_key(gone.sha256)} could not be read" in error
    assert "NoSuchKey" in error
    assert "lifecycle rule" in error
    assert ran.value(1) == "needs nothing"


def test_a_container_that_is_no_job_says_so(container: Container) -> None:
    container.env[layout.ENV_ARRAY_INDEX] = "3"
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == layout.NO_INPUT.code
    assert ran.stderr.startswith(b"covalent-awsbatch: the description of the task can't be read: ")
    assert b"it has tasks for 1 containers, and none for number 3" in ran.stderr
    assert ran.stderr.count(b"\n") == 1


def test_a_job_without_its_places_says_so(container: Container) -> None:
    container.env[layout.ENV_BUCKET] = ""
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == layout.NO_INPUT.code
    assert layout.ENV_BUCKET.encode() in ran.stderr


def test_the_image_runs_by_hand_without_a_bucket(container: Container) -> None:
    container.env |= {layout.ENV_JOB_ID: "", layout.ENV_BUCKET: ""}
    container.add(lambda: print("by hand"))
    ran = container.run()
    assert (ran.exit_code, ran.stdout) == (0, b"by hand\n")
    assert b"nothing is committed" in ran.stderr
    assert ran.bucket.listed() == []


def test_a_function_of_another_python_is_refused(container: Container) -> None:
    container.pickled_by = "3.8.18"
    container.add(lambda: 1)
    ran = container.run()
    assert ran.ended()[0] == envelope.RAISED
    here = "{}.{}".format(*sys.version_info)
    assert f"pickled by Python 3.8.18, and the image has Python {here}" in ran.text(envelope.ERROR)
    assert "container_image_uri" in ran.text(envelope.ERROR)


def reference(module: str, name: str = "f") -> bytes:
    """The pickle of a function that is pickled by reference."""
    return f"c{module}\n{name}\n.".encode()


def test_a_missing_module_is_named_with_a_remedy(container: Container) -> None:
    container.add(reference("some_science.core"), name="compute")
    error = container.run().text(envelope.ERROR)
    assert "ModuleNotFoundError: No module named 'some_science'" in error
    assert "The image has no module 'some_science', which node 0 ('compute') needs" in error
    assert "setting `environment`" in error and 'environment="auto"' in error
    assert "DepsPip" not in error, "a module of the user's own is on no index"


def test_a_node_that_needs_covalent_says_what_the_image_needs(container: Container) -> None:
    hidden = container.root / "hidden" / "covalent"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'covalent'\", name='covalent')")
    container.env["PYTHONPATH"] = str(hidden.parent)
    container.add(reference("covalent._workflow.electron"), name=":postprocess:")
    error = container.run().text(envelope.ERROR)
    assert "Node 0 (':postprocess:') needs Covalent itself, and the image has none" in error
    assert "covalent==0.240.0" in error
    assert 'workflow_executor="local"' in error


def test_covalents_context_is_there_when_it_is_asked_for(container: Container) -> None:
    def ask() -> Any:
        import covalent as ct

        context = ct.get_context()
        return context.dispatch_id, context.task_id

    container.add(lambda: sorted(name for name in sys.modules if name.partition(".")[0] in ("covalent", "obstore")))
    container.add(ask)
    ran = container.run()
    assert ran.value(0) == []
    assert ran.value(1) == ("d15pa7c4", 1)


def test_nothing_of_the_runner_is_in_the_users_way(container: Container) -> None:
    container.add(lambda: [entry for entry in sys.path if entry.endswith(layout.RUNNER_DIR)])
    assert container.run().value() == []


@pytest.mark.parametrize("place", ["function", "hooks"])
def test_functions_and_hooks_may_come_from_the_bucket_too(container: Container, place: str) -> None:
    spec = container.add(lambda: "value")
    baked: ObjectRef = getattr(spec, place)
    data = container.objects[baked.sha256]
    container.tasks[0] = replace(spec, **{place: container.upload(data)})  # type: ignore[arg-type]
    assert container.run().value() == "value"


# ---- what another version left -------------------------------------------------------------------------------------
def version(number: int) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(MAGIC + bytes([layout.FORMAT_VERSION]), MAGIC + bytes([number]))


@pytest.mark.parametrize("number", [layout.FORMAT_VERSION - 1, layout.FORMAT_VERSION + 1])
def test_payload_of_another_version_is_refused_with_both_versions(container: Container, number: int) -> None:
    container.add(lambda: 1)
    container.spoil = version(number)
    ran = container.run()
    words = f"its format is version {number}, and this runner reads version {layout.FORMAT_VERSION} only"
    assert ran.exit_code == layout.NO_INPUT.code
    assert words in ran.stderr.decode()
    assert ran.stderr.count(b"\n") == 1
    assert ran.bucket.listed() == []
    assert list((container.root / "tmp").iterdir()) == []


def test_description_of_another_version_is_refused_with_both_versions(container: Container) -> None:
    container.add(lambda: 1)
    older = container.description().to_json().replace(b'"version":2', b'"version":1')
    container.write()
    (container.root / layout.PAYLOAD_FILE).write_bytes(payload([ContainerFiles({0: older}, container.objects)]).data)
    with container.launch(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == layout.NO_INPUT.code
    assert b"it is of version 1, and this runner reads version 2 only" in stderr


def test_task_of_an_unknown_kind_is_refused_by_its_name(container: Container) -> None:
    container.add(lambda: 1)
    later = container.description().to_json().replace(b'"kind":"function"', b'"kind":"script"')
    container.write()
    (container.root / layout.PAYLOAD_FILE).write_bytes(payload([ContainerFiles({0: later}, container.objects)]).data)
    with container.launch(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == layout.NO_INPUT.code
    assert b"is of the kind 'script', which this runner does not know" in stderr


def test_image_with_the_files_of_version_1_is_refused(container: Container) -> None:
    """That version had a file for each description and object, in covalent/tasks and covalent/objects."""
    (container.root / "covalent" / "tasks").mkdir()
    (container.root / "covalent" / "tasks" / "0.json").write_text('{"version":1}')
    with container.launch(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == layout.NO_INPUT.code
    assert b"the description of the task can't be read: " in stderr
    assert b"No such file or directory" in stderr


@pytest.mark.parametrize("size", [0, 10, HEAD.size, HEAD.size + 10])
def test_payload_that_was_cut_in_the_image_is_refused(container: Container, size: int) -> None:
    container.add(lambda: 1)
    container.spoil = lambda data: data[:size]
    ran = container.run()
    assert ran.exit_code == layout.NO_INPUT.code
    assert b"the description of the task can't be read: " in ran.stderr
    assert ran.stderr.count(b"\n") == 1
