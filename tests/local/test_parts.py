# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Parts of the offline AWS that need no world: engines, layers, log lines, the base image's files."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from uuid import uuid4

import pytest

from covalent_awsbatch_plugin.images.base_facts import Files
from covalent_awsbatch_plugin.images.layer_scan import read_layer
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.base_image.build import BaseImage, make_base_image
from covalent_awsbatch_plugin.local.base_image.files import closure, entries
from covalent_awsbatch_plugin.local.engines import choice as engines
from covalent_awsbatch_plugin.local.engines import layer_files
from covalent_awsbatch_plugin.local.engines.base import Container, PullFailed, reference_of
from covalent_awsbatch_plugin.local.engines.docker import DockerEngine
from covalent_awsbatch_plugin.local.engines.layer_files import extract, merge
from covalent_awsbatch_plugin.local.log_writer import EVENT_BYTES, cut
from tests.local.small_world import layer


async def test_auto_is_process_where_no_engine_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    async with LocalAWS() as aws:
        assert aws.engine == "process"


def test_an_engine_is_taken_by_its_name_alone() -> None:
    assert engines.choose("docker") == "docker"
    with pytest.raises(ValueError, match="podman"):
        engines.choose("podman")


@pytest.mark.engine
async def test_auto_is_docker_where_an_engine_answers() -> None:
    async with LocalAWS() as aws:
        assert aws.engine == "docker"


def unpacked(folder: Path, *files: dict[str, bytes]) -> Path:
    layers = []
    for index, each in enumerate(files):
        archive, target = folder / f"{index}.tar", folder / str(index)
        archive.write_bytes(layer(each))
        extract(archive, target)
        layers.append(target)
    merge(layers, folder / "root")
    return folder / "root"


def test_upper_layers_replace_and_remove_what_lower_ones_have(tmp_path: Path) -> None:
    lower = {"a/kept": b"1", "a/replaced": b"1", "a/gone": b"1", "b/gone/deep": b"1", "c/hidden": b"1"}
    upper = {"a/replaced": b"2", "a/.wh.gone": b"", "b/.wh.gone": b"", "c/.wh..wh..opq": b"", "c/new": b"2"}
    root = unpacked(tmp_path, lower, upper)
    found = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert found == {"a/kept": b"1", "a/replaced": b"2", "c/new": b"2"}


def test_nothing_is_unpacked_outside(tmp_path: Path) -> None:
    unpacked(tmp_path, {"../outside": b"1", "/absolute-and-outside": b"1", "inside": b"1"})
    assert sorted(p.name for p in (tmp_path / "root").iterdir()) == ["inside"]
    assert not (tmp_path / "outside").exists()
    assert not Path("/absolute-and-outside").exists()


def tarred(*entries: tuple[str, bytes, str | bytes]) -> bytes:
    """A tar of entries: name, type, and content or target of a link."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if isinstance(content, str):
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def of_layers(folder: Path, *archives: bytes) -> Path:
    layers = []
    for index, data in enumerate(archives):
        archive, target = folder / f"{index}.tar", folder / f"layer-{index}"
        archive.write_bytes(data)
        extract(archive, target)
        layers.append(target)
    merge(layers, folder / "root")
    return folder / "root"


def test_a_file_over_a_folder_and_back_is_legal(tmp_path: Path) -> None:
    folder, file = tarred(("a/b", FILE, b"1"), ("c", FILE, b"1")), tarred(("a", FILE, b"2"), ("c/d", FILE, b"2"))
    root = of_layers(tmp_path, folder, file, folder)
    assert (root / "a/b").read_bytes() == b"1"
    assert (root / "c").read_bytes() == b"1"
    root = of_layers(tmp_path, folder, file)
    assert ((root / "a").read_bytes(), (root / "c/d").read_bytes()) == (b"2", b"2")


def test_a_folder_below_a_link_of_a_lower_layer_is_where_the_link_points(tmp_path: Path) -> None:
    lower = tarred(("usr/lib/old", FILE, b"1"), ("lib", LINK, "usr/lib"), ("lib64", LINK, "/usr/lib"))
    root = of_layers(tmp_path, lower, tarred(("lib/new", FILE, b"2"), ("lib64/newer", FILE, b"3")))
    assert (root / "lib").is_symlink()
    assert sorted(path.name for path in (root / "usr/lib").iterdir()) == ["new", "newer", "old"]


def _ways_out(outside: Path) -> dict[str, list[bytes]]:
    up = "../" * 20 + str(outside).lstrip("/")
    return {
        "a file through a link": [tarred(("a", LINK, str(outside)), ("a/kept", FILE, b"theirs"))],
        "a file through a link that goes up": [tarred(("a", LINK, up), ("a/kept", FILE, b"theirs"))],
        "a file over a link": [tarred(("a", LINK, f"{outside}/kept"), ("a", FILE, b"theirs"))],
        "a link in a lower layer": [tarred(("a", LINK, str(outside))), tarred(("a/kept", FILE, b"theirs"))],
        "a whiteout below a link": [tarred(("a", LINK, str(outside))), tarred(("a/.wh.kept", FILE, b""))],
        "an opaque whiteout below a link": [tarred(("a", LINK, up)), tarred(("a/.wh..wh..opq", FILE, b""))],
        "a whiteout of the parent": [tarred(("a", FILE, b"")), tarred((".wh...", FILE, b""))],
        "a whiteout of the folder": [tarred(("a", FILE, b"")), tarred((".wh..", FILE, b""), (".wh.", FILE, b""))],
    }


@pytest.mark.parametrize("way", _ways_out(Path("/")))
def test_no_layer_reaches_out_of_its_folder(tmp_path: Path, way: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "kept").write_text("mine")
    (inside / "beside").write_text("mine")
    root = of_layers(inside, *_ways_out(outside)[way])
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "mine"
    assert (inside / "beside").read_text() == "mine"
    assert root.is_dir()


@pytest.mark.parametrize("target", ["/outside", "../outside", "../../outside", "gone", "."])
def test_a_hard_link_out_of_its_layer_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("mine")
    with pytest.raises(PullFailed, match="failed to register layer"):
        of_layers(tmp_path, tarred(("a", FILE, b""), ("b", HARD, target)))
    assert (tmp_path / "outside").stat().st_nlink == 1


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match="too many levels of symbolic links"):
        of_layers(tmp_path, tarred(("a", LINK, "b"), ("b", LINK, "a"), ("a/c", FILE, b"")))


def test_a_layer_that_fills_the_disk_is_refused_before_that(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tar"
    archive.write_bytes(gzip.compress(tarred(("bomb", FILE, bytes(50 * 1024 * 1024)))))
    assert archive.stat().st_size < 100_000
    with pytest.raises(PullFailed, match="write /bomb: no space left on device"):
        extract(archive, tmp_path / "layer", free_bytes=shutil.disk_usage(tmp_path).free - 10 * 1024 * 1024)
    assert not (tmp_path / "layer").exists()


def test_a_header_as_big_as_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**33
    archive = tmp_path / "header.tar"
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(PullFailed, match="an extended header of 8589934592 bytes"):
        extract(archive, tmp_path / "layer")
    with archive.open("rb") as file:
        assert not read_layer(file, Files())


def test_a_layer_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_files, "MOST_ENTRIES", 2)
    with pytest.raises(PullFailed, match="more than 2 entries"):
        of_layers(tmp_path, tarred(*((name, FILE, b"") for name in "abc")))


@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_lines_are_cut_between_characters(character: str) -> None:
    line = "x" + character * EVENT_BYTES
    parts = cut(line)
    assert "".join(parts) == line
    assert max(len(part.encode()) for part in parts) <= EVENT_BYTES
    assert cut("") == []


def test_a_closure_follows_extras() -> None:
    found = {each.name.lower() for each in closure(["moto[server]"])}
    assert {"moto", "boto3", "botocore", "flask", "werkzeug"} <= found
    assert "flask" not in {each.name.lower() for each in closure(["moto"])}
    assert closure(["a-package-that-nobody-has"]) == []


def whole(cache: Path) -> BaseImage:
    return make_base_image(whole=True, report=lambda _line: None, distributions=["packaging"], cache=cache)


def test_a_base_image_holds_a_python_with_packages_and_byte_code(tmp_path: Path) -> None:
    image = whole(tmp_path)
    blob = image.blobs[json.loads(image.manifest)["layers"][0]["digest"]]
    with tarfile.open(blob) as tar:
        found = {member.name: member for member in tar}
        minor = f"python3.{sys.version_info.minor}"
        pyc = f"usr/local/lib/{minor}/__pycache__/os.{sys.implementation.cache_tag}.pyc"
        header = tar.extractfile(pyc)
        assert header is not None
        assert header.read(8)[4:] == b"\1\0\0\0"  # by hash, and unchecked
    for name in (f"usr/local/bin/{minor}", f"usr/local/lib/{minor}/os.py", "etc/ssl/certs/ca-certificates.crt", "tmp"):
        assert name in found
    assert f"usr/local/lib/{minor}/site-packages/packaging/__init__.py" in found
    assert not [name for name in found if f"{minor}/test/" in name]
    assert {member.mtime for member in found.values()} == {0}


def test_the_same_machine_makes_the_same_base_image(tmp_path: Path) -> None:
    first, second = whole(tmp_path / "one"), whole(tmp_path / "two")
    assert first.digest == second.digest
    assert whole(tmp_path / "one") == first
    other = make_base_image(whole=True, report=lambda _line: None, distributions=[], cache=tmp_path / "one")
    assert other.digest != first.digest


def test_a_base_image_has_each_name_once() -> None:
    names = [entry.name for entry in entries(["packaging"])]
    assert len(names) == len(set(names))
    assert f"packaging-{distribution('packaging').version}.dist-info" in "\n".join(names)


@pytest.fixture
def base_image(tmp_path: Path) -> Iterator[str]:
    """The offline AWS's base image, by its tag in the engine."""
    image, tag = whole(tmp_path), f"base-image-test:{uuid4().hex[:8]}"
    blob = image.blobs[json.loads(image.manifest)["layers"][0]["digest"]]
    change = ["--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin"]
    subprocess.run(["docker", "import", *change, str(blob), tag], check=True, capture_output=True)
    yield tag
    subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


@pytest.mark.engine
def test_a_base_image_runs_by_itself(base_image: str) -> None:
    program = (
        "import ssl, sqlite3, ctypes, lzma, bz2, packaging; print(ssl.create_default_context().cert_store_stats())"
    )
    for command in (["python3", "-c", program], ["sh", "-c", "ls / && env && echo $HOME > /tmp/x"]):
        run = ["docker", "run", "--rm", base_image, *command]
        assert subprocess.run(run, check=True, capture_output=True, text=True).stdout


@pytest.mark.engine
@pytest.mark.parametrize("seen", [True, False])
async def test_a_container_has_its_secret_whether_or_not_the_engine_sees_our_files(base_image: str, seen: bool) -> None:
    engine = DockerEngine("127.0.0.1:1", "", slots=1)
    engine._secrets.are_seen = seen
    folder = Path(engine._secrets.folder.name)
    program = "import os, sys; sys.exit(open(os.environ['TOKEN_FILE']).read() != 'told')"
    name = f"secret-test-{uuid4().hex[:8]}"
    container = Container(name, base_image, ["python3", "-c", program], {}, 64, 1.0, b"told", "TOKEN_FILE")
    try:
        running = await engine.start(container, print)
        assert len(list(folder.iterdir())) == seen
        assert (await running.wait()).code == 0
        await running.close()
        assert list(folder.iterdir()) == [], "nothing of it is left when its container is gone"
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("image", "name", "version"),
    [
        ("127.0.0.1:5000/tasks:one", "127.0.0.1:5000/tasks", "one"),
        (f"127.0.0.1:5000/tasks:one@sha256:{'a' * 64}", "127.0.0.1:5000/tasks", f"sha256:{'a' * 64}"),
        ("python", "docker.io/library/python", "latest"),
    ],
)
def test_reference_of_an_image_is_what_an_engine_pulls(image: str, name: str, version: str) -> None:
    assert (reference_of(image).name, reference_of(image).version) == (name, version)


def test_reference_of_no_image_fails_as_an_engine_does() -> None:
    with pytest.raises(PullFailed, match="invalid reference format"):
        reference_of("Not An Image")
