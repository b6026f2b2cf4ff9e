# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Tasks that are not in the image: fetched from one object, and nothing of it is believed that is not what was sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.runner.protocol.task import ContainerFiles, Payload, Row, payload, row_at
from tests.runner.bench import JOB_ID, Container, Ran, array_payload

Spoil = Callable[[bytes], bytes]


class Array:
    """An array whose children have the same image and each its own tasks; nothing of those is in the image."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.children: list[Container] = []

    def add(self, function: Callable[..., Any], *args: Any) -> None:
        child = Container(self._container.root, self._container.bucket, index=len(self.children))
        child.add(function, *args)
        self.children.append(child)

    def payload(self, each: int = 1) -> Payload:
        return array_payload(self.children, each)

    def sent(self, spoil: Spoil = bytes, each: int = 1) -> Payload:
        """Uploads it, spoiled; from then on the image has no tasks."""
        made = self.payload(each)
        bucket = self._container.bucket
        bucket.client.put_object(Bucket=bucket.name, Key=made.key, Body=spoil(made.data))
        return made

    def run(self, made: Payload, index: int, **env: str) -> Ran:
        child = self.children[index]
        told = {**made.environment, layout.ENV_ARRAY_INDEX: str(index), **env}
        job = f"{JOB_ID}:{index}"
        alone = WithoutTasks(child.root, child.bucket, env=told | {layout.ENV_JOB_ID: job}, key=child.key)
        ran = alone.run()
        return replace(ran, attempt=layout.attempt_prefix(alone.prefix, job, 1), job_id=job)


class WithoutTasks(Container):
    def write(self) -> None:
        assert not (self.root / layout.PAYLOAD_FILE).exists()


@pytest.fixture
def array(container: Container) -> Array:
    array = Array(container)
    for word in ("a", "b", "c"):
        array.add(lambda word: (print(word), word.upper())[1], word)
    return array


def test_each_container_finds_its_own(array: Array) -> None:
    made = array.sent()
    for index, word in enumerate("abc"):
        ran = array.run(made, index)
        assert (ran.value(), ran.stdout.decode()) == (word.upper(), f"{word}\n")
    assert list((array.children[0].root / "tmp").iterdir()) == [], "it takes what it unpacked away"


def test_what_they_share_is_in_it_once(array: Array) -> None:
    one, many = Array(array._container), Array(array._container)
    for number in range(20):
        many.add(bytes, number)
        one.children = many.children[:1]
    first = many.children[0]
    function = first.objects[first.tasks[0].function.sha256]
    assert many.payload().data.count(function) == 1
    assert one.payload().data.count(function) == 1


def test_the_same_tasks_are_the_same_bytes(array: Array) -> None:
    assert array.payload() == array.payload()
    assert array.payload().digest != array.payload(each=2).digest


def test_tasks_that_share_a_container_come_together(array: Array) -> None:
    made = array.sent(each=3)
    env = {
        layout.ENV_TASKS_PER_JOB: "3",
        layout.ENV_TASKS: "3",
        layout.ENV_PARALLEL_TASKS: "2",
        layout.ENV_TIME_LIMIT: "60",
        layout.ENV_JOB_ID: JOB_ID,
    }
    first = array.children[0]
    ran = WithoutTasks(first.root, first.bucket, env=env | made.environment).run()
    assert ran.exit_code == 0, ran.stderr
    for child in array.children:
        job = layout.member_id(JOB_ID, child.index)
        where = layout.attempt_prefix(child.prefix, job, 1)
        own = replace(ran, key=child.key, job_id=job, attempt=where)
        assert own.value() == "abc"[child.index].upper()
    assert list((first.root / "tmp").iterdir()) == []


def flip(at: int) -> Spoil:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def another_function(data: bytes) -> bytes:
    """What somebody would write who may write to the bucket: a whole payload of their own."""
    return payload([ContainerFiles({0: b'"theirs"'}, {"0" * 64: b"theirs"})] * 3).data


def another_list(data: bytes) -> bytes:
    """The rows are right, and the list names other files of the same length."""
    row = Row.from_bytes(data[row_at(0) : row_at(1)])
    files = json.loads(data[row.begin : row.begin + row.size])
    files["objects"][0][0] = hashlib.sha256(b"theirs").hexdigest()
    text = json.dumps(files, separators=(",", ":")).encode()
    assert len(text) == row.size
    return data[: row.begin] + text + data[row.begin + row.size :]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (flip(0), "its beginning"),
        (flip(row_at(2)), "its beginning"),
        (another_function, "its beginning"),
        (another_list, "the list of its files"),
        (lambda data: data[: row_at(1)], "its beginning"),
        (lambda data: data[: row_at(3) + 10], "the list of its files"),
        (flip(-1), "its object"),
        (lambda data: data[:-1], "its object"),
    ],
)
def test_what_was_changed_or_cut_is_refused_before_anything_of_it_is_read(
    container: Container, spoil: Spoil, what: str
) -> None:
    array = Array(container)
    for _ in range(3):
        array.add(lambda x: x, 1)
    made = array.sent(lambda data: spoil(bytes(data)))
    ran = array.run(made, 0 if what != "its object" else 2)
    assert ran.exit_code == layout.NO_INPUT.code
    assert f"{made.key} is not what was sent with this job: {what}" in ran.stderr.decode()
    assert ran.bucket.listed() == [made.key], "nothing was committed"


@pytest.mark.parametrize("left", [0, row_at(3)])
def test_one_that_ends_before_what_is_looked_for_is_told_of_as_cut(array: Array, left: int) -> None:
    ran = array.run(array.sent(lambda data: data[:left]), 0)
    assert ran.exit_code == layout.NO_INPUT.code
    assert b"It was cut after the job was submitted" in ran.stderr


def test_a_payload_that_is_gone_is_named_with_a_remedy(array: Array) -> None:
    ran = array.run(replace(array.sent(), digest="0" * 64), 1)
    assert ran.exit_code == layout.NO_INPUT.code
    said = ran.stderr.decode()
    assert f"s3://{ran.bucket.name}/{layout.payload_key('0' * 64)} could not be read: NoSuchKey" in said
    assert "lifecycle rule" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("containers", ["", "three"])
def test_an_environment_that_does_not_say_where_it_lies(array: Array, containers: str) -> None:
    ran = array.run(array.sent(), 0, **{layout.ENV_CONTAINERS: containers})
    assert ran.exit_code == layout.NO_INPUT.code
    assert b"the job's environment does not say where its payload lies" in ran.stderr


def test_a_big_argument_is_an_object_of_its_own(array: Array) -> None:
    big = array.children[0].upload(cloudpickle.dumps("from afar"))
    array.add(lambda x: x, big)
    made = array.sent()
    assert b"from afar" not in made.data
    assert array.run(made, 3).value() == "from afar"
