# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One task, in a process of its own: inputs, hooks, the function, its value; and a report of how that went.

The report is all that the supervisor believes. A process that ends without one was ended from outside.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import covalent_context, hooks, sys_path, traceback_text
from .job import Job, TaskFolder, writable
from .on_stop import ENV_STOP_FILE
from .protocol import archive, envelope
from .protocol.task import ObjectRef, TaskSpec


class NoInput(Exception):
    """The function, the hooks or an argument can't be had, or are not what was packed."""


class Unpicklable(Exception):
    """The function returned what can't be pickled."""


class WrongPython(Exception):
    """The function was pickled by a Python whose pickles this one can't read."""


@dataclass(frozen=True)
class Report:
    outcome: str
    exit_code: int
    exception_type: str | None = None

    def write(self, path: Path) -> None:
        """All of it or nothing."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Report | None:
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None


def execute(job: Job, task: TaskSpec, runner_dir: Path) -> int:
    """Run the task and report; returns the exit status of this process, which then ends as any Python does."""
    _settle(job, runner_dir)
    folder, this_process = job.folder(task.node_id), os.getpid()
    os.environ[ENV_STOP_FILE] = str(folder.last_moment)
    try:
        value = _value(job, task, folder)
        if os.getpid() != this_process:
            return 0  # the user's code forked and this copy came back here too: the first one reports
        _save(value, task, folder)
        report = Report(envelope.RETURNED, 0)
    except BaseException as error:  # whatever ends the user's function is its outcome
        if os.getpid() != this_process:
            raise
        report = _failed(error, job, task, folder)
    report.write(folder.report)
    return report.exit_code


def _settle(job: Job, runner_dir: Path) -> None:
    """Make this process the user's: our cloudpickle, whose like wrote what we read, stays; no more of ours is found."""
    import cloudpickle  # noqa: F401

    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != str(runner_dir)]
    sys_path.use(job.root)
    faulthandler.enable()  # where a segmentation fault was, in Python's terms, on stderr
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    os.environ.setdefault("COVALENT_PLUGIN_LOAD", "false")  # its plugins cost seconds, and some need more packages
    if not writable(os.environ.get("HOME")):
        os.environ["HOME"] = str(job.work)  # `import covalent`, and many others, write there
    _be_first_to_go()


def _be_first_to_go() -> None:
    """When the memory is used up, the kernel shall end this process and leave the supervisor to say so."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return  # another system, or not allowed: the kernel chooses


def _value(job: Job, task: TaskSpec, folder: TaskFolder) -> Any:
    """What the function returns; order as in Covalent's `wrapper_fn`."""
    hooked = json.loads(_checked(job, task.hooks).read_bytes() or b"{}")
    function_file = _checked(job, task.function)
    inputs = {node: _input(job, node) for node in (*task.args, *task.kwargs.values())}
    _same_python(task)

    covalent_context.announce(job.file.dispatch_id or job.dispatch_id, task.node_id)
    contained = job.root == Path("/")
    injected = hooks.before(hooked, hooks.scratch_folder(folder.scratch), contained=contained) if hooked else {}
    function = _unpickled(function_file)
    args = [inputs[node]() for node in task.args]
    kwargs = {name: inputs[node]() for name, node in task.kwargs.items()} | injected
    value = function(*args, **kwargs)
    hooks.after(hooked)
    return value


def _input(job: Job, node_id: int) -> Callable[[], Any]:
    """Return what loads an argument: a pickle that was sent, or the archive of an earlier task's value."""
    ref = job.file.inputs.get(node_id)
    if ref:
        return partial(_unpickled, _checked(job, ref))
    return partial(archive.load, job.folder(node_id).part(envelope.OUTPUT))


def _unpickled(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)


def _checked(job: Job, ref: ObjectRef) -> Path:
    """The object's file, read once to see that it is what was packed."""
    path = job.object(ref)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        complaint = job.complaint(ref)
        raise NoInput(complaint.read_text(encoding="utf-8") if complaint.exists() else str(error)) from None
    if digest != ref.sha256 or path.stat().st_size != ref.size:
        raise NoInput(f"object {ref.sha256} was packed with {ref.size} bytes, and others came")
    return path


def _same_python(task: TaskSpec) -> None:
    """Byte-code differs between minor versions, and running the wrong one crashes rather than raises."""
    here = "{}.{}".format(*sys.version_info)
    if task.python.split(".")[:2] != here.split("."):
        raise WrongPython(
            f"the function was pickled by Python {task.python}, and the image has Python {here}. "
            "Use a base image (container_image_uri) with the Python of the machine that dispatches."
        )


def _save(value: Any, task: TaskSpec, folder: TaskFolder) -> None:
    try:
        archive.save(value, folder.part(envelope.OUTPUT))
    except Exception as error:
        folder.part(envelope.OUTPUT).unlink(missing_ok=True)
        kind = traceback_text.type_name(value) if isinstance(value, BaseException) else type(value).__qualname__
        said = f"{traceback_text.type_name(error)}: {error}"
        raise Unpicklable(f"{task.name} returned a value of type {kind}, which can't be pickled: {said}") from error


def _failed(error: BaseException, job: Job, task: TaskSpec, folder: TaskFolder) -> Report:
    """Leave the error's text, and the exception itself where it can travel; the text is on stderr too."""
    report = _report_of(error)
    if isinstance(error, NoInput | Unpicklable | WrongPython):
        text = f"{error}\n"
    elif isinstance(error, SystemExit):
        text = _exit_text(error, task)
    else:
        text = traceback_text.text(error, task.name, task.node_id, job.file.covalent)
        data = traceback_text.pickled(error)
        if data is not None:
            folder.part(envelope.EXCEPTION).write_bytes(data)
    told = text.encode("utf-8", "backslashreplace")
    folder.part(envelope.ERROR).write_bytes(told)
    _print(told)
    return report


def _print(told: bytes) -> None:
    """To descriptor 2: the user's code may have put anything in the place of sys.stderr."""
    try:
        sys.stderr.flush()
        with open(2, "wb", closefd=False) as stderr:
            stderr.write(told)
    except (OSError, ValueError, AttributeError):
        return  # closed; the error's own part has the text


def _report_of(error: BaseException) -> Report:
    if isinstance(error, NoInput):
        return Report(envelope.NO_INPUT, 1)
    if isinstance(error, Unpicklable):
        return Report(envelope.UNPICKLABLE, 1, traceback_text.type_name(error.__cause__ or error))
    if isinstance(error, SystemExit):
        return Report(envelope.EXITED, exit_status(error.code))
    return Report(envelope.RAISED, 1, traceback_text.type_name(error))


def exit_status(code: object) -> int:
    """The exit status that Python makes of what sys.exit was given."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _exit_text(error: SystemExit, task: TaskSpec) -> str:
    said = "" if error.code is None or isinstance(error.code, int) else f" and said: {error.code}"
    return f"{task.name} left by sys.exit with code {exit_status(error.code)}{said}, and returned nothing.\n"
