# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of a task that runs again on this machine: its unpacked image, and its objects of the bucket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from ..core.user_dirs import cache_home
from ..errors import ImageError, NotFound, SettingError
from ..images.manifest import LABEL_BASE_LAYERS, Descriptor, Manifest, read_manifest
from ..images.manifest import Image as ImageFacts
from ..images.reference import parse
from ..images.registry.repository import Registry
from ..images.registry.transport import RegistryHttp
from ..local.engines.container_python import package_folders
from ..local.engines.image_cache import Image
from ..local.engines.layer_files import extract, merge
from ..runner.protocol import layout
from ..runner.protocol.task import TaskFile
from ..runner.replay import FetchedObjects, unpacked
from ..settings import Settings
from ..tasks.replayed_task import RecordedTask
from ..tasks.services import Services

OBJECTS_IN_CONTAINER = "/covalent-replay"
MOST_PAYLOAD_BYTES = 12 * 1024**3  # the largest that `max_layer_mib` allows
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_START = "import sys; sys.path.insert(0, {runner!r}); from {package}.replay import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Fetched:
    """A task with its unpacked image, the image's platform, and the folder with its objects of the bucket."""

    task: RecordedTask
    image: Image
    platform: str
    objects: Path

    def argv(self, words: list[str], objects: str) -> list[str]:
        """Return the command in the image that runs the task; `objects` is the folder's name there."""
        place = self.task.place
        runner = (
            f"/{layout.RUNNER_DIR}" if objects == OBJECTS_IN_CONTAINER else str(self.image.root / layout.RUNNER_DIR)
        )
        where = [] if not self.task.in_shared_container else ["--member", str(place.member)]
        where += [] if place.node is None else ["--node", str(place.node), "--call", str(place.call)]
        start = _START.format(runner=runner, package=layout.RUNNER_PACKAGE)
        return ["python3", "-s", "-c", start, "--objects", objects, *where, *words]


async def fetch(services: Services, settings: Settings, task: RecordedTask, scratch: Path, *, whole: bool) -> Fetched:
    """Fetch image and objects. `whole`: with the base's layers, whose packages a process needs.

    Raises SettingError for a task that a process of this Python on this machine can't run, and NotFound where the
    image was deleted.
    """
    reference = parse(task.image)
    repository = await services.ecr.repository(settings.ecr_repo_name)
    async with RegistryHttp(ca_bundle=services.aws.variable("ca_bundle") or "") as http:
        registry = Registry(http, reference.registry, reference.repository, repository.login)
        try:
            body, media_type = await registry.manifest(reference.version)
        except NotFound as error:
            error.advice = (
                "Set keep_failed=true (the default) before the task runs: then a failed task's image is kept."
            )
            raise
        manifest = read_manifest(body, media_type)
        facts = ImageFacts(manifest, await registry.read_blob(manifest.config))
        if whole:
            _check_fits(facts)
        config = json.loads(facts.config).get("config") or {}
        below = int((config.get("Labels") or {}).get(LABEL_BASE_LAYERS, 0))
        root = await _tree(registry, manifest.layers[below:], scratch / "root")
        base = await _base(registry, manifest, below) if whole and below else None
    packages = package_folders(root) + (package_folders(base) if base else [])
    objects = scratch / "objects"
    objects.mkdir()
    await _fetch_objects(services, task, root, objects)
    return Fetched(task, Image(root, config, tuple(packages)), facts.platform, objects)


def _check_fits(image: ImageFacts) -> None:
    """Raise SettingError for an image of another platform or another minor version of Python than this process's."""
    here = f"linux/{MACHINES.get(platform.machine(), platform.machine())}"
    minor = "{}.{}".format(*sys.version_info)
    theirs = ".".join((image.python or minor).split(".")[:2])
    if sys.platform != "linux" or image.platform != here:
        reason = f"The task's image is for {image.platform}, and this machine is {sys.platform}/{platform.machine()}."
    elif theirs != minor:
        reason = f"The task's image has Python {theirs}, and this command runs on Python {minor}."
    else:
        return
    raise SettingError(reason, advice="Add --engine docker, which runs the image itself in a container.")


async def _base(registry: Registry, manifest: Manifest, below: int) -> Path:
    """Return the tree of the base's layers, which stays in the user's cache for the next time."""
    layers = manifest.layers[:below]
    name = hashlib.sha256(" ".join(layer.digest for layer in layers).encode()).hexdigest()[:16]
    folder = cache_home() / "replay" / name
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = await _tree(registry, layers, folder.with_suffix(".new"))
        draft.rename(folder)
    return folder


async def _tree(registry: Registry, layers: tuple[Descriptor, ...], root: Path) -> Path:
    """Fetch layers, check their digests and merge them into one folder. Raises ImageError."""
    work = root.with_suffix(".layers")
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    folders = []
    for number, layer in enumerate(layers):
        archive, folder, sha256 = work / f"{number}.tar", work / str(number), hashlib.sha256()
        with archive.open("wb") as file:
            async for chunk in registry.blob(layer).open():
                sha256.update(chunk)
                file.write(chunk)
        if f"sha256:{sha256.hexdigest()}" != layer.digest:
            raise ImageError(f"The registry {registry.host} sent bytes whose digest is not {layer.digest}.")
        await asyncio.to_thread(extract, archive, folder)
        archive.unlink()
        folders.append(folder)
    await asyncio.to_thread(merge, folders, root)
    return root


async def _fetch_objects(services: Services, task: RecordedTask, root: Path, folder: Path) -> None:
    """Fetch the payload and the objects that lie in the bucket; the runner checks their digests before it reads."""
    objects = FetchedObjects(folder)
    store = services.store(task.environment[layout.ENV_BUCKET], (await services.identity()).account)

    async def bring(key: str, most: int) -> None:
        if not await store.get_file(key, objects.path(key), most):
            raise NotFound(f"The bucket {store.bucket} does not have {key} any more, which the task needs.")

    if digest := task.environment.get(layout.ENV_PAYLOAD):
        await bring(layout.payload_key(digest), MOST_PAYLOAD_BYTES)
    content = await asyncio.to_thread(unpacked, root, objects, task.environment)
    file = TaskFile.from_json(content.task(task.place.member or 0))
    refs = [ref for each in file.tasks for ref in (each.function, each.hooks)] + list(file.inputs.values())
    for ref in {ref.sha256: ref for ref in refs if ref and ref.place == "s3"}.values():
        await bring(layout.object_key(ref.sha256), ref.size)
