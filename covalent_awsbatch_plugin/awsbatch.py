# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's executor. No other file of the package, except the plugin tests of `core`, knows Covalent.

Covalent derives the executor's name, "awsbatch", from this file's name and accepts only a class that is defined here.
"""

from __future__ import annotations

import sys

if "covalent" not in sys.modules:
    # Covalent imports its plugins while it is itself imported. If this module were imported first, covalent would find
    # it half initialized and skip it. So this import is undone: covalent imports the module, and the importer gets it.
    del sys.modules[__name__]
    import covalent  # noqa: F401

import contextlib
import functools
import inspect
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covalent._shared_files.config import get_config
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._shared_files.logger import app_log
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.base import AsyncBaseExecutor
from covalent.executor.schemas import ResourceMap, TaskSpec, TaskUpdate

from .core.covalent_config import COVALENTS_OWN
from .core.covalent_plugins import other_awsbatch_plugins
from .dependencies.import_folders import import_folders
from .dependencies.relative_paths import anchored_existing
from .errors import AWSBatchError, Cancelled, JobFailed, SettingError, StagingError, UnknownFormat
from .infra.stack_settings import ExecutorInfraDefaults, ExecutorPluginDefaults
from .settings import SETTING_NAMES, Given, Settings, ignored_keys, place_of, resolve
from .tasks.cache_folder import cache_folder
from .tasks.staging_dirs import remove_old_soon

if TYPE_CHECKING:
    from .tasks.job_handle import JobHandle
    from .tasks.results import Ended, NodeResult
    from .tasks.staged_group import StagedGroup

__all__ = ["AWSBatchExecutor", "ExecutorInfraDefaults", "ExecutorPluginDefaults"]  # the latter for `covalent deploy`

EXECUTOR_PLUGIN_NAME = "AWSBatchExecutor"

# Empty: Covalent writes these defaults into the user's file, where they stay and replace a user's own "".
_EXECUTOR_PLUGIN_DEFAULTS: dict[str, Any] = {}

SCHEMA_VERSION = 1
SECTION = "executors.awsbatch"
_BY_CONSTRUCTOR = "by AWSBatchExecutor(...)"
_COVALENTS_CANCELLED: type[Exception] = TaskCancelledError
_COVALENTS_FAILED: type[Exception] = TaskRuntimeError
_FREE_BYTES = 1024 * 1024  # with less room than this, what Covalent stages would be cut


class AWSBatchExecutor(AsyncBaseExecutor):
    """Executor that runs electrons as AWS Batch jobs.

    Takes every setting of `settings.Settings` as a keyword argument. A setting that is not given is taken from
    `[executors.awsbatch]` of the Covalent server's config file, and then from its default. An instance is plain data:
    it is sent to the server as JSON, holds no secret and opens no connection.

    Raises SettingError for a wrong or unknown setting.
    """

    SUPPORTS_MANAGED_EXECUTION = True
    code_folders: list[str] | None = None  # of the client's process; None where Covalent knows the executor by name

    def __init__(self, **arguments: Any) -> None:
        # Covalent creates an executor from its name by passing the whole section; their origin is the section.
        own = {} if arguments == _section() else arguments
        base = {name: own[name] for name in COVALENTS_OWN if own.get(name) is not None}
        settings = anchored_existing(
            {name: _plain(value) for name, value in own.items() if name not in COVALENTS_OWN}, Path.cwd()
        )
        super().__init__(**base)
        resolve(Given(settings, _BY_CONSTRUCTOR))
        self.schema_version = SCHEMA_VERSION
        for name in SETTING_NAMES:
            setattr(self, name, settings.get(name))
        _warn_once()

    def __repr__(self) -> str:
        own = ", ".join(
            f"{name}={value!r}" for name in SETTING_NAMES if (value := getattr(self, name, None)) is not None
        )
        return f"{type(self).__name__}({own})"

    def to_dict(self) -> dict[str, Any]:
        """Return what the client sends: the settings, and the folders from which its process imports own modules."""
        body: dict[str, Any] = super().to_dict()
        body["attributes"].setdefault("code_folders", import_folders())
        return body

    def from_dict(self, object_dict: dict[str, Any]) -> AWSBatchExecutor:
        """Take over the attributes that a client sent; a client of another version may send fewer or more.

        Settings that are missing become None.
        """
        super().from_dict(object_dict)
        for name in SETTING_NAMES:
            self.__dict__.setdefault(name, None)
        return self

    def settings(self) -> Settings:
        """Return the settings of a task: this instance's attributes over the config section over the defaults.

        Raises SettingError, which names the place of the wrong value.
        """
        own = {name: value for name in SETTING_NAMES if (value := getattr(self, name)) is not None}
        section = {name: value for name, value in _section().items() if name in SETTING_NAMES}
        return _resolved(json.dumps([own, section, f"in [{SECTION}] of {_config_file()}"], default=str))

    # ---- Covalent's managed path: get_upload_uri, send, poll, receive; cancel at any time ------------------------
    def get_upload_uri(self, task_group_metadata: dict[str, Any], object_key: str) -> str:
        """Return the URI at which Covalent stores a function, its hooks or an input before it calls `send`."""
        with _as_covalent_error():
            folder = _folder(self.settings(), task_group_metadata, "in")
            return f"file://{folder / object_key}"

    async def send(
        self, task_specs: list[TaskSpec], resources: ResourceMap, task_group_metadata: dict[str, Any]
    ) -> Any:
        """Submit a task group as an AWS Batch job and return the job's handle.

        Packs the functions and arguments, pushes the image or the object, and submits. Raises TaskRuntimeError if a
        step fails and TaskCancelledError if the task was cancelled meanwhile.
        """
        with _as_covalent_error():
            group = _staged(task_specs, resources, task_group_metadata, self.code_folders)
            try:
                return await self._send(self.settings(), group)
            except BaseException:
                shutil.rmtree(group.tasks[0].function.parent, ignore_errors=True)
                raise

    async def _send(self, settings: Settings, group: StagedGroup) -> JobHandle:
        from .tasks.client import connect
        from .tasks.inflight import IN_FLIGHT

        remove_old_soon(settings.cache_dir)
        task = IN_FLIGHT.open(group.dispatch_id, group.node_ids, group)
        with IN_FLIGHT.closing_on_error(task):
            # From here on a cancel finds the task; an earlier cancel is in Covalent's database.
            task.cancelled = task.cancelled or await self._cancel_requested()
            async with connect(settings) as client:
                handle = await client.submit(settings, task)
                async with client.ended_if_stopped(handle):
                    await self._store_handle(handle)
        return handle

    async def poll(self, task_group_metadata: dict[str, Any], data: Any) -> Any:
        """Wait for the job's end and return the value that `receive` needs.

        Raises TaskRuntimeError if AWS cannot be asked, and TaskCancelledError if the job was cancelled.
        """
        with _as_covalent_error():
            return await self._poll(self.settings(), task_group_metadata, data)

    async def _poll(self, settings: Settings, meta: dict[str, Any], handle: JobHandle) -> Ended:
        from .tasks.client import connect
        from .tasks.inflight import IN_FLIGHT

        task = IN_FLIGHT.open(meta["dispatch_id"], tuple(meta["node_ids"]))
        try:
            async with connect(settings) as client:
                return await client.wait(settings, handle, task)
        finally:
            IN_FLIGHT.close(task)
            with contextlib.suppress(StagingError):
                shutil.rmtree(_place(settings, meta, "in"), ignore_errors=True)  # the job has it all

    async def receive(self, task_group_metadata: dict[str, Any], data: Any) -> list[TaskUpdate]:
        """Return the status and the files of every node.

        `data` is the value of `poll`; None means that the nodes were cancelled before they began.
        """
        dispatch_id, node_ids = task_group_metadata["dispatch_id"], tuple(task_group_metadata["node_ids"])
        if data is None:
            return [_update(dispatch_id, node, RESULT_STATUS.CANCELLED, {}) for node in node_ids]
        with _as_covalent_error():
            settings = self.settings()
            folder = _folder(settings, task_group_metadata, "out")
            results = await self._collect(settings, data, node_ids, folder)
        return [_update(dispatch_id, r.node_id, _status(r.error), r.files) for r in results]

    async def _collect(self, settings: Settings, ended: Ended, nodes: tuple[int, ...], into: Path) -> list[NodeResult]:
        from .tasks.client import connect

        async with connect(settings) as client:
            results = await client.results(settings, ended, nodes, into)
            await client.services.in_thread(_make_readable, results)
            return results

    async def cancel(self, task_metadata: dict[str, Any], job_handle: Any) -> bool:
        """End a node's job, whatever its state. Return True if the job will not go on. Never raises."""
        from .tasks.client import connect
        from .tasks.inflight import IN_FLIGHT
        from .tasks.job_handle import JobHandle

        task = IN_FLIGHT.find(task_metadata["dispatch_id"], task_metadata["node_id"])
        if task:
            task.cancel()
        try:
            handle = (task and task.handle) or JobHandle.from_json(job_handle)
        except UnknownFormat as error:
            app_log.error(f"The job of node {task_metadata['node_id']} could not be ended: {error}")
            return False
        if handle is None:
            return True
        try:
            async with connect(self.settings()) as client:
                await client.cancel(handle.job_id, handle.member)
        except AWSBatchError as error:
            app_log.error(f"The job {handle.job_id} could not be terminated: {error}")
            return False
        return True

    # ---- the direct path, for whoever calls it -------------------------------------------------------------------
    async def run(
        self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], task_metadata: Any
    ) -> Any:
        """Run one function as a job and wait for its result.

        Returns a TransportableObject for Covalent's wrapped function, and the plain value otherwise. Raises the
        function's own exception if its class can be imported here, else an error of the JobFailed family.
        """
        from .tasks.staging import stage_call

        meta = {**task_metadata, "task_group_id": task_metadata["node_id"], "node_ids": [task_metadata["node_id"]]}
        settings = self.settings()
        function, wrapped = _unwrapped(function)
        folder = _folder(settings, meta, f"in-{uuid.uuid4().hex[:8]}")
        try:
            group = stage_call(
                function,
                args,
                kwargs,
                folder,
                dispatch_id=meta["dispatch_id"],
                node_id=meta["node_id"],
                save=_save,
                folders=self.code_folders or [] if wrapped else None,
            )
            ended = await self._poll(settings, meta, await self._send(settings, group))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        (result,) = await self._collect(settings, ended, group.node_ids, _folder(settings, meta, "out"))
        self._print_streams(result)
        if result.error:
            raise _exception(result, covalent_called=self.task_stderr is not None)
        with result.opened("output") as file:
            output = TransportableObject.deserialize(file.read())
        return output if wrapped else output.get_deserialized()

    def _print_streams(self, result: NodeResult) -> None:
        streams = {"stdout": self.task_stdout, "stderr": self.task_stderr, "error": self.task_stderr}
        for name, stream in streams.items():
            if stream is not None and name in result.files:
                print(result.files[name].read_text(encoding="utf-8"), end="", file=stream)

    # ---- the private channel to the dispatcher -------------------------------------------------------------------
    async def _cancel_requested(self) -> bool:
        if not hasattr(self, "_send_queue"):  # called directly: there is no dispatcher
            return False
        try:
            return bool(await self.get_cancel_requested())
        except (TimeoutError, RuntimeError) as error:
            app_log.warning(f"Covalent did not say whether the task is cancelled: {error!r}")
            return False

    async def _store_handle(self, handle: JobHandle) -> None:
        """Store the job's handle in Covalent's database; a failure is logged only, as the job runs already."""
        if not hasattr(self, "_send_queue"):
            return
        try:
            await self.set_job_handle(handle.to_json())
        except (TimeoutError, RuntimeError) as error:
            app_log.warning(f"Covalent did not store the handle of job {handle.job_id}: {error!r}")


AWSBatchExecutor.__signature__ = inspect.Signature(
    [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=field.annotation)
        for name, field in Settings.model_fields.items()
    ]
)


@functools.lru_cache(maxsize=256)
def _resolved(places: str) -> Settings:
    """Return the settings of a task. `places` is the JSON of both places and of the second one's origin.

    Covalent asks for them six times a task, and each check of them costs more than the comparison of the text.
    """
    own, section, origin = json.loads(places)
    return resolve(Given(own, _BY_CONSTRUCTOR), Given(section, origin))


def _section() -> dict[str, Any]:
    try:
        return dict(get_config(SECTION))
    except KeyError:
        return {}


def _config_file() -> str:
    return str(get_config("sdk.config_file"))


@functools.cache
def _warn_once() -> None:
    """Log a warning for keys of the section that are no setting, and for other plugins of this name.

    Runs once per process.
    """
    for sentence in ignored_keys(_section(), COVALENTS_OWN, f"[{SECTION}] of {_config_file()}"):
        app_log.warning(sentence)
    for other in other_awsbatch_plugins():
        app_log.warning(
            f"{other} also claims the executor name `awsbatch`, and Covalent silently takes the last it finds. "
            "Uninstall one of the two."
        )


def _plain(value: Any) -> Any:
    """Return a value that JSON can carry: attributes are sent to the server as JSON."""
    return str(value) if isinstance(value, os.PathLike) else value


@contextlib.contextmanager
def _as_covalent_error() -> Iterator[None]:
    """Translate this package's errors into Covalent's.

    Covalent shows `str(error)` alone, so that must be the whole text.
    """
    try:
        yield
    except Cancelled as error:
        raise _COVALENTS_CANCELLED(str(error)) from error
    except AWSBatchError as error:
        place = place_of(str(error), f"[{SECTION}] of {_config_file()}")
        raise _COVALENTS_FAILED("\n".join(filter(None, (str(error), place)))) from error


def _place(settings: Settings, meta: dict[str, Any], way: str) -> Path:
    return cache_folder(settings.cache_dir) / meta["dispatch_id"] / str(meta["task_group_id"]) / way


def _folder(settings: Settings, meta: dict[str, Any], way: str) -> Path:
    """Return a task group's local folder, created if needed. Raises StagingError if it cannot be written to."""
    folder = _place(settings, meta, way)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stats = os.statvfs(folder)
        if stats.f_bavail * stats.f_frsize < _FREE_BYTES:
            raise OSError(None, "No space left on device")
    except OSError as error:
        raise StagingError(
            f"The folder {folder} can't be written to: {error.strerror}.",
            advice=f"Free space there, give access to it, or set cache_dir in [{SECTION}] to another folder.",
        ) from error
    return folder


def _staged(
    specs: list[TaskSpec], resources: ResourceMap, meta: dict[str, Any], folders: list[str] | None
) -> StagedGroup:
    from .tasks.staged_group import StagedGroup, StagedTask

    def path(uri: str) -> Path:
        return Path(uri.removeprefix("file://"))

    tasks = (
        StagedTask(
            node_id=spec.electron_id,
            function=path(resources.functions[spec.electron_id]),
            hooks=path(resources.hooks[spec.electron_id]),
            args=tuple(spec.args),
            kwargs=dict(spec.kwargs),
        )
        for spec in specs
    )
    inputs = {node: path(uri) for node, uri in resources.inputs.items()}
    return StagedGroup(meta["dispatch_id"], meta["task_group_id"], tuple(tasks), inputs, tuple(folders or ()))


def _status(error: JobFailed | None) -> Any:
    if error is None:
        return RESULT_STATUS.COMPLETED
    return RESULT_STATUS.CANCELLED if isinstance(error, Cancelled) else RESULT_STATUS.FAILED


def _update(dispatch_id: str, node_id: int, status: Any, files: dict[str, Path]) -> TaskUpdate:
    visible = {name: path for name, path in files.items() if name != "exception"}
    assets = {name: {"remote_uri": f"file://{path}", "size": path.stat().st_size} for name, path in visible.items()}
    return TaskUpdate(dispatch_id=dispatch_id, node_id=node_id, status=status, assets=assets)


def _make_readable(results: list[NodeResult]) -> None:
    """Replace bytes that are not UTF-8 in text files: Covalent decodes strictly and would lose the result."""
    for result in results:
        for name in {"stdout", "stderr", "error"} & result.files.keys():
            data = result.files[name].read_bytes()
            try:
                data.decode()
            except UnicodeDecodeError:
                result.files[name].write_bytes(data.decode(errors="backslashreplace").encode())


def _save(value: Any, path: Path) -> None:
    archive = value if isinstance(value, TransportableObject) else TransportableObject(value)
    path.write_bytes(archive.serialize())


def _unwrapped(function: Any) -> tuple[Any, bool]:
    """Remove Covalent's wrapper, so that an image without Covalent runs the function; True if there was one."""
    if not isinstance(function, functools.partial) or not isinstance(function.args[0], TransportableObject):
        return function, False
    inner, call_before, call_after = function.args
    if call_before or call_after:
        raise SettingError(
            "`run` does not run an electron's hooks.",
            advice="Dispatch the electron in a workflow: its hooks run there.",
        )
    return inner, True


def _exception(result: NodeResult, *, covalent_called: bool) -> BaseException:
    """Return the exception that `run` raises. Covalent stores stdout and stderr only with its own error."""
    from .tasks.staging import exception_of

    assert result.error is not None
    text = str(result.error)
    if isinstance(result.error, Cancelled):
        return _COVALENTS_CANCELLED(text)
    if covalent_called:
        return _COVALENTS_FAILED(text)
    return exception_of(result)
