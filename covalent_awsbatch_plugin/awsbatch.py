# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's door: the executor, and nothing else that knows Covalent.

Covalent derives the name "awsbatch" from this file's name and accepts only a class defined in it.
"""

from __future__ import annotations

import sys

if "covalent" not in sys.modules:
    # Covalent imports its plugins while it is itself imported. Were this module first, covalent would meet it half
    # made and pass it over. So it steps aside: covalent imports it whole, and that one is what the importer gets.
    del sys.modules[__name__]
    import covalent  # noqa: F401

import contextlib
import functools
import inspect
import os
import pickle
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

from .core.covalent_plugins import other_awsbatch_plugins
from .dependencies.import_folders import import_folders
from .dependencies.spec import anchored
from .errors import AWSBatchError, Cancelled, JobFailed, SettingError, StagingError, UnknownFormat
from .infra.stack_settings import ExecutorInfraDefaults, ExecutorPluginDefaults
from .settings import SETTING_NAMES, Given, Settings, resolve, unknown_names
from .tasks.staging_dirs import remove_old_soon

if TYPE_CHECKING:
    from .tasks.job_handle import JobHandle
    from .tasks.packing import StagedGroup
    from .tasks.results import Ended, NodeResult

__all__ = ["AWSBatchExecutor", "ExecutorInfraDefaults", "ExecutorPluginDefaults"]  # the latter for `covalent deploy`

EXECUTOR_PLUGIN_NAME = "AWSBatchExecutor"

# Covalent writes these into the user's file, where they would stay for ever, and in place of the user's own "".
_EXECUTOR_PLUGIN_DEFAULTS: dict[str, Any] = {}

SCHEMA_VERSION = 1
SECTION = "executors.awsbatch"
_COVALENTS_OWN = ("log_stdout", "log_stderr", "retries")
_BY_CONSTRUCTOR = "by AWSBatchExecutor(...)"
_COVALENTS_CANCELLED: type[Exception] = TaskCancelledError
_COVALENTS_FAILED: type[Exception] = TaskRuntimeError
_FREE_BYTES = 1024 * 1024  # with less room than this, what Covalent stages would be cut


class AWSBatchExecutor(AsyncBaseExecutor):
    """Runs electrons as AWS Batch jobs.

    Takes every setting of `settings.Settings` by name. What is not given comes from `[executors.awsbatch]` of
    the Covalent server's config file, and then from the default. An instance is plain data: it travels as JSON, holds
    no secret, and opens nothing.

    Raises SettingError for a wrong or unknown setting.
    """

    SUPPORTS_MANAGED_EXECUTION = True
    code_folders: list[str] | None = None  # of the client's process; None where Covalent knows the executor by name

    def __init__(self, **given: Any) -> None:
        # Covalent makes an executor from its name by passing the whole section; then it is no constructor's.
        own = {} if given == _section() else given
        base = {name: own[name] for name in _COVALENTS_OWN if own.get(name) is not None}
        settings = anchored(
            {name: _plain(value) for name, value in own.items() if name not in _COVALENTS_OWN}, Path.cwd()
        )
        super().__init__(**base)
        resolve(Given(settings, _BY_CONSTRUCTOR))
        self.schema_version = SCHEMA_VERSION
        for name in SETTING_NAMES:
            setattr(self, name, settings.get(name))
        _warn_once()

    def to_dict(self) -> dict[str, Any]:
        """Return what the client sends: the settings, and the folders from which its process imports own modules."""
        body: dict[str, Any] = super().to_dict()
        body["attributes"].setdefault("code_folders", import_folders())
        return body

    def from_dict(self, object_dict: dict[str, Any]) -> AWSBatchExecutor:
        """Takes over a client's attributes; one of an older client lacks some, one of a newer has more."""
        super().from_dict(object_dict)
        for name in SETTING_NAMES:
            self.__dict__.setdefault(name, None)
        return self

    def settings(self) -> Settings:
        """What a task is run with here: this instance's attributes over the config section over the defaults.

        Raises SettingError, which says where the wrong value came from.
        """
        own = {name: getattr(self, name) for name in SETTING_NAMES}
        known = {name: value for name, value in _section().items() if name in SETTING_NAMES}
        return resolve(Given(own, _BY_CONSTRUCTOR), Given(known, f"in [{SECTION}] of {_config_file()}"))

    # ---- Covalent's managed path: get_upload_uri, send, poll, receive; cancel at any time ------------------------
    def get_upload_uri(self, task_group_metadata: dict[str, Any], object_key: str) -> str:
        """Where Covalent stages a function, its hooks or an input, for `send` to read."""
        with _as_covalent_error():
            folder = _folder(self.settings(), task_group_metadata, "in")
            return f"file://{folder / object_key}"

    async def send(
        self, task_specs: list[TaskSpec], resources: ResourceMap, task_group_metadata: dict[str, Any]
    ) -> Any:
        """Pack a task group, push its image and submit its job; return the job's handle."""
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
        """Waits for the job's end; returns what `receive` needs."""
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
            shutil.rmtree(_place(settings, meta, "in"), ignore_errors=True)  # the job has it all

    async def receive(self, task_group_metadata: dict[str, Any], data: Any) -> list[TaskUpdate]:
        """The status and the files of every node; without `data` the nodes were cancelled before they began."""
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
        """Ends the node's job wherever it is; True when it will not run on. Never raises."""
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
            app_log.error(f"The job {handle.job_id} could not be ended: {error}")
            return False
        return True

    # ---- the direct path, for whoever calls it -------------------------------------------------------------------
    async def run(
        self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], task_metadata: Any
    ) -> Any:
        """Runs one function and waits for it.

        With Covalent's wrapped function it returns a TransportableObject, with a plain one the value. Raises the
        function's own exception where it can be imported here, else one of the JobFailed family.
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
        output = TransportableObject.deserialize(result.files["output"].read_bytes())
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
        """The job is submitted and paid for: failing to note it must not fail it."""
        if not hasattr(self, "_send_queue"):
            return
        try:
            await self.set_job_handle(handle.to_json())
        except (TimeoutError, RuntimeError) as error:
            app_log.warning(f"Covalent did not note the job {handle.job_id}: {error!r}")


AWSBatchExecutor.__signature__ = inspect.Signature(
    [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=field.annotation)
        for name, field in Settings.model_fields.items()
    ]
)


def _section() -> dict[str, Any]:
    try:
        return dict(get_config(SECTION))
    except KeyError:
        return {}


def _config_file() -> str:
    return str(get_config("sdk.config_file"))


@functools.cache
def _warn_once() -> None:
    """Once a process: keys in the section that are no setting, and a second plugin that claims our name."""
    for name, near in unknown_names(_section()).items():
        if name not in _COVALENTS_OWN:
            hint = f" Did you mean `{near}`?" if near else ""
            app_log.warning(f"[{SECTION}] of {_config_file()} has `{name}`, which is no setting and is ignored.{hint}")
    for other in other_awsbatch_plugins():
        app_log.warning(
            f"{other} also claims the executor name `awsbatch`, and Covalent silently takes the last it finds. "
            "Uninstall one of them."
        )


def _plain(value: Any) -> Any:
    """As JSON would carry it: attributes travel to the server."""
    return str(value) if isinstance(value, os.PathLike) else value


@contextlib.contextmanager
def _as_covalent_error() -> Iterator[None]:
    """Ours become Covalent's here. It shows `str(error)` alone, so that must be the whole letter."""
    try:
        yield
    except Cancelled as error:
        raise _COVALENTS_CANCELLED(error.text()) from error
    except AWSBatchError as error:
        raise _COVALENTS_FAILED(error.text()) from error


def _place(settings: Settings, meta: dict[str, Any], way: str) -> Path:
    return Path(os.path.expanduser(settings.cache_dir), meta["dispatch_id"], str(meta["task_group_id"]), way)


def _folder(settings: Settings, meta: dict[str, Any], way: str) -> Path:
    """A task group's folder on this machine, made. Raises StagingError when nothing can be written there."""
    folder = _place(settings, meta, way)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < _FREE_BYTES:
            raise OSError(None, "No space left on device")
    except OSError as error:
        raise StagingError(
            f"The folder {folder} can't be used: {error.strerror}.",
            advice=f"Free or give access to it, or set cache_dir in [{SECTION}] to another folder.",
        ) from error
    return folder


def _staged(
    specs: list[TaskSpec], resources: ResourceMap, meta: dict[str, Any], folders: list[str] | None
) -> StagedGroup:
    from .tasks.packing import StagedGroup, StagedTask

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
    shown = {name: path for name, path in files.items() if name != "exception"}
    assets = {name: {"remote_uri": f"file://{path}", "size": path.stat().st_size} for name, path in shown.items()}
    return TaskUpdate(dispatch_id=dispatch_id, node_id=node_id, status=status, assets=assets)


def _make_readable(results: list[NodeResult]) -> None:
    """Covalent decodes texts strictly: one byte that is no UTF-8 would cost the user the whole result."""
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
    """Covalent's own wrapper comes off, so that an image without Covalent runs the function; True where it was."""
    if not isinstance(function, functools.partial) or not isinstance(function.args[0], TransportableObject):
        return function, False
    inner, call_before, call_after = function.args
    if call_before or call_after:
        raise SettingError("`run` takes no hooks.", advice="Dispatch the electron: `send` and `poll` run its hooks.")
    return inner, True


def _exception(result: NodeResult, *, covalent_called: bool) -> BaseException:
    """What `run` raises. Covalent keeps stdout and stderr only with its own error."""
    assert result.error is not None
    letter = result.error.text()
    if isinstance(result.error, Cancelled):
        return _COVALENTS_CANCELLED(letter)
    if covalent_called:
        return _COVALENTS_FAILED(letter)
    if "exception" not in result.files:
        return result.error
    try:
        original: BaseException = pickle.loads(result.files["exception"].read_bytes())
    except Exception:  # noqa: BLE001 - its class can't be imported here, or does not unpickle
        return result.error
    original.__cause__ = RemoteTraceback(result.files["error"].read_text(errors="replace"))
    return original


class RemoteTraceback(Exception):
    """Where the function raised, in the container; shown as the cause of what `run` raises."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
