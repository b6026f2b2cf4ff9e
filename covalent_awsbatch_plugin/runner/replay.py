# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task of an ended job again, by hand, in this process: with a terminal, and nothing is committed.

The user's machine has fetched what lies in the bucket to a folder, and starts this with the job's environment.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pdb  # noqa: T100 - the user asks for it by --pdb
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import traceback_text
from .bucket import StorageError
from .calls import Call, run_call
from .execute import run_task, save, settle
from .job import Job
from .kept_file import KeptFile
from .protocol import layout
from .protocol.archive import Writable
from .protocol.task import CALLS, TaskSpec
from .unpack import Download, JobPayload, NoJob, Unpacked, unpack_image

_RUNNER_DIR = Path(__file__).resolve().parents[1]
_ROOT = _RUNNER_DIR.parents[layout.RUNNER_DIR.count("/")]
_MOST_SHOWN = 2000  # characters of a value


class FetchedObjects:
    """The objects of a bucket, as files of a folder that have the objects' keys as names, with `-` for `/`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        """Return the file of an object."""
        return self._folder / key.replace("/", "-")

    def get(self, key: str, file: KeptFile, most: int) -> None:
        """Copy an object to an empty file; `most` is checked by its reader."""
        file.write(self._read(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return ranges of an object's bytes."""
        data = self._read(key)
        return [data[begin:end] for begin, end in ranges]

    def put(self, key: str, data: bytes) -> None:
        """Raise StorageError: what is run by hand writes nothing."""
        raise StorageError(f"{key}: nothing is written by hand")

    def put_file(self, key: str, file: KeptFile) -> None:
        """Raise StorageError: what is run by hand writes nothing."""
        raise StorageError(f"{key}: nothing is written by hand")

    def _read(self, key: str) -> bytes:
        try:
            return self.path(key).read_bytes()
        except OSError as error:
            raise StorageError(f"{key} was not fetched: {error}") from error


def main(words: Sequence[str]) -> int:
    """Run a task; return 0 where it returned a value, and 1 where it raised an error."""
    options = _parser().parse_args(words)
    objects = FetchedObjects(Path(options.objects))
    try:
        job = Job.open(_ROOT, unpacked(_ROOT, objects, os.environ), os.environ, options.member)
    except NoJob as error:
        print(f"covalent-awsbatch: {error}.", file=sys.stderr)
        return layout.NO_INPUT.code
    for ref in job.to_fetch():
        job.fetched[ref.sha256] = KeptFile()
        objects.get(layout.object_key(ref.sha256), job.fetched[ref.sha256], ref.size)
    settle(job, _RUNNER_DIR)
    return _run(job, options)


def unpacked(root: Path, objects: FetchedObjects, environment: Mapping[str, str]) -> Unpacked:
    """Return the tasks of the container that the job's environment names. Raises NoJob."""
    payload = JobPayload.of(environment)
    if not payload.digest:
        return unpack_image(payload, root)
    download = Download(Path(tempfile.gettempdir()))
    if download.fetch(payload, lambda: objects):
        raise NoJob(download.error(payload))
    return download.unpacked()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("replay")
    parser.add_argument("--objects", required=True)
    parser.add_argument("--member", type=int)
    parser.add_argument("--node", type=int)
    parser.add_argument("--call", type=int, default=0)
    parser.add_argument("--pdb", action="store_true")
    parser.add_argument("--code-here", action="store_true")
    return parser


def _run(job: Job, options: argparse.Namespace) -> int:
    """Run the tasks up to the wanted one: a task may need the values of those before it."""
    target = next((task for task in job.file.tasks if task.node_id == options.node), job.file.tasks[-1])
    for task in job.file.tasks:
        files = job.open_files(task.node_id)
        os.environ.update(job.task_variables(task))
        call = partial(_one_call, options.call)
        change = edited if options.code_here and task is target else None
        try:
            value = run_task(job, task, files, call, change)
        except Exception as error:  # noqa: BLE001 - of the user's function
            return _raised(error, job, task, stop=options.pdb)
        if task is target:
            kind = "" if task.kind == CALLS else f": {ascii(value)[:_MOST_SHOWN]}"
            print(f"covalent-awsbatch: {task.name} returned a value here{kind}", file=sys.stderr)
            return 0
        save(value, task, files)
    raise AssertionError("the target is one of the job's")


def _one_call(
    number: int,
    function: Callable[..., Any],
    loaders: Iterable[Callable[[], Call]],
    name: str,
    into: Writable,
    goes_on: Callable[[], bool],
) -> None:
    """Run one of several calls. An exception of the function is raised."""
    load = next(itertools.islice(loaders, number, None))
    args, kwargs = load()
    run_call(function, args, kwargs)


def _raised(error: Exception, job: Job, task: TaskSpec, *, stop: bool) -> int:
    sys.stdout.flush()
    print(traceback_text.text(error, task.name, task.node_id, job.file.covalent), file=sys.stderr, flush=True)
    if stop:
        pdb.post_mortem(error.__traceback__)
    return 1


def edited(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as its file on this machine has it now. Raises OSError or AttributeError.

    The file is run as a module, so that its `if __name__ == "__main__"` does not dispatch anything.
    """
    code = function.__code__
    names = runpy.run_path(code.co_filename, run_name="covalent_awsbatch_replay")
    first, *rest = code.co_qualname.split(".")
    if first not in names:
        raise AttributeError(f"{code.co_filename} has no function `{code.co_qualname}` any more")
    member = names[first]
    for name in rest:
        member = getattr(member, name)
    member = getattr(getattr(member, "electron_object", None), "function", member)  # of `@ct.electron`
    return getattr(member, "__wrapped__", member)  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
