# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What runs around a function: shell commands, packages, calls, files from and to S3."""

from __future__ import annotations

import importlib.util
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import covalent as ct
import pytest

from tests.server.covalent_world import CovalentWorld

WHEEL = "tinydep-1.2-py3-none-any.whl"


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def package_index(tmp_path: Path) -> Iterator[str]:
    """A package index with one package, `tinydep`; on 127.0.0.1, which is the same inside the offline AWS's jobs."""
    folder = tmp_path / "simple" / "tinydep"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("tinydep.py", "answer = 42\n")
        about = "tinydep-1.2.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.2\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", f"tinydep.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
        thread.join()


def test_a_package_is_installed_for_the_electron_that_needs_it(any_world: CovalentWorld, package_index: str) -> None:
    @ct.electron(executor="awsbatch", deps_pip=ct.DepsPip(packages=[f"--index-url={package_index}", "tinydep==1.2"]))
    def use():
        import tinydep

        return tinydep.answer

    @ct.lattice
    def workflow():
        return use()

    assert any_world.completed(workflow).value == 42
    assert importlib.util.find_spec("tinydep") is None


def test_a_package_that_does_not_exist_is_told_in_pips_words(world: CovalentWorld, package_index: str) -> None:
    @ct.electron(executor="awsbatch", deps_pip=ct.DepsPip(packages=[f"--index-url={package_index}", "nowhere-at-all"]))
    def use():
        return 1

    @ct.lattice
    def workflow():
        return use()

    node = world.failed(workflow).node("use")

    assert "No matching distribution found for nowhere-at-all" in node.error


def test_shell_commands_run_before_the_function_and_their_output_is_kept(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch", deps_bash=ct.DepsBash(["echo prepared > $TMPDIR/note", "echo from the shell"]))
    def read():
        import os
        from pathlib import Path

        print("from Python")
        return Path(os.environ["TMPDIR"], "note").read_text()

    @ct.lattice
    def workflow():
        return read()

    ran = world.completed(workflow)

    assert ran.value == "prepared\n"
    assert ran.node("read").stdout == "from the shell\nfrom Python\n"


def test_a_shell_command_that_fails_is_told_with_what_it_printed(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch", deps_bash=ct.DepsBash(["echo half done; echo no such disk >&2; exit 3"]))
    def never():
        return 1

    @ct.lattice
    def workflow():
        return never()

    node = world.failed(workflow).node("never")

    assert "exit status 3" in node.error
    assert "no such disk" in node.error
    assert node.stdout == "half done\n"


def test_calls_run_before_and_after_and_hand_over_values(world: CovalentWorld) -> None:
    def fetch(number):
        print(f"fetching {number}")
        return number

    def say_goodbye(name):
        print(f"goodbye, {name}")

    @ct.electron(
        executor="awsbatch",
        call_before=[
            ct.DepsCall(fetch, args=[3], retval_keyword="bonus"),
            ct.DepsCall(fetch, kwargs={"number": 4}, retval_keyword="many"),
            ct.DepsCall(fetch, args=[5], retval_keyword="many"),
        ],
        call_after=[ct.DepsCall(say_goodbye, args=["world"])],
    )
    def work(x, bonus=0, many=()):
        print("working")
        return x, bonus, many

    @ct.lattice
    def workflow():
        return work(1)

    ran = world.completed(workflow)

    assert ran.value == (1, 3, [4, 5])
    assert ran.node("work").stdout == "fetching 3\nfetching 4\nfetching 5\nworking\ngoodbye, world\n"


def test_files_come_from_s3_before_and_go_to_s3_after(any_world: CovalentWorld) -> None:
    s3, bucket, key = any_world.client("s3"), any_world.section["s3_bucket_name"], uuid4().hex
    s3.put_object(Bucket=bucket, Key=f"{key}/in.txt", Body=b"some words")
    strategy = ct.fs_strategies.S3()
    there, back = f"/tmp/{key}.in", f"/tmp/{key}.out"

    @ct.electron(
        executor="awsbatch",
        files=[
            ct.fs.TransferFromRemote(f"s3://{bucket}/{key}/in.txt", there, strategy=strategy),
            ct.fs.TransferToRemote(f"s3://{bucket}/{key}/out.txt", back, strategy=strategy),
        ],
    )
    def shout(files=()):
        from pathlib import Path

        text = Path(files[0][1]).read_text().upper()
        Path(files[1][0]).write_text(text)
        return [list(pair) for pair in files]

    @ct.lattice
    def workflow():
        return shout()

    ran = any_world.completed(workflow)

    assert ran.value[0][1] == there
    assert s3.get_object(Bucket=bucket, Key=f"{key}/out.txt")["Body"].read() == b"SOME WORDS"
