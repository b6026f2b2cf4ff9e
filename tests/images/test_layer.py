# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Layers: the same bytes everywhere, readable by everybody, and not copied about."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc

import pytest

from covalent_awsbatch_plugin.images.layer import (
    File,
    Link,
    Pieces,
    compressed_layer,
    digest_of,
    layer,
    stored_gzip,
    tar,
)

FILES = {
    "covalent/tasks/0.json": b"{}",
    "covalent/runner/run": File(b"#!/bin/sh\n", executable=True),
    "covalent/objects/empty": b"",
    "covalent/current": Link("runner/run"),
    "a/" + "very-long-name/" * 20 + "ä.txt": "€".encode(),
}


def unpacked(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def test_the_same_files_are_the_same_bytes_on_every_machine() -> None:
    """A change here makes every image of every user new: it needs a line in the changelog."""
    made = layer(FILES)
    assert made.diff_id == "sha256:35c3e0c7e55f030fe1a3de92e334657642438cdffc5d51b6dbe616ba8729abff"
    assert made.digest == "sha256:ca797bf8e53c0b2d2bbd376c157257043bd5ebc4e4cc9c4fd7a53d68a3e3f8e7"


def test_the_order_of_files_makes_no_difference() -> None:
    assert layer(dict(reversed(FILES.items()))) == layer(FILES)


def test_a_layer_says_what_it_is() -> None:
    made = layer(FILES, "runner")
    assert (made.digest, made.size, made.comment) == (digest_of(made.data), len(made.data), "runner")
    assert made.diff_id == digest_of(gzip.decompress(made.data))


def test_folders_and_files_belong_to_root_and_have_no_time() -> None:
    members = unpacked(layer(FILES).data)
    assert {(m.uid, m.gid, m.mtime, m.uname) for m in members.values()} == {(0, 0, 0, "")}
    assert (members["covalent"].type, members["covalent"].mode) == (tarfile.DIRTYPE, 0o755)
    assert members["covalent/tasks/0.json"].mode == 0o644
    assert members["covalent/runner/run"].mode == 0o755
    assert members["covalent/current"].linkname == "runner/run"
    assert list(members).index("covalent/tasks") < list(members).index("covalent/tasks/0.json")


def test_contents_and_long_names_survive() -> None:
    with tarfile.open(fileobj=io.BytesIO(layer(FILES).data)) as archive:
        for path in ("covalent/tasks/0.json", "covalent/objects/empty", *[name for name in FILES if "ä" in name]):
            file = archive.extractfile(path)
            assert file is not None
            assert file.read() == FILES[path]


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../b", "a//b", "./a", "a/", "", "."])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a plain path"):
        layer({path: b""})


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' is a file and a folder"):
        layer({"a": b"", "a/b": b""})


@pytest.mark.parametrize("size", [0, 1, 65534, 65535, 65536, 131070, 200_000])
def test_stored_gzip_is_gzip(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert gzip.decompress(b"".join(stored_gzip([data[:size]]))) == data[:size]


@pytest.mark.parametrize("cut", [1, 511, 65535, 65536, 99_999])
def test_how_the_input_is_cut_makes_no_difference(cut: int) -> None:
    data = b"0123456789" * 20_000
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    assert b"".join(stored_gzip(pieces)) == b"".join(stored_gzip([data]))


def test_100_mb_are_copied_once() -> None:
    content = bytes(100_000_000)
    tracemalloc.start()
    try:
        made = layer({"covalent/objects/big": content})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.size < len(content) * 1.001
    assert peak < len(content) * 1.05


def test_a_tar_ends_as_tar_wants() -> None:
    data = b"".join(tar({"a": b"b"}))
    assert len(data) % 512 == 0
    assert data.endswith(bytes(1024))


def test_compressed_layer_holds_the_same_tar_in_fewer_bytes() -> None:
    files = FILES | {"covalent/payload": b"0123456789" * 10_000}
    stored, made = layer(files, "task"), compressed_layer(files, "task")
    assert gzip.decompress(made.data) == gzip.decompress(stored.data)
    assert (made.diff_id, made.comment) == (stored.diff_id, "task")
    assert (made.digest, made.size) == (digest_of(made.data), len(made.data))
    assert made.size < stored.size / 20
    assert made == compressed_layer(files, "task")


@pytest.mark.parametrize("cuts", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"x" * 512, b"y"]])
def test_file_in_pieces_is_the_file_of_the_pieces_together(cuts: list[bytes]) -> None:
    whole = b"".join(cuts)
    files = {"a/b": Pieces(len(whole), cuts), "c": b"after"}
    assert layer(files) == layer({"a/b": whole, "c": b"after"})
