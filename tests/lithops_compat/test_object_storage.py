# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' `Storage` and the parts of objects, in this process and in containers of the offline AWS."""

from __future__ import annotations

import collections
import io
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.lithops_compat import CloudObject, Storage, StorageNoSuchKeyError
from covalent_awsbatch_plugin.lithops_compat.object_parts import LEAST_CHUNK
from tests.lithops_compat.conftest import Executors
from tests.tasks.small_world import World

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LINES = [f"line {number} of some words\n" for number in range(400)]


@pytest.fixture
def storage(executor: Executors) -> Storage:
    return executor().storage


def test_objects_are_written_listed_read_and_deleted(storage: Storage, tmp_path: Path) -> None:
    bucket, keys = storage.bucket, ["trial/a.txt", "trial/b/c.bin", "trials.txt"]
    for key, body in zip(keys, ("text", b"bytes", io.BytesIO(b"0123456789")), strict=True):
        storage.put_object(bucket, key, body)
    assert [storage.get_object(bucket, key) for key in keys] == [b"text", b"bytes", b"0123456789"]
    assert storage.list_keys(bucket, "trial") == keys
    assert storage.list_keys(bucket, "trial/") == keys[:2]
    assert [item["Size"] for item in storage.list_objects(bucket, "trial", match_pattern="*.txt")] == [4, 10]
    assert storage.get_object(bucket, keys[2], extra_get_args={"Range": "bytes=2-4"}) == b"234"
    assert storage.get_object(bucket, keys[2], stream=True, extra_get_args={"Range": "bytes=8-"}).read() == b"89"
    assert storage.get_object(bucket, keys[2], stream=True).read() == b"0123456789"
    assert storage.head_object(bucket, keys[0])["content-length"] == 4
    assert storage.head_bucket(bucket) == {}
    storage.download_file(bucket, keys[1], str(tmp_path / "down" / "file"))
    storage.upload_file(str(tmp_path / "down" / "file"), bucket, "trial/again")
    assert storage.get_object(bucket, "trial/again") == b"bytes"
    storage.delete_objects(bucket, [*keys, "trial/again"])
    storage.delete_object(bucket, keys[0])
    assert storage.list_keys(bucket, "trial") == []


def test_an_absent_object_and_a_wrong_range_are_told(storage: Storage) -> None:
    with pytest.raises(StorageNoSuchKeyError, match=r"no object s3://.*/absent"):
        storage.get_object(storage.bucket, "absent")
    with pytest.raises(ValueError, match="must look like bytes=0-99"):
        storage.get_object(storage.bucket, "absent", extra_get_args={"Range": "lines=1-2"})
    with pytest.raises(NotImplementedError, match=r"use boto3.client\('s3'\)"):
        storage.get_client()


def test_cloud_objects_go_to_functions_and_back_and_are_deleted_at_the_end(
    settings: dict[str, Any], executor: Executors, world: World
) -> None:
    def put(text: str, storage: Storage) -> list[CloudObject]:
        return [storage.put_cloudobject(f"{text} {number}") for number in range(2)]

    def get(place: CloudObject, storage: Storage) -> str:
        return bytes(storage.get_cloudobject(place)).decode()

    fexec = executor()
    fexec.call_async(put, "from a container")
    places = [*fexec.get_result(), fexec.storage.put_cloudobject("from here")]
    fexec.map(get, places)
    assert fexec.get_result() == ["from a container 0", "from a container 1", "from here"]
    kept = fexec.storage.put_cloudobject("kept", key="covalent-awsbatch/objects/lithops/kept")
    fexec.clean(cs=places[:1])
    assert {place.key for place in places} & world.sent().objects == {place.key for place in places[1:]}
    fexec.clean()
    assert {place.key for place in (*places, kept)} & world.sent().objects == {kept.key}
    fexec.storage.delete_cloudobject(kept)


def count(obj: Any) -> dict[str, int]:
    if not (obj.bucket and obj.key and 0 <= obj.part < obj.total_parts):
        raise ValueError(obj.part)
    return dict(collections.Counter(obj.data_stream.read().decode().splitlines()))


def total(results: list[dict[str, int]]) -> dict[str, int]:
    return dict(sum(map(collections.Counter, results), collections.Counter()))


def test_objects_are_split_at_the_ends_of_lines(executor: Executors) -> None:
    fexec = executor()
    bucket, store = fexec.storage.bucket, fexec.storage
    prefix = "covalent-awsbatch/objects/words"  # what the job role of `iam` may read
    texts = {f"{prefix}/{name}": "".join(lines) for name, lines in (("a", LINES), ("b", LINES[:3]))}
    for key, text in texts.items():
        store.put_object(bucket, key, text)
    fexec.map(count, f"s3://{bucket}/{prefix}/")
    assert fexec.get_result() == [{line.strip(): 1 for line in text.splitlines()} for text in texts.values()]
    places = [f"cos://{bucket}/{key}" for key in texts]
    fexec.map_reduce(count, places, total, obj_chunk_number=3, obj_reduce_by_key=True)
    assert fexec.get_result() == [{line.strip(): 1 for line in text.splitlines()} for text in texts.values()]
    fexec.map_reduce(count, places, total, obj_chunk_size=LEAST_CHUNK)
    assert sum(fexec.get_result().values()) == 403
    store.delete_objects(bucket, texts)


def test_places_that_are_no_objects_are_told(executor: Executors) -> None:
    fexec = executor()
    with pytest.raises(SettingError, match="'/etc/hosts' is no object of S3"):
        fexec.map(count, "/etc/hosts")
    with pytest.raises(SettingError, match="obj_chunk_size must be at least 1 MiB"):
        fexec.map(count, "s3://bucket/key", obj_chunk_size=100)
    with pytest.raises(StorageNoSuchKeyError):
        fexec.map(count, f"{fexec.storage.bucket}/absent")
