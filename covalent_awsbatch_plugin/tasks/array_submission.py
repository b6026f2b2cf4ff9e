# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The submission of a pool's calls as one array job: the steps of `Client.submit`, once for all of them."""

from __future__ import annotations

from ..core.concurrency import together
from ..errors import Cancelled, NotAllowed
from ..settings import Settings
from .array_package import ArrayPackage
from .client import Client
from .inflight import Task
from .job_handle import JobHandle
from .missing_permissions import add_all_missing
from .modules_beside import warn_of_modules
from .stuck import fitted_to_queue
from .task_events import record_failure


async def submit_array(client: Client, settings: Settings, task: Task) -> tuple[Settings, JobHandle]:
    """Submit a packed array; return the handle of the whole job, and the settings as they fit the queue.

    Raises Cancelled if the task is cancelled before its job is submitted: then nothing runs. Raises SettingError,
    StagingError, ImageError, EnvironmentFailed or a ServiceError where a step fails.
    """
    try:
        return await _submit(client, settings, task)
    except BaseException as error:
        if isinstance(error, NotAllowed):
            await add_all_missing(client.services, settings, error)
        record_failure(client.services.events, task, error)
        raise


async def _submit(client: Client, settings: Settings, task: Task) -> tuple[Settings, JobHandle]:
    package = task.packed
    assert isinstance(package, ArrayPackage)
    resources = await client.services.resources(settings)
    settings = await fitted_to_queue(client.services, settings, resources.placement)
    if package.beside:
        warn_of_modules(package.name, package.beside, settings.environment)
    await client.cleanup.hold(*package.uploads)
    uploaded = False
    try:
        packs = bool(settings.environment or package.needs_covalent)
        task.base = await client.base_images.find(settings, resources, package, package, packs=packs)
        if packs:
            task.dependencies = await client.dependency_layers.pack(settings, package, (), task.base, package)
        uploads = (client.upload(settings, resources, key, path) for key, path in package.uploads.items())
        await together(*uploads)
        uploaded = True
        if task.cancelled:
            raise Cancelled("Cancelled before it was submitted.")
        (handle,) = await client.submitter.submit(settings, [task])
    except BaseException as error:
        if task.handle is None:  # otherwise the end of its job releases them
            client.give_back(settings, resources, package, error if uploaded else None)
        raise
    return settings, handle
