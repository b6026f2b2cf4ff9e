# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Layers of any files: the same bytes in any order, everything comes out again, and any change makes another digest."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import PurePosixPath
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.images.layer import Entry, File, Link, deflated_gzip, layer, pieces, stored_gzip

QUICK = settings(database=None, deadline=None)

# What a POSIX file system allows in a name; halves of characters are no text that a tar can hold.
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=5).map("/".join)
targets = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=150)
entries = st.binary(max_size=1500) | st.builds(File, st.binary(max_size=600), st.booleans()) | st.builds(Link, targets)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Entry]:
    """Files of which none is also a folder."""
    files: dict[str, Entry] = draw(st.dictionaries(paths, entries, max_size=8))
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    return {path: entry for path, entry in files.items() if path not in folders}


def content(entry: Entry) -> bytes:
    return bytes(entry.data) if isinstance(entry, File) else entry if isinstance(entry, bytes) else b""


@QUICK
@given(trees(), st.randoms(use_true_random=False))
def test_the_order_of_any_files_makes_no_difference(files: dict[str, Entry], dice: Random) -> None:
    shuffled = list(files.items())
    dice.shuffle(shuffled)
    one, other = layer(files), layer(dict(shuffled))
    assert one == other and bytes(one.data) == bytes(other.data)


@QUICK
@given(trees())
def test_any_files_come_out_as_they_went_in(files: dict[str, Entry]) -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer(files).data))) as archive:
        members = {member.name: member for member in archive}
        for path, entry in files.items():
            member = members.pop(path)
            if isinstance(entry, Link):
                assert (member.issym(), member.linkname) == (True, entry.target)
                continue
            file = archive.extractfile(member)
            assert file is not None and file.read() == content(entry)
            assert member.mode == (0o755 if isinstance(entry, File) and entry.executable else 0o644)
    assert all(member.isdir() for member in members.values())


@QUICK
@given(trees())
def test_folders_come_before_what_is_in_them(files: dict[str, Entry]) -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer(files).data))) as archive:
        order = archive.getnames()
    assert len(set(order)) == len(order)
    for at, name in enumerate(order):
        assert {str(parent) for parent in PurePosixPath(name).parents if parent.name} <= set(order[:at])


@QUICK
@given(trees(), paths, entries)
def test_one_file_more_or_another_one_is_another_layer(files: dict[str, Entry], path: str, entry: Entry) -> None:
    try:
        other = layer(files | {path: entry})
    except ValueError:
        assume(False)
    before = files.get(path)
    same = before is not None and (
        entry == before
        or (
            not (isinstance(entry, Link) or isinstance(before, Link) or is_executable(entry) or is_executable(before))
            and content(entry) == content(before)
        )
    )
    assert (other.digest == layer(files).digest) == same


def is_executable(entry: Entry) -> bool:
    return isinstance(entry, File) and entry.executable


@QUICK
@given(trees(), paths, st.sampled_from(["/{}", "../{}", "{}/..", "a/../{}", "{}/", "a//{}", "./{}", ""]))
def test_a_path_that_leaves_the_root_is_refused_whatever_else_is_there(
    files: dict[str, Entry], path: str, shape: str
) -> None:
    with pytest.raises(ValueError, match="not a plain path"):
        layer(files | {shape.format(path): b""})


cuts = st.lists(st.binary(max_size=70_000), max_size=5)


@QUICK
@given(cuts, st.integers(1, 80_000))
def test_any_bytes_in_any_pieces_are_the_same_gzip(chunks: list[bytes], step: int) -> None:
    whole = b"".join(chunks)
    again = [whole[start : start + step] for start in range(0, len(whole), step)]
    packed = b"".join(stored_gzip(chunks))
    assert packed == b"".join(stored_gzip(again)) == b"".join(stored_gzip(pieces(again)))
    assert gzip.decompress(packed) == whole == gzip.decompress(b"".join(deflated_gzip(chunks)))
