# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The base image of a task: its resolution, the facts about its contents, and the check that the task can run in it.

The check precedes the push: one task's wrong image must not fail the other tasks of the same job.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import replace

from ..dependencies.installed_here import missing_from_ours, our_cloudpickle, running
from ..dependencies.references import References, of_pickle
from ..errors import AWSBatchError, ImageError, NotPicklable, PythonMismatch
from ..images.base_facts import MUSL, BaseImageFacts, facts_of_config
from ..images.builders.builder import Base
from ..images.layer_scan import Probe
from ..runner.protocol import archive
from ..settings import Settings
from .array_package import AnyGroup, AnyPackage, ArrayPackage
from .services import ResolvedResources, Services, base_image

log = logging.getLogger(__name__)

FOR_A_WARNING_BYTES = 512 * 1024 * 1024  # a bigger image is not read whole only to compare versions
MOST_REMEMBERED = 4096  # functions
CHECKED_SECONDS = 60  # time for which a base that passed the check is not checked again


def last_seen(settings: Settings, python: str) -> BaseImageFacts:
    """Return the facts about the base image from when a task was last packed for it on this machine."""
    return Probe().known("name", base_image(settings, python), settings.platform) or BaseImageFacts()


class BaseImages:
    """The base images of one connection's tasks. Each image is scanned once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._probe = Probe()
        self._cloudpickle = our_cloudpickle()
        self._facts: dict[str, BaseImageFacts] = {}
        self._modules: dict[str, frozenset[str]] = {}
        self._warned: set[tuple[str, str]] = set()

    async def find(
        self,
        settings: Settings,
        resources: ResolvedResources,
        group: AnyGroup,
        package: AnyPackage,
        *,
        packs: bool,
    ) -> Base:
        """Return the base for a task; `packs`: packages are built for it, so that its C library has to be known.

        Raises ImageError, PythonMismatch, NotPicklable, SettingError, ServiceError, StagingError.
        """
        name, repository = base_image(settings, package.python), resources.repository.uri
        base = await self._services.cached(
            ("base", name, settings.platform, settings.builder, repository, package.python, packs),
            lambda: self._checked(settings, resources, package, packs=packs),
            CHECKED_SECONDS,
        )
        if package.cloudpickle != self._cloudpickle:
            await self._check_pickles(group, package)
        if settings.container_image_uri and not packs:
            await self._compare(settings, resources, base, group, package)
        return base

    async def _checked(
        self, settings: Settings, resources: ResolvedResources, package: AnyPackage, *, packs: bool
    ) -> Base:
        """Return the base with the facts about it, after a check of its Python and its C library."""
        name = base_image(settings, package.python)
        base = await self._resolved(settings, resources, name)
        facts = facts_of_config(base.image)
        if facts.python is None or (packs and facts.libc is None):
            facts = await self._scan(settings, resources, base)
        check_python(facts, name, package)
        check_libc(facts, name)
        base = replace(base, inside=facts)
        if packs:
            self._note_seen(settings, base)
        return base

    def _note_seen(self, settings: Settings, base: Base) -> None:
        """Store the facts for `covalent-awsbatch env`, which asks no registry and must build for the same base."""
        key = (base.name, settings.platform)
        if self._probe.known("name", *key) != base.inside:
            self._probe.keep(base.inside, "name", *key)

    async def _resolved(self, settings: Settings, resources: ResolvedResources, name: str) -> Base:
        builder = await self._services.builder(settings)
        try:
            return await builder.resolve_base(name, settings.platform, resources.repository)
        except AWSBatchError as error:
            verb = "is" if settings.container_image_uri else "is not set, so the base image is"
            error.advice += f"\n`container_image_uri` {verb} {name}."
            raise

    async def _scan(self, settings: Settings, resources: ResolvedResources, base: Base) -> BaseImageFacts:
        digest = base.image.digest
        if digest not in self._facts:
            builder = await self._services.builder(settings)

            async def look() -> BaseImageFacts:
                if not self._probe.known("image", digest):
                    log.info("Looking into %s: its configuration lacks facts that a task needs.", base.name)
                return await self._probe.look(base.image, builder.layers_of(base, resources.repository))

            self._facts[digest] = await self._services.once(("inside", digest), look)
        return facts_of_config(base.image).over(self._facts[digest])

    # ---- pickles ----------------------------------------------------------------------------------------------------
    async def _check_pickles(self, group: AnyGroup, package: AnyPackage) -> None:
        """Raise NotPicklable if the pickles need names that the cloudpickle sent with the task does not have.

        That is the cloudpickle of this process; the workflow may have been dispatched with another version.
        """
        refs = await self._services.in_thread(_function_references, group)
        if lacking := missing_from_ours(refs.cloudpickle):
            raise NotPicklable(
                f"`{package.name}` was pickled by cloudpickle {package.cloudpickle or '(of unknown version)'}, and the "
                f"{our_cloudpickle()} of this Covalent server, which is sent with it, has no {', '.join(lacking)}.",
                advice="Install the same cloudpickle where the workflow is dispatched and where the server runs.",
            )

    # ---- libraries --------------------------------------------------------------------------------------------------
    async def _compare(
        self,
        settings: Settings,
        resources: ResolvedResources,
        base: Base,
        group: AnyGroup,
        package: AnyPackage,
    ) -> None:
        """Warn of libraries of another major version in the image: values of their types may not unpickle."""
        modules = await self._functions_modules(group, package)
        here = {running().by_module[module] for module in modules if module in running().by_module}
        here = {each for each in here if each.folder is None and (base.image.digest, each.name) not in self._warned}
        if not here or sum(layer.size for layer in base.image.manifest.layers) > FOR_A_WARNING_BYTES:
            return
        packages = (await self._scan(settings, resources, base)).packages
        for ours in here if packages else ():
            self._warned.add((base.image.digest, ours.name))
            theirs = (packages or {}).get(ours.name)
            if theirs and theirs.partition(".")[0] != ours.version.partition(".")[0]:
                log.warning(
                    "%s is version %s in the image %s and %s here: values of its types may not survive the way.",
                    ours.name, theirs, base.name, ours.version,
                )  # fmt: skip

    async def _functions_modules(self, group: AnyGroup, package: AnyPackage) -> frozenset[str]:
        key = package.function_ids
        if key not in self._modules:
            if len(self._modules) >= MOST_REMEMBERED:
                self._modules.clear()
            self._modules[key] = frozenset((await self._services.in_thread(_function_references, group)).modules)
        return self._modules[key]


def _function_references(group: AnyGroup) -> References:
    """Return the references of the group's functions, without those of arguments and hooks."""
    if isinstance(group, ArrayPackage):
        return group.function_references()
    refs = References()
    for task in group.tasks:
        with task.function.open("rb") as file:
            refs.merge(of_pickle(archive.pickled(file)))
    return refs


def check_python(facts: BaseImageFacts, name: str, package: AnyPackage) -> None:
    """Raise PythonMismatch when the image can't read the pickles: they need the same minor version on both sides."""
    if facts.python is None:
        _say_once(f"The image {name} does not say which Python it has; pickled here with {package.python}.")
        return
    minor = ".".join(package.python.split(".")[:2])
    advice = f"Set container_image_uri to an image with Python {minor}, leave it empty for python:{minor}-slim"
    if not facts.python:
        raise ImageError(f"The image {name} has no python3 on its PATH.", advice=f"{advice}.")
    theirs = ".".join(facts.python.split(".")[:2])
    if theirs != minor:
        raise PythonMismatch(
            f"The image {name} has Python {facts.python}, and `{package.name}` was pickled by Python {package.python}.",
            advice=f"{advice}, or run the workflow with Python {theirs}.",
        )


def check_libc(facts: BaseImageFacts, name: str) -> None:
    """Raise ImageError for a base without glibc: the runner's S3 client and binary wheels need it."""
    if facts.libc and facts.libc.kind == MUSL:
        raise ImageError(
            f"The image {name} is made with musl (as Alpine is), and the packages sent with a task are made for glibc.",
            advice="Set container_image_uri to an image with glibc, such as python:3.11-slim.",
        )


@functools.cache
def _say_once(text: str) -> None:
    log.warning(text)
