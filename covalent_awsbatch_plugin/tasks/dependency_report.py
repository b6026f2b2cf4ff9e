# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A report of an environment as text: packages, layers, their state in the local store, the size of a push."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from ..core.subprocesses import Say, Work
from ..core.url_passwords import without_passwords
from ..dependencies.covalent_layer import pin
from ..dependencies.installed_here import running
from ..dependencies.lock import Target
from ..dependencies.package_layers import Environments
from ..dependencies.references import COVALENT, References
from ..dependencies.script_references import of_script
from ..dependencies.spec import environment_spec
from ..dependencies.user_code import OwnCode
from ..errors import SettingError
from ..images.layer import Layer
from ..settings import Settings
from .base_image import last_seen
from .resolved_dependencies import glibc, resolve
from .services import Services

MIB = 1024 * 1024


class Report:
    """The environment of these settings on this machine, for tasks like the functions in `scripts`.

    Raises SettingError and EnvironmentFailed.
    """

    def __init__(
        self, settings: Settings, scripts: Sequence[Path], *, anew: bool = False, say: Say = lambda _: None
    ) -> None:
        self.settings = settings
        self.environments, self.work = Environments(), Work(say)
        python = ".".join(platform.python_version_tuple()[:2])
        base = last_seen(settings, python)
        self.target = Target(settings.platform, python, glibc(base))
        spec = environment_spec(settings.environment)
        if spec.auto and not scripts:
            raise SettingError(
                "`auto` is made of what a task refers to, and no script of a task was named.",
                advice="Name it: covalent-awsbatch env show --environment auto workflow.py",
            )
        refs = _references(scripts)
        self.dependencies = resolve(
            self.environments, spec, self.target, refs, covalent=COVALENT in refs.modules,
            base_packages=base.packages or (), anew=anew, work=self.work,
        )  # fmt: skip
        self.lock, self.own = self.dependencies.lock, self.dependencies.own

    def listing(self) -> str:
        """Return the list of packages and own code, with the sizes of those in the local store."""
        store = self.environments.store
        lines = [self._title()]
        for package in self.lock.packages:
            stored = store.find(self.lock.key(package))
            size = f"{stored.bytes / MIB:8.1f} MiB, kept" if stored else "        ?     to be fetched"
            note = "" if package.wheel else "  (no wheel: built here)"
            lines.append(f"  {package.label:<40} {size}{note}")
        return "\n".join([*lines, *self._covalent(), *_own_lines(self.own), f"Kept in {store.folder}"])

    def _title(self) -> str:
        for_ = f"for {self.target.platform}, glibc {'.'.join(map(str, self.target.glibc))}, Python {self.target.python}"
        return f"Environment {self.lock.digest[:16]}, {for_}"

    def build(self) -> tuple[tuple[Layer, ...], str]:
        """Return all layers, built where they were missing, and the list of them as text."""
        layers = self.dependencies.layers(self.environments, self.work)
        lines = [f"  {layer.comment:<40} {layer.size / MIB:8.1f} MiB  {layer.digest}" for layer in layers]
        return layers, "\n".join(["Layers, lower first", *(lines or ["  none"])])

    def why(self) -> str:
        """Return the list of packages, with the version installed on this machine, and of each file of own code."""
        here = running().by_name
        lines = [f"environment = {without_passwords(self.settings.environment)!r}"]
        for package in self.lock.packages:
            ours = here.get(package.name)
            note = (
                "as installed here"
                if ours and ours.version == package.version
                else _other(ours.version if ours else None)
            )
            lines.append(f"  {package.label:<40} {note}")
        own = sorted(self.own.files.items())
        lines += [f"  {name:<40} {path.stat().st_size} bytes" for name, path in own]
        return "\n".join([*lines, *self._covalent(), *_own_lines(self.own)])

    def _covalent(self) -> list[str]:
        return [f"  {pin()} as a layer of its own"] if self.dependencies.covalent else []


async def to_push(services: Services, settings: Settings, layers: Sequence[Layer]) -> str:
    """Return a sentence about the layers that the repository lacks."""
    resources = await services.resources(settings)
    builder = await services.builder(settings)
    missing = await builder.missing(layers, resources.repository)
    total = sum(layer.size for layer in missing)
    names = ", ".join(layer.comment for layer in missing)
    return f"A push would send {total / MIB:.1f} MiB: {names}." if missing else "All of it is in the repository."


def _references(scripts: Sequence[Path]) -> References:
    refs = References()
    for script in scripts:
        refs.merge(of_script(script.read_text(encoding="utf-8")))
        refs.files.add(str(script.resolve()))
    return refs


def _other(version: str | None) -> str:
    return f"here it is {version}" if version else "not installed here"


def _own_lines(own: OwnCode) -> list[str]:
    lines = [f"  own module {name}" for name in sorted({name.partition("/")[0] for name in own.files})]
    lines += [f"  own package {folder}" for folder in sorted(own.packages)]
    return lines + [f"  left out: {each.path}: {each.reason}" for each in own.left_out]
