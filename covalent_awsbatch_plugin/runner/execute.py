# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Execution of one task in its own process: load inputs, run hooks and function, save the value, write a report.

The supervisor relies on the report alone. A process that ends without a report was ended from outside.
"""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from . import covalent_context, hooks, sys_path, traceback_text
from .calls import Call, pickles_in, run_call, run_calls
from .job import Job, TaskFiles, writable
from .kept_file import KeptFile, full_disk
from .on_stop import ENV_STOP_FILE
from .protocol import archive, envelope
from .protocol.archive import Writable
from .protocol.task import CALL, CALLS, FUNCTION, ObjectRef, TaskSpec
from .script import Script, sources_of

_MOST_CHECKED_BYTES = 8 * 1024 * 1024  # of a value that is unpickled for a check, which needs its memory once more
_MOST_TEXT = 32 * 1024 * 1024  # bytes of an error's text that are kept
Change = Callable[[Callable[..., Any]], Callable[..., Any]]
RunCalls = Callable[[Callable[..., Any], Iterable[Callable[[], Call]], str, Writable, Callable[[], bool]], None]


class NoInput(Exception):
    """The function, the hooks or an argument can't be read, or differ from what the client packed."""


class Unpicklable(Exception):
    """The function returned a value that can't be pickled."""


class NoRoom(Exception):
    """The function returned a value that the full disk of the container has no room for."""


class WrongPython(Exception):
    """The function was pickled by a Python whose pickles the container's Python can't read."""


@dataclass(frozen=True)
class Report:
    """The outcome of a task, as its own process reports it; `exit_code` is the exit status of that process."""

    outcome: str
    exit_code: int
    exception_type: str | None = None

    def write(self, file: KeptFile) -> None:
        """Write the report as JSON."""
        file.write(json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, file: KeptFile) -> Report | None:
        """Return the report in a file, or None where the process has not written a whole one."""
        try:
            return cls(**json.loads(file.read()))
        except (ValueError, TypeError):
            return None


def execute(job: Job, task: TaskSpec, runner_dir: Path) -> int:
    """Run the task and write its report; return the exit status of this process."""
    settle(job, runner_dir)
    files, this_process = job.files[task.node_id], os.getpid()
    os.environ.update(job.task_variables(task))
    os.environ[ENV_STOP_FILE] = str(files.kill_time)
    try:
        value = run_task(job, task, files)
        if os.getpid() != this_process:
            return 0  # the user's code forked, and the copy returned here too: only the first process reports
        if task.kind != CALLS:
            save(value, task, files)
        report = Report(envelope.RETURNED, 0)
    except BaseException as error:  # every exception of the user's function is an outcome of the task
        if os.getpid() != this_process:
            raise
        report = _failed(error, job, task, files)
    report.write(files.report)
    return report.exit_code


def settle(job: Job, runner_dir: Path) -> None:
    """Prepare this process for the user's code: `sys.path`, streams, HOME; the runner's own modules leave `sys.path`.

    The runner's cloudpickle stays imported: it is of the version that wrote the pickles.
    """
    import cloudpickle  # noqa: F401

    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != str(runner_dir)]
    sys_path.use(job.root)
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>")  # type: ignore[misc]
    faulthandler.enable()  # prints the Python stack of a segmentation fault on stderr
    os.environ.setdefault("COVALENT_PLUGIN_LOAD", "false")  # its plugins cost seconds, and some need more packages
    if not writable(os.environ.get("HOME")):
        os.environ["HOME"] = str(job.work)  # `import covalent`, and many others, write there
    _raise_oom_score()


def _stream(number: int, name: str) -> io.TextIOWrapper:
    """Return a new text stream of a descriptor: the one that Python made is of what the descriptor was at its start.

    A stream made for a regular file asks its position, which a pipe does not have.
    """
    raw = io.FileIO(number, "wb", closefd=False)
    raw.name = name
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _raise_oom_score() -> None:
    """Make the kernel end this process first when memory is used up, so that the supervisor lives to report it."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return  # another system, or not allowed: the kernel chooses


def run_task(
    job: Job, task: TaskSpec, files: TaskFiles, calls: RunCalls = run_calls, change: Change | None = None
) -> Any:
    """Return the function's value, after its hooks; the order is that of Covalent's `wrapper_fn`.

    `calls` runs the calls of a task with several, whose value is None; `change` returns the function to run instead.
    """
    hooked = json.loads(_checked(job, task.hooks)().read() or b"{}") if task.hooks else {}
    script = Script(sources_of(_checked(job, task.sources)().read()) if task.sources else ())
    load_function = _loader(job, task.function, script)
    inputs = {node: _input(job, node, script) for node in (*task.args, *task.kwargs.values())}
    shared = {} if task.kind == FUNCTION else _shared(job, task, script)
    _same_python(task)

    script.begin()
    covalent_context.announce(job.file.dispatch_id or job.dispatch_id, task.node_id)
    contained = job.root == Path("/")
    scratch = hooks.scratch_folder(files.scratch) if hooked else files.scratch
    injected = hooks.before(hooked, scratch, script.load, contained=contained) if hooked else {}
    function = change(load_function()) if change else load_function()
    if task.kind != FUNCTION:
        return _calls(job, task, function, script, shared, calls)
    args = [inputs[node]() for node in task.args]
    kwargs = {name: inputs[node]() for name, node in task.kwargs.items()} | injected
    value = run_call(function, args, kwargs)
    hooks.after(hooked, script.load)
    return value


def _shared(job: Job, task: TaskSpec, script: Script) -> dict[str, Callable[[], Any]]:
    """Return loaders of the objects that the arguments of a pool's calls name by their sha256. Raises NoInput."""
    refs = [ref for node, ref in job.file.inputs.items() if node not in task.args]
    return {ref.sha256: _loader(job, ref, script) for ref in refs}


def _calls(
    job: Job,
    task: TaskSpec,
    function: Callable[..., Any],
    script: Script,
    shared: dict[str, Callable[[], Any]],
    run: RunCalls,
) -> Any:
    """Return the value of a pool's call; write the outcomes of several calls to the task's output."""
    objects: dict[str, Any] = {}

    def named(sha256: str) -> Any:
        if sha256 not in objects:
            objects[sha256] = shared[sha256]()
        return objects[sha256]

    (node,) = task.args
    ref, this_process = job.file.inputs[node], os.getpid()
    with job.object(ref) as file:
        if task.kind == CALL:
            args, kwargs = script.load(file, None if shared else job.place(ref), shared=named)
            return run_call(function, args, kwargs)
        loaders = (partial(script.load, io.BytesIO(data), shared=named) for data in pickles_in(file))
        output = job.files[task.node_id].parts[envelope.OUTPUT]
        run(function, loaders, task.name, output, lambda: os.getpid() == this_process)
    return None


def _input(job: Job, node_id: int, script: Script) -> Callable[[], Any]:
    """Return a loader of an argument: a pickle of the client, or the archive of an earlier task's value."""
    ref = job.file.inputs.get(node_id)
    if ref:
        return _loader(job, ref, script)
    output = job.files[node_id].parts[envelope.OUTPUT]
    return lambda: script.load(archive.pickled(output.reader()), one_copy=False)


def _loader(job: Job, ref: ObjectRef, script: Script) -> Callable[[], Any]:
    """Return a loader of a pickle of the client, after a check of its bytes. Raises NoInput."""
    open_object = _checked(job, ref)

    def load() -> Any:
        with open_object() as file:
            return script.load(file, job.place(ref))

    return load


def _checked(job: Job, ref: ObjectRef) -> Callable[[], IO[bytes]]:
    """Return an opener of the object, after a check of its size and digest. Raises NoInput."""
    if reason := job.fetch_error(ref):
        raise NoInput(reason)
    try:
        with job.object(ref) as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()  # type: ignore[arg-type]
    except (OSError, KeyError) as error:
        raise NoInput(f"object {ref.sha256} can't be read: {error!r}") from None
    if digest != ref.sha256 or size != ref.size:
        raise NoInput(f"object {ref.sha256} was packed with {ref.size} bytes, and others came")
    return partial(job.object, ref)


def _same_python(task: TaskSpec) -> None:
    """Raise WrongPython for another minor version: its byte-code would crash the process instead of raising."""
    here = "{}.{}".format(*sys.version_info)
    if task.python.split(".")[:2] != here.split("."):
        raise WrongPython(
            f"the function was pickled by Python {task.python}, and the image has Python {here}. "
            "Use a base image (container_image_uri) with the Python of the machine that dispatches."
        )


def save(value: Any, task: TaskSpec, files: TaskFiles) -> None:
    """Write the value's archive, or of a pool's call its pickle. Raises Unpicklable, NoRoom."""
    import cloudpickle

    output, verb = files.parts[envelope.OUTPUT], "pickled"
    try:
        if task.kind == CALL:
            cloudpickle.Pickler(output).dump(value)
            return
        plain = archive.pickle_into(value, files.draft)
        if not plain and files.draft.size <= _MOST_CHECKED_BYTES:
            verb = "unpickled again"
            with files.draft.reader() as draft:
                archive.unpickle_from(draft)
            verb = "written"
        with files.draft.reader() as draft:
            archive.write(value, draft, files.draft.size, output)
    except Exception as error:
        if files.draft.refused or output.refused:
            words = f"{task.name} returned a value that can't be kept. {full_disk()}"
            raise NoRoom(words.rstrip()) from error
        kind = traceback_text.type_name(value) if isinstance(value, BaseException) else type(value).__qualname__
        reason = f"{traceback_text.type_name(error)}: {error}"
        raise Unpicklable(f"{task.name} returned a value of type {kind}, which can't be {verb}: {reason}") from error
    finally:
        files.draft.clear()


def _failed(error: BaseException, job: Job, task: TaskSpec, files: TaskFiles) -> Report:
    """Write the error's text to its part and to stderr, and the exception where it can be pickled."""
    report = _report_of(error)
    if isinstance(error, NoInput | Unpicklable | NoRoom | WrongPython):
        text = f"{error}\n"
    elif isinstance(error, SystemExit):
        text = _exit_text(error, task)
    else:
        text = traceback_text.text(error, task.name, task.node_id, job.file.covalent)
        exception = traceback_text.pickled(error)
        if exception is not None:
            _keep_exception(exception, files.parts[envelope.EXCEPTION])
    data = text.encode("utf-8", "backslashreplace")
    files.parts[envelope.ERROR].write(data[:_MOST_TEXT])
    _print(data)
    return report


def _keep_exception(data: bytes, file: KeptFile) -> None:
    try:
        file.write(data)
    except OSError:
        file.clear()  # bigger than what may be in memory: its text is kept


def _print(data: bytes) -> None:
    """Write to file descriptor 2: the user's code may have replaced sys.stderr."""
    try:
        sys.stderr.flush()
        with open(2, "wb", closefd=False) as stderr:
            stderr.write(data)
    except (OSError, ValueError, AttributeError):
        return  # the stream is closed; the error's part has the text


def _report_of(error: BaseException) -> Report:
    if isinstance(error, NoInput):
        return Report(envelope.NO_INPUT, 1)
    if isinstance(error, Unpicklable):
        return Report(envelope.UNPICKLABLE, 1, traceback_text.type_name(error.__cause__ or error))
    if isinstance(error, NoRoom):
        return Report(envelope.NO_ROOM, 1)
    if isinstance(error, SystemExit):
        return Report(envelope.EXITED, exit_status(error.code))
    return Report(envelope.RAISED, 1, traceback_text.type_name(error))


def exit_status(code: object) -> int:
    """Return the exit status that Python gives the process for the argument of sys.exit."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _exit_text(error: SystemExit, task: TaskSpec) -> str:
    message = "" if error.code is None or isinstance(error.code, int) else f" and said: {error.code}"
    return f"{task.name} left by sys.exit with code {exit_status(error.code)}{message}, and returned nothing.\n"
